"""The picks file: what is written is read back, and what is wrong is one line."""

import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from imgcollapse.core.errors import UserError
from imgcollapse.core.images import UNKNOWN
from imgcollapse.curation import Pick, Picks, PicksTarget
from imgcollapse.curation.picks_file import MAX_BYTES

ABOUT = PicksTarget(
    lineage=0, generation=1, samples="a" * 64, size=50, classes=["cat", "dog", "<b>"]
)
NOBODY = Picks.empty(ABOUT)

some_pick = st.one_of(
    st.builds(
        Pick, verdict=st.sampled_from(["keep", "reject", "nonsense", None]), at=st.integers(0, 9)
    ),
    st.builds(
        Pick, verdict=st.just("class"), name=st.sampled_from(ABOUT.classes), at=st.integers(0, 9)
    ),
)
some_picks = st.dictionaries(st.integers(0, 49).map(str), some_pick).map(
    lambda picks: NOBODY.model_copy(update={"picks": picks})
)


@settings(deadline=None, derandomize=True, max_examples=20)  # each example is flushed to disk
@given(some_picks)
def test_what_is_written_is_read_back(tmp_path_factory, picks):
    folder = tmp_path_factory.mktemp("lineage")
    assert Picks.read(picks.write(folder), ABOUT) == picks
    assert Picks.load(folder, ABOUT) == picks


@settings(deadline=None, derandomize=True, max_examples=50)
@given(some_picks, some_picks, some_picks)
def test_merging_keeps_the_later_verdict_whatever_the_order(a, b, c):
    both = a.merged(b)
    for row in {*a.picks, *b.picks}:
        times = [side.picks[row].at for side in (a, b) if row in side.picks]
        assert both.picks[row].at == max(times)
    assert a.merged(b).merged(c) == a.merged(b.merged(c))
    assert a.merged(a) == a.merged(NOBODY) == NOBODY.merged(a)


def test_the_later_word_on_being_done_holds():
    done = NOBODY.model_copy(update={"finished": True, "finished_at": 5})
    undone = NOBODY.model_copy(update={"finished": False, "finished_at": 6})
    assert NOBODY.merged(done).finished
    assert done.merged(NOBODY).finished
    assert not done.merged(undone).finished
    assert not undone.merged(done).finished
    assert NOBODY.merged(NOBODY.model_copy(update={"finished": True})).finished  # written by hand


def refused(tmp_path, data):
    path = tmp_path / "picks.json"
    path.write_bytes(data if isinstance(data, bytes) else json.dumps(data).encode())
    with pytest.raises(UserError) as error:
        Picks.read(path, ABOUT)
    said = str(error.value)
    assert said.startswith(str(path))
    assert len(said.splitlines()) == 1
    assert len(said) < len(str(path)) + 300
    return said


def a_file(**changes):
    return json.loads(NOBODY.model_dump_json()) | changes


def with_pick(row="1", **pick):
    return a_file(picks={row: {"verdict": "keep", "at": 1} | pick})


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "EOF"),
        (b"\xff\xfe\x00", "JSON"),
        (b"[" * 1_000_000, "JSON"),
        (b'{"format": 1' + b"0" * 10_000 + b"}", "out of range"),
        ({}, "lineage"),
        (a_file(format=2), "format"),
        (a_file(lineage=1), "lineage 1, not 0"),
        (a_file(generation=2), "generation 2, not 1"),
        (a_file(samples="b" * 64), "another run"),
        (a_file(samples="../../etc/passwd"), "samples"),
        (a_file(finished="yes"), "finished"),
        (a_file(extra=1), "extra"),
        (a_file(**{"x" * 10_000 + "\n": 1}), "xxx"),
        (with_pick("50"), "row 50"),
        (with_pick("999999999999999999"), "picks"),
        (with_pick("01"), "picks"),
        (with_pick("-1"), "picks"),
        (with_pick("1.0"), "picks"),
        (with_pick("١"), "picks"),
        (with_pick(verdict="love"), "verdict"),
        (with_pick(verdict="class"), "class"),
        (with_pick(verdict="class", **{"class": "fox\n\x1b[2J"}), r"fox\n\x1b"),
        (with_pick(verdict="class", **{"class": 1}), "class"),
        (with_pick(**{"class": "cat"}), "class"),
        (with_pick(at=-1), "at"),
        (with_pick(at=1.5), "at"),
        (with_pick(at=2**70), "at"),
        (b'{"format": NaN}', "format"),
    ],
)
def test_what_is_wrong_is_one_line(tmp_path, data, says):
    assert says in refused(tmp_path, data)


def test_a_file_that_never_ends_is_not_read_to_its_end(tmp_path):
    path = tmp_path / "picks.json"
    with path.open("wb") as file:
        file.truncate(MAX_BYTES * 1000)  # sparse: it takes no room
    with pytest.raises(UserError, match="larger than"):
        Picks.read(path, ABOUT)
    with pytest.raises(UserError, match="directory"):
        Picks.read(tmp_path, ABOUT)


text = st.text("a0-\n\x00<é\u2028\U0001f436", max_size=5)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | text
json_values = scalars | st.lists(scalars, max_size=3) | st.dictionaries(text, scalars, max_size=3)
a_pick = st.fixed_dictionaries(
    {"verdict": st.sampled_from(["keep", "class", None]) | json_values},
    optional={"at": st.integers(-1, 5) | json_values, "class": json_values},
)
rows = st.integers(-1, 51).map(str) | text
mangled = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(
        ("format", "lineage", "generation", "samples", "finished", "finished_at"), json_values
    )
    | {"picks": json_values | st.dictionaries(rows, json_values | a_pick, max_size=4)},
)


@settings(deadline=None, derandomize=True, max_examples=200)
@given(st.binary(max_size=20) | mangled.map(lambda changes: json.dumps(a_file(**changes)).encode()))
def test_any_file_is_picks_about_this_generation_or_one_line(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "any.json"
    path.write_bytes(data)
    try:
        picks = Picks.read(path, ABOUT)
    except UserError as error:
        picks, line = None, str(error)
        assert len(line.splitlines()) == 1
    if picks:
        assert picks.samples == ABOUT.samples
        assert picks.dropped(ABOUT.size).shape == (50,)


def said(**verdicts):
    """Row => verdict, or a class name after `is_`."""
    picks = {
        row.removeprefix("r"): Pick(verdict="class", name=v[3:], at=1)
        if v.startswith("is ")
        else Pick.model_validate({"verdict": v, "at": 1})
        for row, v in verdicts.items()
    }
    return NOBODY.model_copy(update={"picks": picks})


def test_what_people_say_becomes_classes():
    picks = said(
        r0="keep", r1="is dog", r2="reject", r3="nonsense", r4="keep", r5="is cat", r6="keep"
    )
    counted = torch.tensor([0, 0, 0, 1, UNKNOWN, UNKNOWN, 1], dtype=torch.int16)
    nobody = torch.full((7,), UNKNOWN, dtype=torch.int16)
    rows, classes = picks.named_classes(nobody, counted, ABOUT.classes)
    assert rows.tolist() == [0, 1, 3, 5, 6]  # 2 was rejected, 4 was kept without a name
    assert classes.tolist() == [0, 1, UNKNOWN, 0, 1]
    # A label that was asked for is what a kept sample is: people saw it, not the oracle's name.
    asked = torch.tensor([2, 0, 0, 0, 0, 0, 0], dtype=torch.int16)
    rows, classes = picks.named_classes(asked, counted, ABOUT.classes)
    assert rows.tolist() == [0, 1, 3, 4, 5, 6]
    assert classes.tolist() == [2, 1, UNKNOWN, 0, 0, 0]


def test_a_verdict_taken_back_is_none():
    picks = said(r0="reject").merged(
        NOBODY.model_copy(update={"picks": {"0": Pick(verdict=None, at=2)}})
    )
    assert not picks.reviewed
    assert not picks.dropped(5).any()
