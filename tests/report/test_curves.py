from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import pytest

from imgcollapse.report import curves
from imgcollapse.report.chart import palette
from imgcollapse.report.counts import Counts
from imgcollapse.run_folder import Run

from .conftest import Make

CENSUS_CURVES = [curves.frequencies, curves.stacked, curves.heterozygosity, curves.classes_seen]


@pytest.mark.parametrize("curve", CENSUS_CURVES)
def test_a_curve_is_well_formed_described_and_repeatable(vanishing: Run, curve) -> None:
    counts = Counts.of(vanishing)
    svg = curve(counts)
    root = ElementTree.fromstring(svg)
    assert root.get("role") == "img"
    assert root.get("aria-label")
    assert "generation" in [text.text for text in root.iter("text")]
    assert svg == curve(counts)
    assert "http" not in svg
    assert "<b>" not in svg


@pytest.mark.parametrize("curve", CENSUS_CURVES)
@pytest.mark.parametrize(
    "lineages",
    [
        [[[5, 3, 1, 0]]],
        [[[5, 0], [5, 0]]],
        [[[5, 3, 0], [0, 0, 8]]],
        [[[5, 3, 0], [4, 4, 0]], [[5, 3, 0], [8, 0, 0]]],
        [[[1] * 121, [1] * 120 + [0]]],
    ],
    ids=["one generation", "one class", "nothing recognised", "two lineages", "120 classes"],
)
def test_odd_runs_have_curves(make_run: Make, curve, lineages: list) -> None:
    ElementTree.fromstring(curve(Counts.of(make_run(*lineages, measured=False))))


def crosses(svg: str, colour: str) -> int:
    """Markers that only an unseen class has: two strokes without a fill, of the class's colour."""
    root = ElementTree.fromstring(svg)
    drawn = 0
    for group in root.iter("g"):
        shapes = [path for defs in group.findall("defs") for path in defs.findall("path")]
        if any(p.get("d", "").count("M") == 2 and colour in p.get("style", "") for p in shapes):
            drawn += len(list(group.iter("use")))
    return drawn


def test_a_generation_without_a_class_is_a_cross_and_not_a_point(make_run: Make) -> None:
    run = make_run([[60, 30, 10, 0], [70, 30, 0, 0], [70, 29, 1, 0], [70, 30, 0, 0]])
    svg = curves.frequencies(Counts.of(run))
    common, middle, rare = palette(3)
    assert [crosses(svg, colour) for colour in (common, middle, rare)] == [0, 0, 2]
    assert "seen" in svg


def test_distance_stands_beside_its_floor(vanishing: Run) -> None:
    for metric in ("fid", "kid"):
        svg = curves.distance(vanishing.metrics, metric, 3)
        assert svg is not None
        assert "real against real" in svg


def test_a_metric_that_is_nowhere_defined_has_no_curve(make_run: Make) -> None:
    run = make_run([[5, 3, 0], [4, 4, 0]], measured=False)
    assert curves.distance(run.metrics, "fid", 2) is None


def test_a_metric_may_be_undefined_in_places(make_run: Make) -> None:
    run = make_run([[40, 20, 0], [2, 1, 0], [40, 20, 0]])
    assert set(run.metrics.query("metric == 'kid' and `class` == ''")["generation"]) == {0, 2}
    assert curves.distance(run.metrics, "kid", 3)


def test_colours_are_ordered_and_distinct() -> None:
    assert palette(1) == palette(5)[:1]
    assert palette(2) == [palette(9)[0], palette(9)[-1]]
    assert len(set(palette(12))) == 12


def test_names_are_shown_as_they_are(make_run: Make) -> None:
    names = ["<img src=x>", "$a_1$ & b", "_hidden", "狗"]
    svg = curves.frequencies(Counts.of(make_run([[4, 3, 2, 1, 0]], classes=names, measured=False)))
    texts = [text.text for text in ElementTree.fromstring(svg).iter("text")]
    assert set(names) <= set(texts)
