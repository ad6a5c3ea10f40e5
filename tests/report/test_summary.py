from __future__ import annotations

import pytest

from imgcollapse.report.counts import Counts
from imgcollapse.report.summary import class_rows, headline, listed, short, warnings
from imgcollapse.run_folder import Run

from .conftest import Make


def test_headline_names_what_vanished_and_when(vanishing: Run) -> None:
    vanished, diversity, recognised = headline(Counts.of(vanishing))
    assert vanished == (
        "By generation 2, 1 of 3 classes is no longer seen: "
        "<b>fox</b> & $x (last seen in generation 1)."
    )
    assert "fell from 0.54 to 0.41" in diversity
    assert recognised == "The oracle recognised 100% of generation 1 and 99% of generation 2."


def test_headline_counts_lineages(make_run: Make) -> None:
    run = make_run([[8, 2, 0], [9, 1, 0]], [[8, 2, 0], [10, 0, 0]])
    assert headline(Counts.of(run))[0] == (
        "By generation 1, 0.5 of 2 classes are no longer seen, on average over 2 lineages: "
        "class 1 (in 1 of 2)."
    )


@pytest.mark.parametrize(
    ("generations", "said"),
    [
        ([[8, 2, 0]], "no model has been trained"),
        ([[8, 2, 0], [8, 2, 0]], "all 2 classes are still seen"),
        ([[8, 2, 0], [8, 2, 0]], "stayed at 0.32"),
        ([[8, 2, 0], [5, 5, 0]], "rose from 0.32 to 0.50"),
        ([[8, 2, 0], [0, 0, 10]], "undefined: nothing in generation 1 was recognised"),
        ([[8, 0, 0], [8, 0, 0]], "class 1 (never seen)"),
    ],
)
def test_headline_in_odd_cases(make_run: Make, generations: list, said: str) -> None:
    assert said in " ".join(headline(Counts.of(make_run(generations))))


@pytest.mark.parametrize(
    ("generation_1", "accuracy", "said"),
    [
        ([600, 300, 100, 0], 0.99, ()),
        ([600, 300, 50, 50], 0.99, ()),
        ([600, 300, 49, 51], 0.99, ("only 94.9% of it was recognised", "poor generator")),
        ([540, 360, 100, 0], 0.99, ()),
        ([530, 370, 100, 0], 0.99, ("0.070 (more than 0.06)", "poor generator")),
        (
            [6, 2, 2, 0],
            0.99,
            ("may not be", "0.100 (more than 0.06)", "chance alone gives about 0.157"),
        ),
        ([600, 300, 100, 0], 0.89, ("only 89% of held-out real images",)),
        ([0, 0, 0, 9], 0.99, ("only 0.0% of it was recognised", "poor generator")),
    ],
)
def test_a_poor_generator_is_not_called_collapse(
    make_run: Make, generation_1: list[int], accuracy: float, said: tuple[str, ...]
) -> None:
    run = make_run([[600, 300, 100, 0], generation_1], accuracy=accuracy, measured=False)
    found = warnings(run, Counts.of(run))
    assert len(found) == bool(said)
    assert all(words in " ".join(found) for words in said)


def test_rows_are_ranked_and_say_when(vanishing: Run) -> None:
    rows = class_rows(Counts.of(vanishing))
    assert [row["last_seen"] for row in rows] == ["2", "2", "1"]
    assert [row["status"] for row in rows] == ["seen", "seen", "no longer seen"]
    assert [row["count"] for row in rows] == [70, 29, 0]


def test_rows_over_lineages(make_run: Make) -> None:
    rows = class_rows(Counts.of(make_run([[8, 2, 0], [9, 1, 0]], [[8, 2, 0], [10, 0, 0]])))
    assert [row["last_seen"] for row in rows] == ["1", "0 to 1"]
    assert [row["status"] for row in rows] == [
        "no longer seen in 0 of 2",
        "no longer seen in 1 of 2",
    ]
    assert [row["count"] for row in rows] == [9.5, 0.5]


def test_lists_read_as_english() -> None:
    assert listed(["a"]) == "a"
    assert listed(["a", "b"]) == "a and b"
    assert listed(list("abcd")) == "a, b, c and d"
    assert listed(list("abcdefgh")) == "a, b, c and 5 more"


@pytest.mark.parametrize("most", [8, 9, 22, 32])
def test_long_names_keep_both_ends(most: int) -> None:
    name = "n02085620\n-Petit Basset Griffon Vendéen"
    assert len(short(name, most)) == most
    assert short(name, most).startswith("n0208")
    assert short(name, most).endswith("n")
    assert short("cat", most) == "cat"
