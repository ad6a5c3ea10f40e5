from __future__ import annotations

import pytest

from imgcollapse.report.arrays import CensusArrays
from imgcollapse.report.drift_test import DriftTest
from imgcollapse.report.sections.header import cautions, headline, warnings
from imgcollapse.runs.run_dir import Run

from .conftest import Make

THERE, MISSING = [900, 100, 0], [1000, 0, 0]


def test_headline_names_what_vanished_and_when(vanishing: Run) -> None:
    vanished, diversity, recognized = headline(CensusArrays.of(vanishing))
    assert vanished == (
        "By generation 2, 1 of 3 classes is no longer detected: "
        "<b>fox</b> & $x (last detected in generation 1)."
    )
    assert "fell from 0.54 to 0.42" in diversity
    assert recognized == "The oracle recognized 100% of generation 1 and 100% of generation 2."


def test_headline_says_extinct_only_of_what_is_called_so(make_run: Make) -> None:
    run = make_run([THERE, MISSING, MISSING, MISSING], measured=False)
    assert "class 1 (extinct, called in generation 3)" in headline(CensusArrays.of(run))[0]


def test_headline_counts_lineages(make_run: Make) -> None:
    run = make_run([THERE, *[MISSING] * 3], [THERE] * 4, [THERE] * 3 + [MISSING], measured=False)
    assert headline(CensusArrays.of(run))[0] == (
        "By generation 3, 0.7 of 2 classes are no longer detected, 0.3 of them extinct, on average "
        "over 3 lineages: class 1 (in 2 of 3)."
    )


@pytest.mark.parametrize(
    ("generations", "said"),
    [
        ([[800, 200, 0]], "no model has been trained"),
        ([[800, 200, 0], [800, 200, 0]], "all 2 classes are still detected"),
        ([[800, 200, 0], [800, 200, 0]], "stayed at 0.32"),
        ([[800, 200, 0], [500, 500, 0]], "rose from 0.32 to 0.50"),
        ([[800, 200, 0], [0, 0, 1000]], "undefined: nothing in generation 1 was recognized"),
        ([[800, 200, 0], [0, 0, 1000]], "By generation 1 nothing is recognized"),
        ([[900, 99, 1, 0], [900, 100, 0, 0]], "all 2 detectable classes are still detected"),
    ],
)
def test_headline_in_odd_cases(make_run: Make, generations: list, said: str) -> None:
    assert said in " ".join(headline(CensusArrays.of(make_run(generations, measured=False))))


@pytest.mark.parametrize(
    ("generation_1", "accuracy", "said"),
    [
        ([600, 300, 100, 0], 0.99, ()),
        ([600, 300, 50, 50], 0.99, ()),
        ([600, 300, 49, 51], 0.99, ("only 94.9% of it was recognized", "poor generator")),
        ([545, 355, 100, 0], 0.99, ()),
        ([530, 370, 100, 0], 0.99, ("0.07", "(more than 0.06)", "poor generator")),
        (
            [6, 2, 2, 0],
            0.99,
            ("may not be", "(more than 0.06)", "Sampling alone gives about 0.157"),
        ),
        ([600, 300, 100, 0], 0.89, ("only 89% of held-out real images",)),
        ([0, 0, 0, 9], 0.99, ("only 0.0% of it was recognized", "poor generator")),
    ],
)
def test_a_poor_generator_is_not_called_collapse(
    make_run: Make, generation_1: list[int], accuracy: float, said: tuple[str, ...]
) -> None:
    run = make_run([[600, 300, 100, 0], generation_1], accuracy=accuracy, measured=False)
    found = warnings(run, CensusArrays.of(run))
    assert len(found) == bool(said)
    assert all(words in " ".join(found) for words in said)


def unknown(run: Run) -> list[str]:
    counts = CensusArrays.of(run)
    return cautions(counts, DriftTest.of(run, counts))


def test_below_detection_is_not_extinct(make_run: Make) -> None:
    said = " ".join(unknown(make_run([THERE, MISSING], measured=False)))
    assert "That class 1 is extinct: below detection means a share of less than" in said
    assert "which 1,000 recognized samples cannot tell from zero" in said
    extinct = " ".join(unknown(make_run([THERE, *[MISSING] * 3], measured=False, name="longer")))
    assert "That class 1 is extinct" not in extinct


def test_a_class_below_its_limit_from_the_start_can_not_be_seen_to_vanish(make_run: Make) -> None:
    said = " ".join(unknown(make_run([[899, 100, 1, 0], [900, 100, 0, 0]], measured=False)))
    assert "Whether class 2 is gone, whatever the status: its real share is below" in said


def test_one_lineage_is_one_course_of_chance(make_run: Make) -> None:
    one = unknown(make_run([THERE, THERE], measured=False))
    two = unknown(make_run([THERE, THERE], [THERE, THERE], measured=False, name="two"))
    assert len([words for words in one if "this is one lineage" in words]) == 1
    assert not [words for words in two if "this is one lineage" in words]


def test_shares_are_among_the_recognized(make_run: Make) -> None:
    said = " ".join(unknown(make_run([THERE, [500, 100, 400]], measured=False)))
    assert "What the 40% of generation 1 that are like no real image would be" in said


def test_nothing_is_said_of_classes_after_mush(make_run: Make) -> None:
    run = make_run([THERE, THERE, [0, 0, 1000]], measured=False)
    assert "Anything about classes after generation 1" in " ".join(unknown(run))
