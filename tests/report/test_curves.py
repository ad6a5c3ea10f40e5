from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.stats import t

from imgcollapse.core.errors import UserError
from imgcollapse.report.arrays import CensusArrays, interval_of_mean, mean
from imgcollapse.report.charts import Figure, palette
from imgcollapse.report.drift_test import DriftTest
from imgcollapse.report.formatting import ratio
from imgcollapse.report.sections import curves, drift
from imgcollapse.runs.run_dir import Run

from .conftest import Make

Curve = Callable[[CensusArrays, DriftTest | None], Figure | None]
CURVES: list[Curve] = [
    lambda counts, verdict: curves.frequencies(counts),
    lambda counts, verdict: curves.stacked(counts),
    curves.diversity,
    curves.classes_detected,
    lambda counts, verdict: curves.effective_size(verdict) if verdict else None,
    lambda counts, verdict: drift.chance_panels(counts)[-1][1],
]
NAMES = ["frequencies", "stacked", "diversity", "classes_detected", "effective_size", "panel"]


def verdict_of(run: Run, counts: CensusArrays) -> DriftTest | None:
    try:
        return DriftTest.of(run, counts)
    except UserError:
        return None


@pytest.mark.parametrize("curve", CURVES, ids=NAMES)
def test_a_curve_is_well_formed_described_and_repeatable(vanishing: Run, curve: Curve) -> None:
    counts = CensusArrays.of(vanishing)
    verdict = DriftTest.of(vanishing, counts)
    figure = curve(counts, verdict)
    assert figure is not None
    svg = figure.inline
    root = ElementTree.fromstring(svg)
    assert root.get("role") == "img"
    assert root.get("aria-label")
    again = curve(counts, verdict)
    assert again is not None
    assert (svg, figure.svg, figure.png) == (again.inline, again.svg, again.png)
    assert "http" not in svg
    assert "<b>" not in svg


@pytest.mark.parametrize(
    "lineages",
    [
        [[[5, 3, 1, 0]]],
        [[[5, 0], [5, 0]]],
        [[[5, 3, 0], [0, 0, 8]]],
        [[[5, 3, 0], [4, 4, 0]], [[5, 3, 0], [8, 0, 0]]],
        [[[1, 0], [1, 0]]],
        [[[1] * 121, [1] * 120 + [0]]],
    ],
    ids=[
        "one generation",
        "one class",
        "nothing recognized",
        "two lineages",
        "one image",
        "120 classes",
    ],
)
def test_odd_runs_have_curves(make_run: Make, lineages: list) -> None:
    run = make_run(*lineages, measured=False)
    counts = CensusArrays.of(run)
    verdict = verdict_of(run, counts)
    sizes = [size.value for size in verdict.size.generations] if verdict else []
    drawn = {name: curve(counts, verdict) for name, curve in zip(NAMES, CURVES, strict=True)}
    # N_e/n is defined in some generation, or has no chart; all others have one.
    assert [name for name, figure in drawn.items() if figure is None] == (
        [] if any(size is not None for size in sizes) else ["effective_size"]
    )
    for figure in filter(None, drawn.values()):
        ElementTree.fromstring(figure.inline)
        ElementTree.fromstring(figure.svg)


def crosses(svg: str, color: str) -> int:
    """Markers that only an unseen class has: two strokes without a fill, of the class's color."""
    root = ElementTree.fromstring(svg)
    drawn = 0
    for group in root.iter("g"):
        shapes = [path for defs in group.findall("defs") for path in defs.findall("path")]
        if any(p.get("d", "").count("M") == 2 and color in p.get("style", "") for p in shapes):
            drawn += len(list(group.iter("use")))
    return drawn


def test_a_generation_without_a_class_is_a_cross_and_not_a_point(make_run: Make) -> None:
    run = make_run([[600, 300, 100, 0], [700, 300, 0, 0], [600, 300, 100, 0], [700, 300, 0, 0]])
    svg = curves.frequencies(CensusArrays.of(run)).inline
    common, middle, rare = palette(3)
    assert [crosses(svg, color) for color in (common, middle, rare)] == [0, 0, 2]
    assert "detected" in svg


def test_there_is_a_panel_for_each_class_and_it_says_what_chance_allows(vanishing: Run) -> None:
    panels = drift.chance_panels(CensusArrays.of(vanishing))
    assert [k for k, _ in panels] == [0, 1, 2]
    said = ElementTree.fromstring(panels[2][1].inline).get("aria-label")
    assert said == (
        "<b>fox</b> & $x: 10% of the real images, 0% of generation 2, where drift alone allows "
        "5% to 20%."
    )
    # A point below the limit is hollow: filled with the paper's color.
    assert "var(--paper" in panels[2][1].inline
    assert "var(--paper" not in panels[0][1].inline


def test_n_e_over_n_says_what_all_generations_give(vanishing: Run) -> None:
    verdict = DriftTest.of(vanishing, CensusArrays.of(vanishing))
    figure = curves.effective_size(verdict)
    assert figure is not None
    assert f"all generations, {ratio(verdict.size.pooled.value or 0)} (" in figure.inline


def test_a_band_of_chance_is_there_only_with_a_verdict(vanishing: Run) -> None:
    counts = CensusArrays.of(vanishing)
    for curve in (curves.diversity, curves.classes_detected):
        assert "drift alone, 95%" in curve(counts, DriftTest.of(vanishing, counts)).inline
        assert not re.search("dashed: chance", curve(counts, None).inline)


def test_the_interval_of_a_mean_is_students() -> None:
    values = np.array([[1.0, np.nan, 5.0], [2.0, 3.0, 5.0], [4.0, np.nan, np.nan]])
    low, high = interval_of_mean(values)
    expected = t.interval(0.95, 2, np.mean([1, 2, 4]), np.std([1, 2, 4], ddof=1) / np.sqrt(3))
    assert_allclose([low[0], high[0]], expected)
    assert_allclose([low[2], high[2]], [5, 5])
    assert np.isnan([low[1], high[1]]).all()
    assert_allclose(mean(values), [7 / 3, 3, 5])


def test_colors_are_ordered_and_distinct() -> None:
    assert palette(1) == palette(5)[:1]
    assert palette(2) == [palette(9)[0], palette(9)[-1]]
    assert len(set(palette(12))) == 12


def test_names_are_shown_as_they_are(make_run: Make) -> None:
    names = ["<img src=x>", "$a_1$ & b", "_hidden", "狗"]
    counts = CensusArrays.of(make_run([[400, 300, 200, 100, 0]], classes=names, measured=False))
    texts = [
        text.text for text in ElementTree.fromstring(curves.frequencies(counts).inline).iter("text")
    ]
    assert set(names) <= set(texts)
    titles = [figure.inline for _, figure in drift.chance_panels(counts)]
    for name, svg in zip(names, titles, strict=True):
        assert name in [text.text for text in ElementTree.fromstring(svg).iter("text")]
