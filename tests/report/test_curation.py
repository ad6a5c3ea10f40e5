from __future__ import annotations

import io
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy.stats import hypergeom

import imgcollapse as ic
from imgcollapse.census import UNRECOGNIZED
from imgcollapse.report.sections.curation import CurationArrays, blind, sentences, watermark_table
from imgcollapse.runs.run_dir import Run

from .parsed import Page

CLASSES = ("dog", "cat")

STUDY = """
generations: 3
samples: 200
data: {kind: digits}
longtail: {kind: exponential, factor: 8, images: 40}
splits: {oracle: 60, calibration: 30, reference: 40}
generator: {kind: resample}
regime: {kind: real-fraction, fraction: 0.5}
curation: [{kind: watermark, weight: 0.5}, {kind: verifier, keep_share: 0.5}]
oracle: {kind: cnn, steps: 80, width: 8}
precision: float32
threads: 1
"""


def numbers(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int64)


def tally(*rows: tuple[int, int, int]) -> CurationArrays:
    """Of one generation: n and kept of dog, cat and the unrecognized."""
    named = zip([*CLASSES, UNRECOGNIZED], rows, strict=True)
    table = [
        {"lineage": 0, "generation": 1, "class": name, "n": n, "kept": kept, "relabelled": changed}
        for name, (n, kept, changed) in named
    ]
    return CurationArrays.of(pd.DataFrame(table), CLASSES)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A real run, in seconds, of two filters: a watermark's detector, and a verifier after it."""
    folder = tmp_path_factory.mktemp("kept")
    (folder / "study.yaml").write_text(STUDY)
    return ic.run(folder / "study.yaml", folder / "run")


@pytest.mark.parametrize("of_class", [0, 1, 7, 40, 100])
def test_the_band_of_one_generation_is_the_hypergeometric_laws(of_class: int) -> None:
    found = blind(numbers(100), numbers(of_class), numbers(30))
    assert found == tuple(hypergeom(100, of_class, 30).interval(0.95))


def test_the_band_of_two_generations_is_that_of_the_sum() -> None:
    # Every pair of outcomes, with its probability.
    laws = hypergeom(60, 9, 20), hypergeom(50, 14, 25)
    chance = np.zeros(24)
    for a, b in product(range(10), range(15)):
        chance[a + b] += laws[0].pmf(a) * laws[1].pmf(b)
    low, high = np.searchsorted(chance.cumsum(), (0.025, 0.975))
    assert blind(numbers(60, 50), numbers(9, 14), numbers(20, 25)) == (low, high)


def test_many_generations_have_a_band_of_the_sums_width() -> None:
    many, of_class = np.full(50, 2000), np.full(50, 400)
    low, high = blind(many, of_class, np.full(50, 1000))
    spread = float(50 * hypergeom(2000, 400, 1000).var()) ** 0.5
    # The sum is all but normal; each end is a whole number, so at most one off.
    assert_allclose([low, high], 10_000 + np.array([-1, 1]) * 1.96 * spread, atol=1)


def test_the_account_of_one_generation_is_the_runs_own(run: Run) -> None:
    table = run.curation
    one = table.loc[table["generation"] == 1].assign(lineage=0)
    classes = tuple(run.record["classes"])
    found = CurationArrays.of(one, classes)
    for column in ("n", "kept", "expected", "low", "high", "relabelled"):
        assert_allclose(getattr(found, column), one[column], rtol=1e-12)


def test_one_sentence_says_whom_the_filter_spares() -> None:
    real = tally((10, 10, 0), (5, 5, 0), (0, 0, 0))
    said = sentences(tally((100, 90, 0), (50, 5, 0), (50, 5, 0)), real, CLASSES, ["verifier"])
    assert said == [
        "The filter (verifier) keeps 100 of 200 samples: fewer than chance would of cat and what "
        "is like no real image; more than chance would of dog."
    ]
    fair = tally((100, 50, 0), (50, 25, 0), (50, 25, 0))
    (said,) = sentences(fair, real, CLASSES, ["balance", "picks"])
    assert said.startswith("The filters (balance, picks) keep 100 of 200 samples: of every class")


def test_real_images_that_are_left_out_are_told() -> None:
    real = tally((10, 9, 0), (5, 5, 0), (0, 0, 0))
    nothing = tally((100, 0, 0), (50, 0, 0), (50, 0, 0))
    assert sentences(nothing, real, CLASSES, ["watermark"]) == [
        "The filter (watermark) keeps none of the 200 samples.",
        "Of 15 real training images, 1 are left out too.",
    ]
    assert sentences(None, real, CLASSES, ["watermark"])[0] == "No samples have been judged yet."


def test_the_page_has_the_figure_its_numbers_and_the_watermark(run: Run, tmp_path: Path) -> None:
    page = Page(ic.write_report([run.path], tmp_path / "run.html"))
    text = " ".join(page.text.split())
    assert "The filters (watermark, verifier) keep" in text
    table = pd.read_csv(io.BytesIO(page.files["kept.csv"])).set_index("class")
    curation = run.curation
    sums = curation.loc[curation["generation"] > 0].groupby("class")[["n", "kept", "expected"]]
    for column, values in sums.sum().items():
        assert_allclose(table[column].sort_index(), values.sort_index(), rtol=1e-5)
    assert {"kept.svg", "kept.png"} <= set(page.files)
    assert "found before marking" in text
    metrics = run.metrics
    last = metrics.loc[
        (metrics["generation"] == 3) & (metrics["metric"] == "watermark_radioactivity_p"), "value"
    ]
    assert f"{last.iloc[0]:.2g}" in text


def test_a_study_without_filters_has_no_such_section(report: Path) -> None:
    assert "What the filters kept" not in Page(report).text


def test_of_several_lineages_the_watermarks_table_has_mean_and_range() -> None:
    rows = [
        {
            "lineage": i,
            "generation": 1,
            "metric": "watermark_tpr",
            "value": value,
            "low": 0,
            "high": 1,
        }
        for i, value in enumerate((0.5, 0.7))
    ]
    found = watermark_table(pd.DataFrame(rows), 1)
    assert found is not None
    assert found.rows[0].cells[1:] == ["60% (50% to 70%)", "–", "–", "–", "–"]
    single = watermark_table(pd.DataFrame(rows[:1]), 1)
    assert single is not None
    assert single.rows[0].cells[1] == "50% (0% to 100%)"
    assert watermark_table(pd.DataFrame(rows).assign(metric="fid"), 1) is None
