"""What people say of a generation decides what the next model is trained on, and nothing else."""

import json
import shutil
from itertools import count

import pytest
import torch

import imgcollapse as ic
from imgcollapse.core.errors import UserError
from imgcollapse.core.images import UNKNOWN, Images
from imgcollapse.core.progress import NullProgress
from imgcollapse.core.seeds import Seed
from imgcollapse.curation import ByHand, Pick, Picks, PicksTarget
from imgcollapse.io import checksums
from imgcollapse.io.atomic import sha256

SEED = Seed(("picks",))
STUDY = """
samples: 40
data: {kind: digits}
longtail: {kind: exponential, factor: 8, images: 40}
splits: {oracle: 60, calibration: 30, reference: 20}
generator: {kind: resample}
oracle: {kind: cnn, steps: 40, width: 8}
threads: 1
"""
PATIENT, AT_ONCE, DROPPING = (
    f"curation={{kind: picks, {settings}}}"
    for settings in ("wait: true", "wait: false", "wait: false, unreviewed: drop")
)


def say(lineage, g, finished=False, **verdicts):
    """Leave picks in a lineage's folder; a verdict that is no word is a class."""
    subject = PicksTarget.open(lineage.path, g)
    picks = {
        row.removeprefix("r"): Pick(verdict="class", name=word, at=1)
        if word in subject.classes
        else Pick.model_validate({"verdict": word, "at": 1})
        for row, word in verdicts.items()
    }
    new = Picks.empty(subject).model_copy(
        update={"picks": picks, "finished": finished, "finished_at": int(finished)}
    )
    return Picks.load(lineage.path, subject).merged(new).write(lineage.path)


VERDICTS = {"r0": "reject", "r3": "nonsense", "r5": "keep", "r6": "7", "r39": "reject"}
LEFT = [row for row in range(40) if row not in (0, 3, 39)]


@pytest.fixture(scope="module")
def _begun(tmp_path_factory):
    """A study of conditional copies that has drawn its first 40 samples; to be copied."""
    path = tmp_path_factory.mktemp("begun") / "study.yaml"
    path.write_text(STUDY)
    return ic.run(path, path.parent / "run", ["generations=1", AT_ONCE]).path


@pytest.fixture
def config(_begun):
    return _begun.parent / "study.yaml"


@pytest.fixture
def first(_begun, tmp_path):
    """The same under other settings, which have had no say in generation 1."""

    def begin(**settings):
        record = checksums.read_json(_begun / "run.json", "")
        record["study"]["curation"][0] |= settings
        shutil.copytree(_begun, tmp_path / "run")
        checksums.write_json(tmp_path / "run/run.json", record)
        return ic.Run.open(tmp_path / "run").lineages[0]

    return begin


def go_on(config, lineage, settings, generations=2, reporter=None):
    settings = [f"generations={generations}", settings]
    return ic.run(config, lineage.path, settings, reporter=reporter).lineages[0]


def pairs(pixels, labels):
    """Each image with its label."""
    return [(p.numpy().tobytes(), label) for p, label in zip(pixels, labels.tolist(), strict=True)]


def test_the_next_model_is_trained_on_just_what_people_left_as_they_named_it(config, first):
    lineage = first()
    path = say(lineage, 1, **VERDICTS)
    digest = sha256(path)
    after = go_on(config, lineage, AT_ONCE)
    seven = after.samples(1).labels.clone()
    classes = ic.Run.open(lineage.path).record["classes"]
    seven[6] = classes.index("7")
    kept, chosen, drawn = after.selection(1), after.training_set(2), after.samples(2)
    assert kept.rows.tolist() == chosen.row.tolist() == LEFT
    assert kept.labels.tolist() == seven[LEFT].tolist()
    # The model resamples: whatever it draws is one of those, under the name that people gave.
    left = pairs(after.samples(1).pixels[LEFT], seven[LEFT])
    assert set(pairs(drawn.pixels, drawn.labels)) <= set(left)
    assert after.manifest(2)["evidence"] == {"picks/gen_001.json": digest}
    assert after.manifest(1)["evidence"] == {}
    account = after.curation[after.curation["generation"] == 1]
    assert (account.n.sum(), account.kept.sum(), account.relabelled.sum()) == (40, 37, 1)


def test_what_is_said_later_changes_nothing_that_is_committed(config, first):
    lineage = first()
    say(lineage, 1, **VERDICTS)
    go_on(config, lineage, AT_ONCE)
    before = {p: sha256(p) for p in sorted(lineage.path.glob("gen_*/*"))}
    say(lineage, 1, r10="reject")
    longer = go_on(config, lineage, AT_ONCE, 3)
    assert {p: sha256(p) for p in before} == before
    assert longer.selection(1).rows.tolist() == LEFT
    assert longer.selection(2).rows.tolist() == list(range(40))


def test_only_what_was_reviewed_enters_where_the_rest_is_dropped(config, first):
    lineage = first(unreviewed="drop")
    with pytest.raises(UserError, match="drop all of generation 1; keep some: imgcoll"):
        go_on(config, lineage, DROPPING)
    say(lineage, 1, **VERDICTS)
    assert go_on(config, lineage, DROPPING).training_set(2).row.tolist() == [5, 6]


class Reviewer(NullProgress):
    """Says what it hears, and does something when a run waits for it."""

    def __init__(self, act):
        self.act, self.heard = act, []

    def log(self, line):
        self.heard.append(line)
        if "imgcollapse review" in line:
            self.act()


def test_a_run_waits_until_people_are_done_and_says_how(config, first):
    lineage = first(wait=True)
    calls = count(1)

    def review():
        """Verdicts without an end, then a file that is half copied, then the whole."""
        match next(calls):
            case 1:
                path = say(lineage, 1, **VERDICTS)
                path.write_bytes(path.read_bytes()[:-9])
            case 2:
                (lineage.path / "picks/gen_001.json").unlink()
                say(lineage, 1, finished=True, **VERDICTS)

    reviewer = Reviewer(review)
    after = go_on(config, lineage, PATIENT, reporter=reviewer)
    assert after.training_set(2).row.tolist() == LEFT
    first_line, second_line = reviewer.heard[:2]
    assert first_line.endswith(f": imgcollapse review {lineage.path} --generation 1")
    assert "damaged, or changed by hand" in second_line
    assert "\n" not in second_line


def test_an_interrupt_while_it_waits_loses_nothing(config, first):
    lineage = first(wait=True)

    def interrupt():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        go_on(config, lineage, PATIENT, reporter=Reviewer(interrupt))
    assert lineage.generations == 2
    say(lineage, 1, finished=True, **VERDICTS)
    assert go_on(config, lineage, PATIENT).training_set(2).row.tolist() == LEFT


def test_each_lineage_has_picks_of_its_own(first):
    lineage = first(wait=True)
    path = say(lineage, 1, finished=True)
    assert ByHand().pending_reason(1, lineage.path) is None
    other = lineage.path / "lineage_007"
    shutil.copytree(lineage.path / "gen_001", other / "gen_001")
    line = ByHand().pending_reason(1, other)
    assert line is not None
    assert line.endswith(f"review {lineage.path} --generation 1 --lineage 7")
    with pytest.raises(UserError, match="is about lineage 0, not 7"):
        Picks.read(path, PicksTarget.open(other, 1))


def test_a_single_lineage_lies_in_a_run_of_any_name(first, tmp_path):
    lineage = first(wait=True)
    run = lineage.path.rename(tmp_path / "lineage_007")
    assert PicksTarget.open(run, 1).lineage == 0
    line = ByHand().pending_reason(1, run)
    assert line is not None
    assert line.endswith(f"review {run} --generation 1")


def test_where_filters_before_have_left_nothing_people_are_not_blamed(first, shown):
    lineage = first()
    seen = shown([0] * 40, folder=lineage.path)
    assert len(ByHand(wait=False).keep(seen[torch.arange(0)], SEED)) == 0


def test_an_unconditional_model_is_told_no_class_and_others_before_are_heard(first, shown):
    lineage = first()
    say(lineage, 1, **VERDICTS)
    classes = ic.Run.open(lineage.path).record["classes"]
    seen = shown([0] * 40, classes=classes, folder=lineage.path)
    nobody = torch.full((40,), UNKNOWN, dtype=torch.int16)
    unnamed = shown(
        [0] * 40, classes=classes, folder=lineage.path, images=Images(seen.images.pixels, nobody)
    )
    assert ByHand(wait=False).keep(unnamed, SEED).labels.unique().tolist() == [UNKNOWN]
    # Where an earlier filter has closed ranks, rows are still rows of the generation.
    some = torch.tensor([6, 0, 5, 20])
    kept = ByHand(wait=False).keep(seen[some], SEED)
    assert kept.rows.tolist() == [6, 5, 20]
    assert kept.labels.tolist() == [classes.index("7"), 0, 0]
    assert ByHand().pending_reason(0, lineage.path) is None
    assert json.loads((lineage.path / "picks/gen_001.json").read_text())["format"] == 1
