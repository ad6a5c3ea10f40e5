"""Disks without fsync of folders, flock, hard links, renaming over: said once, all else holds."""

import errno
import fcntl
import json
import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import imgcollapse as ic
from imgcollapse.io import atomic, checksums
from imgcollapse.io.atomic import sha256
from imgcollapse.io.lock import LOCK, folder_lock
from imgcollapse.runs.run_dir import Run

from . import poor_disk
from .conftest import FILTERED
from .shim import calls_of, killed_at
from .test_lock import leave_lock

ALL = "fsync", "flock", "link", "rename"
CODES = [errno.EINVAL, errno.ENOTSUP, errno.EIO]
NO_FLUSH = "this disk does not flush folders"
NO_FLOCK = "this disk has no flock"
NO_RENAME = "this disk cannot rename over a file"


@pytest.fixture(autouse=True)
def _as_before(monkeypatch):
    for name in ("fsync", "link", "rename", "replace"):
        monkeypatch.setattr(os, name, getattr(os, name))
    monkeypatch.setattr(fcntl, "flock", fcntl.flock)
    monkeypatch.setattr(atomic, "_told", set())


@pytest.fixture
def command(tmp_path):
    """Runs the command line on a poor disk; returns what it says on stderr."""

    def call(*words, what=ALL, code=errno.EINVAL):
        shim = tmp_path / "shim"
        shim.mkdir(exist_ok=True)
        shutil.copy(poor_disk.__file__, shim / "sitecustomize.py")
        paths = os.pathsep.join([str(shim), str(Path(ic.__file__).parents[1])])
        poor = {"POOR_DISK": " ".join(what), "POOR_DISK_CODE": str(code)}
        line = [sys.executable, "-m", "imgcollapse", *map(str, words)]
        done = subprocess.run(
            line, capture_output=True, text=True, env=os.environ | poor | {"PYTHONPATH": paths}
        )
        assert done.returncode == 0, done.stderr
        return done.stderr

    return call


@pytest.mark.parametrize("code", CODES)
def test_a_folder_that_cannot_be_flushed_is_said_once(code, tmp_path, caplog):
    poor_disk.refuse("fsync", code=code)
    with caplog.at_level(logging.WARNING):
        for name in ("a", "b"):
            atomic.write_bytes(atomic.make_folder(tmp_path / name) / "x", b"1")
    assert [NO_FLUSH in line for line in caplog.messages] == [True]
    assert (tmp_path / "b/x").read_bytes() == b"1"


def test_other_errors_of_a_folder_and_all_of_a_file_are_not_passed_over(tmp_path, monkeypatch):
    poor_disk.refuse("fsync", code=errno.ENOSPC)
    with pytest.raises(ic.UserError, match="No space left"):
        atomic.make_folder(tmp_path / "a")

    def broken(_):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(ic.UserError, match="Input/output error"):
        atomic.write_bytes(tmp_path / "x", b"1")
    assert not (tmp_path / "x").exists()


def test_a_lock_works_without_flock_and_without_renaming_over(tmp_path, caplog):
    poor_disk.refuse(*ALL)
    leave_lock(tmp_path, pid=2**22 + 1)  # taken over from a dead process, and from an empty folder
    for _ in range(2):
        with folder_lock(tmp_path):
            with pytest.raises(ic.UserError, match="is at work in it"), folder_lock(tmp_path):
                pass
            assert len(list((tmp_path / LOCK).iterdir())) == 1
        (tmp_path / LOCK).mkdir()
    assert sum(NO_FLOCK in line for line in caplog.messages) == 1


def test_a_kill_at_any_call_of_a_replacement_in_two_steps_loses_no_file(tmp_path, caplog):
    poor_disk.refuse(*ALL)
    path, record = tmp_path / "run.json", {"format": 4, "a": "old"}

    def replace():
        checksums.write_json(path, record | {"a": "new"})

    checksums.write_json(path, record)
    calls = calls_of(replace)
    assert calls.count("rename") == 2
    assert sum(NO_RENAME in line for line in caplog.messages) == 1
    found = []
    for k in range(1, len(calls) + 1):
        checksums.write_json(path, record)
        assert killed_at(k, replace), k
        atomic.remove_orphans(tmp_path)
        found.append(checksums.read_json(path, "")["a"])
        assert [p.name for p in tmp_path.iterdir()] == ["run.json"]
    assert found == sorted(found, reverse=True)  # the old one up to a call, and the new one after
    assert set(found) == {"old", "new"}


def test_a_run_goes_on_whose_record_was_being_replaced(run_folder, study, finished):
    record = run_folder / "run.json"
    record.rename(record.with_name("run.json.former.tmp"))
    manifest = run_folder / "gen_001/manifest.json"
    manifest.rename(manifest.with_name("manifest.json.former.tmp"))
    assert ic.run(study, run_folder, FILTERED).census.equals(Run.open(finished).census)
    assert not list(run_folder.rglob("*.tmp"))


def test_a_run_on_such_a_disk_has_the_same_bits_and_says_so_once(
    command, study, finished, tmp_path
):
    folder = tmp_path / "run"
    said = command("run", study, *FILTERED, "--out", folder)
    assert [said.count(line) for line in (NO_FLUSH, NO_FLOCK, NO_RENAME)] == [1, 1, 1]
    for name in ("census.csv", "metrics.csv", "curation.csv", "gen_002/model.safetensors"):
        assert sha256(folder / name) == sha256(finished / name), name


@pytest.mark.parametrize(
    "kills", [pytest.param(2, id="few"), pytest.param(20, id="20", marks=pytest.mark.faults)]
)
def test_kills_on_such_a_disk_end_with_the_bits_of_an_unbroken_run(command, study, tmp_path, kills):
    said = command("chaos", study, "--kills", kills, "--out", tmp_path / "chaos", code=errno.EIO)
    record = json.loads((tmp_path / "chaos/chaos.json").read_text())
    assert [kill["survived"] for kill in record["hits"]] == [True] * kills
    assert not record["wrong"]
    assert said.count(NO_FLUSH) == 1
