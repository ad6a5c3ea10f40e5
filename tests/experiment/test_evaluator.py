"""Nothing that was measured before is measured again."""

from dataclasses import replace

import pytest
import torch

import imgcollapse as ic
from imgcollapse.config.loader import load_study
from imgcollapse.core.progress import NullProgress
from imgcollapse.experiment import null_model, setup
from imgcollapse.experiment.evaluator import Evaluator
from imgcollapse.experiment.runner import begin, join
from imgcollapse.io.atomic import write_tensors
from imgcollapse.metrics import WordReference, suite
from imgcollapse.metrics.suite import RealReference
from imgcollapse.oracle import FrozenOracle
from imgcollapse.runs.run_dir import CHANCE, DERIVED, REAL_SIDE


@pytest.fixture
def blind(monkeypatch):
    """Nobody looks at images, makes a floor, or replays a perfect learner."""

    def refuse(*_, **__):
        raise AssertionError("it was found before")

    monkeypatch.setattr(FrozenOracle, "predict", refuse)
    monkeypatch.setattr(RealReference, "_halved", refuse)
    monkeypatch.setattr(WordReference, "_halved", refuse)
    monkeypatch.setattr(suite, "nearest", refuse)
    monkeypatch.setattr(null_model, "simulate_labels", refuse)
    monkeypatch.setattr(null_model, "simulate_images", refuse)


def alike(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[n], other[n]) for n in one)


def test_no_image_set_is_shown_to_the_oracle_twice(config, tmp_path, monkeypatch):
    shown, answer = [], FrozenOracle.predict

    def counted(oracle, pixels):
        shown.append(pixels.numpy().tobytes())
        return answer(oracle, pixels)

    monkeypatch.setattr(FrozenOracle, "predict", counted)
    ic.run(config, tmp_path / "run", ["curation={kind: verifier, level: 0.5}", "samples=200"])
    # Calibration, reference, real training images, and the samples of three generations; the
    # filters of generations 0 to 2 judge by the same answers.
    assert len(shown) == len(set(shown)) == 6


@pytest.fixture
def begun(config, tmp_path):
    """A study whose generation 0 is there, and what its laboratory found."""
    study = load_study(config)
    run, evaluator = begin(study, tmp_path / "run", NullProgress())
    lineage, real = run.lineages[0], evaluator.real.train
    counted, findings = evaluator.real_generation
    lineage.commit(0, real, counted, findings)
    return study, run, evaluator


def test_a_run_that_goes_on_and_its_workers_find_nothing_again(begun, request):
    study, run, evaluator = begun
    before = contents(run)
    commonest = run.metrics[run.metrics["class"] == evaluator.real.classes[0]]
    n = int(commonest.n.iloc[0])
    floors = {
        "all": evaluator.reference.floor(None, 40, "fid"),
        "a class": evaluator.reference.floor(0, n, "vendi"),
        "words": evaluator.words.floor(40, "vocab_tv"),
    }
    request.getfixturevalue("blind")
    for later in (begin, join):
        again = later(study, run.path, NullProgress())[1]
        assert alike(again.reference.state(), evaluator.reference.state())
        assert alike(again.null_model, evaluator.null_model)
        assert again.expectations == evaluator.expectations
        assert floors == {
            "all": again.reference.floor(None, 40, "fid"),
            "a class": again.reference.floor(0, n, "vendi"),
            "words": again.words.floor(40, "vocab_tv"),
        }
    assert contents(run) == before


def contents(run):
    files = [path for path in run.path.iterdir() if path.is_file() and path.suffix != ".jsonl"]
    return {path.name: path.read_bytes() for path in files}


def test_a_sibling_has_looked_at_the_same_images(begun, config, tmp_path, monkeypatch):
    run, evaluator = begun[1:]
    monkeypatch.setattr(Evaluator, "_features", None)
    arm = load_study(config, ["regime=accumulate"])
    beside, theirs = begin(arm, tmp_path / "arm", NullProgress(), sibling=run.path)
    assert alike(theirs.reference.state(), evaluator.reference.state())
    assert not alike(theirs.null_model, evaluator.null_model)  # chance does otherwise there
    assert beside.record["files"][REAL_SIDE] == run.record["files"][REAL_SIDE]


def test_a_longer_run_has_the_chance_of_all_its_generations(begun, config):
    _, run, evaluator = begun
    longer = load_study(config, ["generations=5"])
    run, found = begin(longer, run.path, NullProgress())
    assert len(found.null_model["drift_low"]) == 6
    assert torch.equal(found.null_model["drift_low"][:4], evaluator.null_model["drift_low"])
    assert alike(run.derived(CHANCE, run.environment), found.null_model)
    assert alike(run.derived(REAL_SIDE, run.environment), evaluator.reference.state())


@pytest.mark.parametrize("name", DERIVED)
def test_what_was_lost_is_found_again_to_the_same_bytes(begun, name):
    study, run, _ = begun
    whole = (run.path / name).read_bytes()
    (run.path / name).unlink()
    begin(study, run.path, NullProgress())
    assert (run.path / name).read_bytes() == whole


def test_a_run_of_before_these_files_gets_them(begun):
    study, run, _ = begun
    whole = contents(run)
    del run.record["features"]
    for name in (REAL_SIDE, CHANCE):
        (run.path / name).unlink()
        del run.record["files"][name]
    run._write()
    assert not ic.verify(run.path, quick=True).wrong
    begin(study, run.path, NullProgress())
    after = contents(run)
    assert {name: after[name] for name in DERIVED} == {name: whole[name] for name in DERIVED}
    assert ic.Run.open(run.path).record["features"].startswith("oracle")


@pytest.fixture
def elsewhere(monkeypatch):
    """A machine whose products round otherwise."""
    answer, here = FrozenOracle.predict, setup.environment

    def other(oracle, pixels):
        answers = answer(oracle, pixels)
        return replace(answers, features=answers.features * (1 + 1e-6))

    monkeypatch.setattr(FrozenOracle, "predict", other)
    monkeypatch.setattr(setup, "environment", lambda *about: here(*about) | {"torch": "99.0"})


def test_a_run_that_goes_on_elsewhere_looks_at_its_images_there(begun, request):
    study, run, evaluator = begun
    request.getfixturevalue("elsewhere")
    run, found = begin(study, run.path, NullProgress(), allow_env_change=True)
    there, here = (lab.reference.state()["reference"] for lab in (found, evaluator))
    assert not torch.equal(there, here)
    assert alike(run.derived(REAL_SIDE, run.environment), found.reference.state())
    # Floors of another machine's bits are not taken over.
    assert found.reference.floor(None, 40, "fid") != evaluator.reference.floor(None, 40, "fid")


def test_a_finished_run_stays_as_it_is_elsewhere(config, tmp_path, request):
    run = ic.run(config, tmp_path / "run")
    before = contents(run)
    request.getfixturevalue("elsewhere")
    ic.run(config, tmp_path / "run")
    assert contents(run) == before


@pytest.mark.parametrize("name", [REAL_SIDE, CHANCE])
def test_what_a_finished_run_lost_is_forgotten_elsewhere(config, tmp_path, request, name):
    """It would have other bits there, and nobody needs it."""
    run = ic.run(config, tmp_path / "run")
    (run.path / name).write_bytes(b"damaged")
    assert ic.verify(run.path, quick=True).wrong
    request.getfixturevalue("elsewhere")
    ic.run(config, tmp_path / "run")
    assert not ic.verify(run.path, quick=True).wrong
    assert name not in ic.Run.open(run.path).files


@pytest.mark.parametrize(
    "change",
    [
        lambda seen: {**seen, "train": seen["train"][:5]},
        lambda seen: {**seen, "train": seen["train"][:, :2]},
        lambda seen: {**seen, "nearest": seen["nearest"][:2]},
        lambda seen: {name: seen[name] for name in ("reference", "train")},
    ],
)
def test_a_real_side_that_does_not_fit_is_found_again(begun, change):
    study, run, evaluator = begun
    whole = evaluator.reference.state()
    digest = write_tensors(run.path / REAL_SIDE, change(whole))
    run.record["files"][REAL_SIDE] = digest
    run._write()
    again, found = begin(study, run.path, NullProgress())
    assert alike(found.reference.state(), whole)
    assert alike(again.derived(REAL_SIDE, again.environment), whole)


def test_another_extractor_has_not_seen_them(begun):
    study, run, evaluator = begun
    run.record["features"] = "another network"
    assert (
        setup.load_cached_reference(study, evaluator.real, evaluator.oracle, evaluator.device, run)
        is None
    )


def test_what_a_users_own_part_made_of_chance_is_found_again(begun, tmp_path, monkeypatch):
    """Its code may have changed, and no fingerprint knows it."""
    study, run, evaluator = begun
    (tmp_path / "mine.py").write_text(
        "from imgcollapse.regimes import Replace\nclass Mine(Replace):\n    kind: str\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    mine = ic.Study.model_validate(study.resolved() | {"regime": {"kind": "mine:Mine"}})
    assert setup.load_cached_null_model(study, run, evaluator.device)
    assert setup.load_cached_null_model(mine, run, evaluator.device) is None


def test_generation_0_is_measured_once_for_all_lineages(config, tmp_path, monkeypatch):
    shown, count = [], ic.census.count

    def counted(g, *of):
        shown.append(g)
        return count(g, *of)

    monkeypatch.setattr(ic.census, "count", counted)
    run = ic.run(config, tmp_path / "run", ["lineages=3", "generations=1"])
    assert shown == [0, 1, 1, 1]
    first, *others = [lineage.manifest(0) for lineage in run.lineages]
    assert all(other["metrics"] == first["metrics"] for other in others)
