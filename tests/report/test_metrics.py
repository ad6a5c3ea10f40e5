from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.testing import assert_array_equal

from imgcollapse.metrics import MetricSettings, metric_infos
from imgcollapse.report.arrays import series
from imgcollapse.report.sections.metrics import metric_charts, undefined_metrics
from imgcollapse.runs.run_dir import Run

from .conftest import Make

INFOS = [info for info in metric_infos(MetricSettings()) if info.section == "metrics"]


def table(**metrics: list[float | None]) -> pd.DataFrame:
    """Values of generations 0, 1, ...; a None has the note "too few"."""
    rows = [
        {
            "generation": g,
            "class": "",
            "metric": metric,
            "value": value,
            "low": value,
            "high": value,
            "note": "too few" if value is None else "",
        }
        for metric, values in metrics.items()
        for g, value in enumerate(values)
    ]
    return pd.DataFrame(rows).astype(dict.fromkeys(("value", "low", "high"), "float64"))


def titles(metrics: pd.DataFrame, generations: int) -> list[str]:
    return [
        figure.alt.partition(" by gen")[0] for figure in metric_charts(metrics, INFOS, generations)
    ]


def test_every_metric_that_is_measured_is_drawn_beside_its_floor(vanishing: Run) -> None:
    metrics = vanishing.metrics
    measured = set(metrics["metric"])
    assert titles(metrics, 3) == list(
        dict.fromkeys(x.title for x in INFOS if x.shows_real & (x.name in measured))
    )
    for figure in metric_charts(metrics, INFOS, 3):
        assert "dotted: real against real" in figure.inline


def test_a_metric_that_is_nowhere_defined_has_no_chart_but_a_reason() -> None:
    metrics = table(fid=[1, 2, 3], kid=[None] * 3, vendi=[2, None, 2])
    assert titles(metrics, 3) == ["FID to real images", "Vendi score: effective number of samples"]
    assert undefined_metrics(metrics) == [
        "kid in generations 0 to 2: too few.",
        "vendi in generation 1: too few.",
    ]


def test_the_training_set_is_not_said_to_be_memorized() -> None:
    assert titles(table(memorized=[1]), 1) == []
    alone = next(metric_charts(table(memorized=[1, 0.25]), INFOS, 2))
    other = next(metric_charts(table(memorized=[0, 0.25]), INFOS, 2))
    assert alone.inline == other.inline


def test_held_out_bits_are_drawn_without_a_floor() -> None:
    (chart,) = metric_charts(table(bits_per_dim=[None, 0.5, 0.7]), INFOS, 3)
    assert "Bits per dimension of held-out real images" in chart.alt
    assert "real against real" not in chart.inline


def test_a_series_has_a_place_for_each_generation() -> None:
    found = series(table(fid=[1, None]), "fid", "value", 3)
    assert found is not None
    assert_array_equal(found, [[1, np.nan, np.nan]])
    assert series(table(fid=[None]), "fid", "value", 1) is None


def test_several_lineages_are_rows(make_run: Make) -> None:
    run = make_run([[40, 20, 0], [40, 20, 0]], [[40, 20, 0], [30, 30, 0]])
    found = series(run.metrics, "fid", "value", 2)
    assert found is not None
    assert found.shape == (2, 2)
    assert len(list(metric_charts(run.metrics, INFOS, 2))) == 5
