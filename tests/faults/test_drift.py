"""Other software, another machine and other clocks: refused, or written down, or of no matter."""

import os
import random
import shutil
import time

import pytest

import imgcollapse as ic
from imgcollapse.experiment import setup
from imgcollapse.io.atomic import sha256

LONGER = ["generations=3"]


@pytest.fixture
def elsewhere(monkeypatch):
    """Another torch, and other code, than a run has begun with."""
    here = setup.environment

    def made_with(device, study=None):
        return here(device, study) | {"torch": "99.0", "code": "0" * 12}

    monkeypatch.setattr(setup, "environment", made_with)


@pytest.mark.usefixtures("elsewhere")
def test_drift_is_refused_with_a_diff_in_one_line(study, small_run):
    before = {p: sha256(p) for p in small_run.rglob("*") if p.is_file()}
    with pytest.raises(ic.UserError) as refused:
        ic.run(study, small_run, LONGER)
    line = str(refused.value)
    torch, code = (ic.Run.open(small_run).record["made_with"][name] for name in ("torch", "code"))
    assert f"code from {code} to {'0' * 12}, torch from {torch} to 99.0 changed" in line
    assert "--allow-env-change" in line
    assert "\n" not in line
    assert before == {p: sha256(p) for p in before}


@pytest.mark.usefixtures("elsewhere")
def test_drift_may_be_accepted_and_is_written_down(study, small_run):
    torch = ic.Run.open(small_run).record["made_with"]["torch"]
    run = ic.run(study, small_run, LONGER, allow_env_change=True)
    (drift,) = ic.Run.open(small_run).record["drifts"]
    assert drift["from"]["torch"] == torch
    assert drift["to"] == {"torch": "99.0", "code": "0" * 12}
    assert run.record["made_with"]["torch"] == torch
    manifests = [run.lineages[0].manifest(g)["made_with"]["torch"] for g in range(4)]
    assert manifests == [torch, torch, torch, "99.0"]
    # It is what later sittings are compared with.
    ic.run(study, small_run, ["generations=4"])
    assert len(ic.Run.open(small_run).record["drifts"]) == 1


@pytest.mark.usefixtures("elsewhere")
def test_a_finished_run_has_nothing_to_drift(study, small_run):
    ic.run(study, small_run)
    assert "drifts" not in ic.Run.open(small_run).record


def test_the_fingerprint_knows_the_code_that_decides_bits(tmp_path, monkeypatch):
    for name in ("loop.py", "core/seeds.py", "report/page.py", "prepare.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("a = 1\n")
    monkeypatch.setattr(setup, "__file__", str(tmp_path / "experiment/setup.py"))
    code = setup.code_hash.__wrapped__
    before = code()
    (tmp_path / "report/page.py").write_text("a = 2\n")
    assert code() == before
    (tmp_path / "core/seeds.py").write_text("a = 2\n")
    assert code() != before
    (tmp_path / "core/seeds.py").rename(tmp_path / "core/seed.py")
    (tmp_path / "core/seed.py").write_text("a = 1\n")
    assert code() != before


def test_clocks_that_jump_and_scrambled_file_times_change_nothing(
    study, small_run, tmp_path, monkeypatch
):
    whole = ic.run(study, tmp_path / "whole", LONGER)
    year, lot = 365 * 24 * 3600, random.Random(0)
    shutil.rmtree(small_run / "gen_002")
    for path in small_run.rglob("*"):
        at = time.time() + lot.uniform(-year, year)
        os.utime(path, (at, at))
    real, jumps = time.time, iter(lambda: lot.choice((-year, 0, year)), None)
    monkeypatch.setattr(time, "time", lambda: real() + next(jumps))
    monkeypatch.setattr(time, "time_ns", lambda: int((real() + next(jumps)) * 1e9))
    again = ic.run(study, small_run, LONGER)
    for name in ("census.csv", "metrics.csv", "gen_003/model.safetensors"):
        assert sha256(again.path / name) == sha256(whole.path / name), name
    assert not ic.verify(small_run).wrong
