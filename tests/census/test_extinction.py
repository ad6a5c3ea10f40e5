import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgcollapse.census import RUNNING, statuses


def words(pattern):
    """'1100x' (seen, missed, cannot tell) => the statuses as letters (p, b, e) and the calls."""
    seen, telling = [letter == "1" for letter in pattern], [letter != "x" for letter in pattern]
    found = list(statuses(seen, telling))
    return "".join(status[0] for status, _ in found), [called for _, called in found]


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        ("111111", "pppppp"),
        ("110000", "ppbbee"),
        ("110010", "ppbbpb"),  # two misses are no extinction
        ("1000100", "pbbeeee"),  # one sighting takes no call back
        ("10001110", "pbbeeepb"),  # three running do
        ("xxxxxx", "bbbbbb"),  # too rare to be seen: nothing can be said of it
        ("10xx00", "pbbbbe"),  # what does not tell neither makes a call nor breaks one
        ("", ""),
    ],
)
def test_what_is_said(seen, said):
    assert words(seen)[0] == said


def test_the_call_keeps_its_generation():
    assert words("1000000")[1] == [None, None, None, 3, 3, 3, 3]


course = st.text("10x")


@given(course, course)
def test_what_was_said_does_not_change_with_what_follows(before, after):
    assert words(before + after)[0][: len(before)] == words(before)[0]


@given(course)
def test_no_call_is_made_or_taken_back_within_three_generations(seen):
    said = words(seen)[0]
    changes = [g for g in range(1, len(said)) if (said[g] == "e") != (said[g - 1] == "e")]
    assert all(b - a >= RUNNING for a, b in itertools.pairwise(changes))
