from __future__ import annotations

import xml.etree.ElementTree as ElementTree

from numpy.testing import assert_allclose, assert_array_equal

from imgcollapse.report.arrays import CensusArrays
from imgcollapse.report.drift_test import DriftTest
from imgcollapse.report.sections.last_detected import survival_curve_of, survival_panels

from .conftest import Make

THERE, MISSING = [900, 100, 0], [1000, 0, 0]


def test_a_life_ends_with_the_call_and_the_living_are_censored(make_run: Make) -> None:
    run = make_run(
        [THERE, *[MISSING] * 5], [THERE] * 2 + [MISSING] * 4, [THERE] * 6, measured=False
    )
    counts = CensusArrays.of(run)
    curve = survival_curve_of(counts, 1)
    assert_array_equal(curve.generation, [0, 3, 4, 5])
    assert_allclose(curve.alive, [1, 2 / 3, 1 / 3, 1 / 3], atol=1e-12)
    assert curve.median == 4
    panels = survival_panels(counts, DriftTest.of(run, counts))
    assert [k for k, _ in panels] == [1]
    root = ElementTree.fromstring(panels[0][1].inline)
    assert "Extinct in 2 of 3; half by generation 4." in (root.get("aria-label") or "")


def test_one_lineage_has_no_survival_curve(make_run: Make) -> None:
    counts = CensusArrays.of(make_run([THERE, *[MISSING] * 3], measured=False))
    assert survival_panels(counts, None) == []


def test_what_nobody_lost_has_no_panel(make_run: Make) -> None:
    counts = CensusArrays.of(make_run([THERE] * 4, [THERE] * 4, measured=False))
    assert survival_panels(counts, None) == []
