from __future__ import annotations

import numpy as np
import pytest

from imgcollapse.report.formatting import (
    generations_text,
    listed,
    p_value,
    percent,
    ratio,
    short,
    signed,
)


@pytest.mark.parametrize(
    ("share", "said"),
    [
        (1, "100%"),
        (0.6481, "64.8%"),
        (0.1, "10%"),
        (0.0319, "3.2%"),
        (0.0015, "0.15%"),
        (4e-5, "<0.01%"),
        (1e-12, "0%"),
        (0, "0%"),
    ],
)
def test_shares_have_two_or_three_digits(share: float, said: str) -> None:
    assert percent(share) == said


def test_a_p_value_is_never_below_what_the_replicates_can_give() -> None:
    assert p_value(1 / 1001, 1000) == "≤ 0.001"
    assert p_value(2 / 1001, 1000) == "0.002"
    assert p_value(0.43, 1000) == "0.43"


def test_ratios_have_two_decimals_or_none() -> None:
    assert [ratio(value) for value in (0.853, 9.99, 129456.06)] == ["0.85", "9.99", "129,456"]


def test_coefficients_have_a_sign() -> None:
    assert [signed(s) for s in (-0.314, 0.05)] == ["−0.31", "+0.05"]


def test_generations_over_lineages() -> None:
    assert generations_text(np.array([7, 7])) == "7"
    assert generations_text(np.array([8, 3])) == "3 to 8"
    assert generations_text(np.array([-1])) == "never"


def test_lists_read_as_english() -> None:
    assert listed([]) == ""
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
