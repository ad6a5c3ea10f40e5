import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgcollapse.census import RUNNING, statuses


def words(pattern):
    """'11000' => the statuses as letters (p, b, e) and the generations of the calls."""
    found = list(statuses(letter == "1" for letter in pattern))
    return "".join(status[0] for status, _ in found), [called for _, called in found]


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        ("111111", "pppppp"),
        ("110000", "ppbbee"),
        ("110010", "ppbbpb"),  # two misses are no extinction
        ("1000100", "pbbeeee"),  # one sighting takes no call back
        ("10001110", "pbbeeepb"),  # three running do
        ("000000", "bbbbbb"),  # never seen: nothing can be said of it
        ("", ""),
    ],
)
def test_what_is_said(seen, said):
    assert words(seen)[0] == said


def test_the_call_keeps_its_generation():
    assert words("1000000")[1] == [None, None, None, 3, 3, 3, 3]


@given(st.lists(st.booleans()), st.lists(st.booleans()))
def test_what_was_said_does_not_change_with_what_follows(before, after):
    assert list(statuses(before + after))[: len(before)] == list(statuses(before))


@given(st.lists(st.booleans(), min_size=1))
def test_a_call_is_never_taken_back_within_three_generations(seen):
    said = [status for status, _ in statuses(seen)]
    changes = [g for g in range(1, len(said)) if (said[g] == "extinct") != (said[g - 1] == "extinct")]
    assert all(b - a >= RUNNING for a, b in zip(changes, changes[1:], strict=False))
