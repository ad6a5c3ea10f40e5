"""What measuring has found is not found again."""

import shutil
from dataclasses import replace

import pytest
import torch

import imgcollapse as ic
from imgcollapse import chance
from imgcollapse.config import load_study
from imgcollapse.launch import begin, join
from imgcollapse.metrics.panel import RealSide
from imgcollapse.oracle import FrozenOracle
from imgcollapse.progress import Silent
from imgcollapse.run_folder import CHANCE, DERIVED, FEATURES


@pytest.fixture
def blind(monkeypatch):
    """Nobody looks at images, makes a floor, or replays a perfect learner."""

    def refuse(*_, **__):
        raise AssertionError("it was found before")

    monkeypatch.setattr(FrozenOracle, "answer", refuse)
    monkeypatch.setattr(RealSide, "_halved", refuse)
    monkeypatch.setattr(chance, "null", refuse)
    monkeypatch.setattr(chance, "images", refuse)


def alike(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[n], other[n]) for n in one)


def test_no_image_set_is_shown_to_the_oracle_twice(config, tmp_path, monkeypatch):
    shown, answer = [], FrozenOracle.answer

    def counted(oracle, pixels):
        shown.append(pixels.numpy().tobytes())
        return answer(oracle, pixels)

    monkeypatch.setattr(FrozenOracle, "answer", counted)
    ic.run(config, tmp_path / "run", ["curation={kind: verifier, level: 0.5}", "samples=200"])
    # Calibration, reference, real training images, and the samples of three generations; the
    # filters of generations 0 to 2 judge by the same answers.
    assert len(shown) == len(set(shown)) == 6


@pytest.fixture
def begun(config, tmp_path):
    """A study that has begun, and what its laboratory found."""
    study = load_study(config)
    run, laboratory = begin(study, tmp_path / "run", Silent())
    return study, run, laboratory


def test_a_run_that_goes_on_and_its_workers_find_nothing_again(begun, request):
    study, run, laboratory = begun
    before = {name: (run.path / name).stat().st_mtime_ns for name in run.files}
    request.getfixturevalue("blind")
    for later in (begin, join):
        again = later(study, run.path, Silent())[1]
        assert alike(again.features, laboratory.features)
        assert alike(again.chance, laboratory.chance)
        assert again.expectations == laboratory.expectations
    assert before == {name: (run.path / name).stat().st_mtime_ns for name in run.files}


def test_a_sibling_has_looked_at_the_same_images(begun, config, tmp_path, monkeypatch):
    run, laboratory = begun[1:]
    monkeypatch.setattr(FrozenOracle, "answer", None)
    arm = load_study(config, ["regime=accumulate"])
    beside, theirs = begin(arm, tmp_path / "arm", Silent(), sibling=run.path)
    assert alike(theirs.features, laboratory.features)
    assert not alike(theirs.chance, laboratory.chance)  # chance does otherwise there
    assert beside.record["files"][FEATURES] == run.record["files"][FEATURES]


def test_a_longer_run_has_the_chance_of_all_its_generations(begun, config):
    _, run, laboratory = begun
    longer = load_study(config, ["generations=5"])
    run, found = begin(longer, run.path, Silent())
    assert len(found.chance["drift_low"]) == 6
    assert torch.equal(found.chance["drift_low"][:4], laboratory.chance["drift_low"])
    assert alike(run.derived(CHANCE, run.made_with), found.chance)
    assert alike(run.derived(FEATURES, run.made_with), laboratory.features)


@pytest.mark.parametrize("name", DERIVED)
def test_what_was_lost_is_found_again_to_the_same_bytes(begun, name):
    study, run, _ = begun
    whole = (run.path / name).read_bytes()
    (run.path / name).unlink()
    begin(study, run.path, Silent())
    assert (run.path / name).read_bytes() == whole


def test_a_finished_run_keeps_its_files_where_the_machine_is_another(config, tmp_path, monkeypatch):
    run = ic.run(config, tmp_path / "run")
    before = shutil.copytree(run.path, tmp_path / "before")
    answer = FrozenOracle.answer

    def elsewhere(oracle, pixels):
        answers = answer(oracle, pixels)
        return replace(answers, features=answers.features * (1 + 1e-6))

    monkeypatch.setattr(FrozenOracle, "answer", elsewhere)
    monkeypatch.setattr("imgcollapse.launch.made_with", lambda _: {"torch": "99.0"})
    monkeypatch.setattr("imgcollapse.prepare.made_with", lambda _: {"torch": "99.0"})
    ic.run(config, tmp_path / "run")
    for name in run.files:
        assert (run.path / name).read_bytes() == (before / name).read_bytes(), name
