"""Kills, and a full disk, at every call of a commit: what was there before always loads."""

import hashlib
import json
import os
import shutil
import subprocess
import sys

import pytest
import torch

import imgcollapse as ic
from imgcollapse.io import checksums
from imgcollapse.io.atomic import sha256
from imgcollapse.runs.lineage_dir import Lineage
from imgcollapse.runs.run_dir import Run

from .conftest import FILTERED
from .shim import calls_of, full_at, killed_at

EVERY = pytest.mark.parametrize(
    ("before", "step"),
    [(2, 5), *(pytest.param(g, 1, marks=pytest.mark.faults) for g in (0, 2))],
    indirect=["before"],
)
"""Generation that is committed, and of how many calls one is hit: all of them by -m faults."""


def recommit(source: Lineage, lineage: Lineage, g: int, few: int | None = None) -> None:
    """Commit what another lineage has committed as generation g."""
    lineage.made_with = source.manifest(g)["made_with"]
    manifest = dict(source.manifest(g))
    for key in ("generation", "files", "made_with"):
        del manifest[key]
    for key in ("census", "metrics", "curation"):
        if key in manifest:
            manifest[key] = manifest[key][:few]
    findings = manifest | {"words": source.words(g)}
    lineage.commit(
        g,
        source.samples(g),
        source.counted(g),
        findings,
        source.training_set(g) if g else None,
        source.model(g) if g else None,
        source.selection(g - 1) if g else None,
    )


def content(folder) -> dict[str, str]:
    """sha256 of every file but the log, whose lines say when."""
    files = (p for p in folder.rglob("*") if p.is_file() and p.name != "events.jsonl")
    return {p.relative_to(folder).as_posix(): sha256(p) for p in files}


@pytest.fixture(scope="session")
def short(finished, tmp_path_factory):
    """The finished run with few findings, so that its tables are quickly written."""
    folder = shutil.copytree(finished, tmp_path_factory.mktemp("short") / "run")
    (folder / "events.jsonl").unlink()
    for g in range(3):
        shutil.rmtree(folder / f"gen_{g:03d}")
        recommit(Lineage(finished), Lineage(folder), g, few=2)
    return folder


@pytest.fixture
def before(request, short, tmp_path):
    """That run as it was before a generation was committed."""
    g, folder = request.param, tmp_path / "before"
    folder.mkdir()
    for path in short.glob("*.safetensors"):
        shutil.copy(path, folder)
    for earlier in range(g):
        shutil.copytree(short / f"gen_{earlier:03d}", folder / f"gen_{earlier:03d}")
    Lineage(folder).resume()
    whole = shutil.copytree(folder, tmp_path / "whole")
    recommit(Lineage(short), Lineage(whole), g)
    return g, folder, content(whole)


def there(folder, short) -> int:
    """How many generations load, each as it was committed."""
    lineage = Lineage(folder)
    lineage.resume()
    for earlier in range(lineage.generations):
        assert lineage.manifest(earlier) == Lineage(short).manifest(earlier)
        assert lineage.samples(earlier).pixels.equal(Lineage(short).samples(earlier).pixels)
    return lineage.generations


@EVERY
def test_a_kill_at_any_call_of_a_commit_loses_nothing(before, step, short, tmp_path):
    g, folder, whole = before
    trial = tmp_path / "trial"
    shutil.copytree(folder, trial)
    calls = calls_of(lambda: recommit(Lineage(short), Lineage(trial), g))
    assert {"open", "write", "fsync", "replace", "mkdir", "rename"} <= set(calls)
    appeared = []
    for k in range(1, len(calls) + 1, step):
        shutil.rmtree(trial)
        shutil.copytree(folder, trial)
        assert killed_at(k, lambda: recommit(Lineage(short), Lineage(trial), g)), k
        appeared.append(there(trial, short) == g + 1)
        if not appeared[-1]:
            recommit(Lineage(short), Lineage(trial), g)
        assert content(trial) == whole, (k, calls[k - 1])
    # It is not there up to the rename of its folder, and there from then on.
    assert appeared == sorted(appeared)
    assert appeared.index(True) == -(-(calls.index("rename") + 1) // step)


@EVERY
def test_a_full_disk_at_any_call_of_a_commit_is_one_line_and_loses_nothing(
    before, step, short, tmp_path
):
    g, folder, whole = before
    trial, k, done, said = tmp_path / "trial", 1 - step, False, []
    while not done:
        k += step
        shutil.copytree(folder, trial)
        try:
            with full_at(k):
                recommit(Lineage(short), Lineage(trial), g)
            done = True
        except ic.UserError as error:
            said.append(str(error))
        if there(trial, short) == g:
            recommit(Lineage(short), Lineage(trial), g)
        assert content(trial) == whole
        shutil.rmtree(trial)
    assert len(said) == (k - 1) // step
    assert k > 20
    told = "No space left on device; free some space and run the same command again"
    assert all(told in line and "\n" not in line for line in said)


RECORD = {
    "study": {"lineages": 1, "generations": 1, "seed": 0},
    "classes": ["cat", "dog"],
    "shares": [0.5, 0.5],
    "shape": [1, 8, 8],
    "data": {"sha256": "0" * 64, "remarks": []},
    "oracle": {"accuracy": 0.5, "held_out": 1},
    "made_with": {"torch": "0"},
    "started": "2026",
}


def a_beginning(folder):
    names = "oracle", "splits", "vocabulary", "real_side"
    tensors = {f"{name}.safetensors": {"a": torch.arange(9)} for name in names}
    return Run.begin(folder, RECORD, tensors)


def test_a_kill_at_any_call_of_a_beginning_leaves_a_run_or_none(tmp_path):
    folder = tmp_path / "run"
    calls = calls_of(lambda: a_beginning(folder))
    whole = content(folder)
    for k in range(1, len(calls) + 1):
        shutil.rmtree(folder, ignore_errors=True)
        assert killed_at(k, lambda: a_beginning(folder)), k
        if (begun := Run.find(folder, RECORD["study"])) is None:
            a_beginning(folder)
        else:
            assert begun.oracle()["a"].tolist() == list(range(9))
        assert {n: h for n, h in content(folder).items() if ".tmp" not in n} == whole, calls[k - 1]


def longer_by(n):
    """A longer study, and the files that change with it."""
    splits = {"a": torch.arange(9 + n), "reserve_labels": torch.arange(n)}
    more = {"splits.safetensors": splits, "real_side.safetensors": {"a": torch.arange(n)}}
    return RECORD["study"] | {"generations": 1 + n}, more


def after_kills(start, folder, work, step=1):
    """A copy of `start` as a kill at each call of `work` leaves it."""
    shutil.copytree(start, folder, dirs_exist_ok=True)
    calls = len(calls_of(work))
    for k in range(1, calls + 1, step):
        shutil.rmtree(folder)
        shutil.copytree(start, folder)
        assert killed_at(k, work), k
        yield Run.open(folder)


def test_a_kill_while_a_run_is_made_longer_leaves_files_that_load(tmp_path):
    (longer, more), start, folder = longer_by(3), tmp_path / "start", tmp_path / "run"
    a_beginning(start)
    shutil.copytree(start, tmp_path / "whole")
    Run.open(tmp_path / "whole").extend(longer, more, {})
    for run in after_kills(start, folder, lambda: Run.open(folder).extend(longer, more, {})):
        for name in run.files:
            run.check(name)  # the old one, or the new
        run.extend(longer, more, {})
        assert content(folder) == content(tmp_path / "whole")


def test_a_second_kill_of_another_length_leaves_files_that_load(tmp_path):
    """What the first had replaced is not forgotten when the second says what it will replace."""
    start, once, twice = (tmp_path / name for name in ("start", "once", "twice"))
    a_beginning(start)
    (longer, more), (other, others) = longer_by(3), longer_by(5)
    for _ in after_kills(start, once, lambda: Run.open(once).extend(longer, more, {}), 3):
        shutil.rmtree(twice, ignore_errors=True)
        again = after_kills(once, twice, lambda: Run.open(twice).extend(other, others, {}), 3)
        for run in again:
            for name in run.files:
                run.check(name)


def test_files_are_as_open_as_the_user_wants_them(tmp_path, finished):
    for mask, file, folder in ((0o027, 0o640, 0o750), (0o002, 0o664, 0o775)):
        before = os.umask(mask)
        try:
            out = tmp_path / f"{mask:o}"
            run = a_beginning(out)
            lineage = Lineage(run.path)
            recommit(Lineage(finished), lineage, 0)
        finally:
            os.umask(before)
        for path in out.rglob("*"):
            assert path.stat().st_mode & 0o777 == (folder if path.is_dir() else file), path


def test_a_generation_in_anothers_place_is_refused(run_folder):
    shutil.rmtree(run_folder / "gen_002")
    (run_folder / "gen_001").rename(run_folder / "gen_002")
    shutil.copytree(run_folder / "gen_002", run_folder / "gen_001")
    with pytest.raises(ic.UserError, match=r"gen_002/manifest.json: is that of generation 1"):
        _ = Lineage(run_folder).census


def test_a_generation_without_its_manifest_is_told(run_folder):
    (run_folder / "gen_001/manifest.json").unlink()
    with pytest.raises(ic.UserError, match=r"gen_001: its manifest.json is missing; restore it"):
        Lineage(run_folder).resume()


def test_a_seal_is_of_the_bytes_before_it(tmp_path):
    path = tmp_path / "x.json"
    checksums.write_json(path, {"format": 4, "a": {"b": 1}})
    assert json.loads(path.read_text()).keys() == {"format", "a", "checksum"}
    assert checksums.read_json(path, "") == {"format": 4, "a": {"b": 1}}
    body, _, tail = path.read_bytes().partition(b',\n  "checksum": "')
    assert hashlib.sha256(body).hexdigest() == tail[:64].decode()
    path.write_text('{"format": 3}')
    with pytest.raises(ic.UserError, match="format 3 is not 4"):
        checksums.read_json(path, "mend", version=4)
    with pytest.raises(ic.UserError, match=r"its checksum is not that of its contents\); mend"):
        checksums.read_json(path, "mend", version=3)


@pytest.mark.faults
def test_a_disk_that_is_really_full_is_one_line_and_the_run_goes_on(study, finished, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = ["mount", "-t", "tmpfs", "-o", "size=1200k", "tmpfs", str(disk)]
    if os.geteuid() or subprocess.run(mounted, capture_output=True).returncode:
        pytest.skip("only root may mount a small disk")
    try:
        lines = []
        for spare in range(0, 700_000, 23_000):  # it fills up at another place each time
            (disk / "ballast").write_bytes(b"x" * (700_000 - spare))
            try:
                ic.run(study, disk / "run", FILTERED)
            except ic.UserError as error:
                lines.append(str(error))
        assert lines
        assert all("No space left on device; free some space" in line for line in lines)
        (disk / "ballast").unlink()
        again = ic.run(study, disk / "run", FILTERED)
        assert again.census.equals(ic.Run.open(finished).census)
    finally:
        subprocess.run(["umount", str(disk)], check=True)


STRACE = "strace -f -qq -o /dev/null -e trace={call} -e inject={call}:signal=KILL:when={k} --"


@pytest.mark.faults
@pytest.mark.skipif(not shutil.which("strace"), reason="needs strace")
@pytest.mark.parametrize("call", ["fsync", "rename", "mkdir"])
def test_a_kill_inside_a_system_call_ends_with_the_same_bits(study, finished, tmp_path, call):
    command = [sys.executable, "-m", "imgcollapse", "run", str(study), *FILTERED, "--out"]
    for k in (1, 3, 5, 8, 12, 17, 23):
        folder = tmp_path / f"{k}"
        shim = STRACE.format(call=call, k=k).split()
        subprocess.run([*shim, *command, str(folder)], capture_output=True)
        subprocess.run([*command, str(folder)], capture_output=True, check=True)
        for name in ("census.csv", "metrics.csv", "gen_002/model.safetensors"):
            assert sha256(folder / name) == sha256(finished / name), (k, name)
