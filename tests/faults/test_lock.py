"""Two processes on one folder: exactly one works, and a dead owner's lock is taken over."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from dataclasses import replace
from pathlib import Path

import pytest

import imgcollapse as ic
from imgcollapse.curation import Pick, Picks
from imgcollapse.curation.picks_file import now_ms
from imgcollapse.io import lock
from imgcollapse.io.atomic import remove_orphans
from imgcollapse.io.lock import LOCK, Owner, assert_still_owner, folder_lock
from imgcollapse.tools.review import ReviewSession

from .conftest import FILTERED

RACES = 50


def race(folder, start, answers):
    """Run for a folder, say whether it came in, and stay until the other has had its answer."""
    for _ in range(RACES):
        start.wait()
        try:
            with folder_lock(folder):
                answers.put("owner")
                start.wait()
        except ic.UserError as error:
            answers.put(str(error))
            start.wait()


def start_all(processes):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # 3.12 on: torch has started threads
        for process in processes:
            process.start()


@pytest.mark.parametrize("stale", [False, True])
def test_of_two_racing_processes_exactly_one_works(tmp_path, stale):
    folder = tmp_path / "run"
    context = multiprocessing.get_context("fork")
    start, answers = context.Barrier(3), context.Queue()
    racers = [context.Process(target=race, args=(folder, start, answers)) for _ in range(2)]
    start_all(racers)
    try:
        for _ in range(RACES):
            if stale:
                leave_lock(folder, pid=2**22 + 1)
            start.wait(30)
            said = sorted(answers.get(timeout=30) for _ in range(2))
            assert said.count("owner") == 1, said
            (told,) = (answer for answer in said if answer != "owner")
            assert any(f"process {racer.pid} on" in told for racer in racers)
            assert told.endswith("is at work in it; wait for its end, or end it")
            start.wait(30)
            while (folder / LOCK).exists():
                time.sleep(0.001)
    finally:
        for racer in racers:
            racer.kill() if sys.exception() else racer.join()


def leave_lock(folder, **of_owner):
    """What an owner leaves that could not release its lock."""
    (folder / LOCK).mkdir(parents=True)
    record = vars(replace(Owner.current(), **of_owner))
    (folder / LOCK / "abcd").write_bytes(b"%020d\n" % 7 + json.dumps(record).encode())
    return folder / LOCK / "abcd"


def test_a_killed_owner_is_taken_over_at_once(tmp_path):
    program = (
        "import sys, time; from pathlib import Path; from imgcollapse.io.lock import folder_lock\n"
        f"with folder_lock(Path({str(tmp_path)!r})): print('in', flush=True); time.sleep(60)"
    )
    owner = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert owner.stdout.readline() == "in\n"
    with (
        pytest.raises(ic.UserError, match=f"process {owner.pid} on .*, since 20"),
        folder_lock(tmp_path),
    ):
        pass
    owner.kill()
    os.waitid(os.P_PID, owner.pid, os.WEXITED | os.WNOWAIT)  # it is a zombie from here on
    said = []
    with folder_lock(tmp_path, said.append):
        assert len(list((tmp_path / LOCK).iterdir())) == 1
    owner.communicate()
    assert not said
    assert not (tmp_path / LOCK).exists()


def test_another_process_with_the_same_number_is_not_the_owner(tmp_path):
    leave_lock(tmp_path, born="1")
    with folder_lock(tmp_path):
        pass


def test_a_living_owner_elsewhere_is_known_by_its_heartbeat(tmp_path):
    file = leave_lock(tmp_path, kernel="another", host="far")
    beating = threading.Event()

    def beat():
        count = 8
        while not beating.wait(0.02):
            with file.open("r+b") as record:
                record.write(b"%020d\n" % count)
            count += 1

    heart = threading.Thread(target=beat)
    heart.start()
    try:
        said = []
        with (
            pytest.raises(ic.UserError, match="on far"),
            folder_lock(tmp_path, said.append, patience=30),
        ):
            pass
        assert "its heartbeat is watched for 30 s" in said[0]
    finally:
        beating.set()
        heart.join()
    with folder_lock(tmp_path, patience=0.3):
        assert not file.exists()


def test_neither_clocks_nor_file_times_make_an_owner_dead(tmp_path, monkeypatch):
    year = 365 * 24 * 3600.0
    with folder_lock(tmp_path):
        (file,) = (tmp_path / LOCK).iterdir()
        for jump in (year, -year):
            monkeypatch.setattr(time, "time", lambda jump=jump: 1.7e9 + jump)
            os.utime(file, (1.7e9 + jump, 1.7e9 + jump))
            with pytest.raises(ic.UserError, match="is at work in it"), folder_lock(tmp_path):
                pass


def test_the_heart_beats(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "HEARTBEAT_SECONDS", 0.01)
    with folder_lock(tmp_path):
        (file,) = (tmp_path / LOCK).iterdir()
        first = file.read_bytes()
        while file.read_bytes() == first:
            time.sleep(0.01)
        assert int(file.read_bytes()[:20]) > 0
        assert json.loads(file.read_bytes()[21:])["pid"] == os.getpid()


def test_who_was_taken_over_commits_nothing_more(tmp_path):
    with folder_lock(tmp_path):
        assert_still_owner(tmp_path / "lineage_000")
        for file in (tmp_path / LOCK).iterdir():
            file.unlink()
        with pytest.raises(ic.UserError, match="another process has taken over this run"):
            assert_still_owner(tmp_path / "lineage_000")
    assert_still_owner(tmp_path)


def test_a_living_owner_may_be_waited_for(tmp_path):
    inside, done = threading.Event(), []

    def work():
        with folder_lock(tmp_path):
            inside.set()
            time.sleep(0.3)
            done.append(True)

    other = threading.Thread(target=work)
    other.start()
    inside.wait()
    with folder_lock(tmp_path, wait=30):
        assert done
    other.join()


def test_a_sweep_of_orphans_stops_nobody_from_asking(tmp_path, monkeypatch):
    prepare, times = lock._Claim.prepare, []

    def swept(folder):
        claim = prepare(folder)
        times.append(claim)
        if len(times) == 1:
            remove_orphans(folder)
        return claim

    monkeypatch.setattr(lock._Claim, "prepare", swept)
    with folder_lock(tmp_path):
        assert len(times) == 2
    assert not list(tmp_path.iterdir())


def test_a_lock_that_cannot_be_read_is_refused_with_a_mend(tmp_path):
    leave_lock(tmp_path).write_bytes(b"?")
    told = "cannot be read, so nobody knows who works"
    with pytest.raises(ic.UserError, match=told), folder_lock(tmp_path):
        pass


def test_a_folder_that_was_made_for_nothing_is_removed(tmp_path, study):
    with pytest.raises(ic.UserError, match="longtail"):
        ic.run(study, tmp_path / "a/b", ["longtail={kind: exponential, images: 100000}"])
    assert not (tmp_path / "a").exists()


@pytest.mark.faults
def test_of_two_racing_commands_exactly_one_runs(study, finished, tmp_path):
    command = [sys.executable, "-m", "imgcollapse", "run", str(study), *FILTERED, "--out"]
    for turn in range(RACES):
        folder = tmp_path / f"{turn}"
        both = [
            subprocess.Popen([*command, str(folder)], stderr=subprocess.PIPE, text=True)
            for _ in range(2)
        ]
        lines = [process.communicate()[1] for process in both]
        codes = [process.returncode for process in both]
        # The later one may come when the earlier is done, and find nothing to do.
        assert codes in ([0, 2], [2, 0], [0, 0]), lines
        if 2 in codes:
            assert "is at work in it" in lines[codes.index(2)]
        for name in ("census.csv", "gen_002/model.safetensors"):
            assert (folder / name).read_bytes() == (finished / name).read_bytes()


@pytest.mark.faults
def test_a_command_whose_twin_is_killed_goes_on_to_the_same_bits(study, finished, tmp_path):
    command = [sys.executable, "-m", "imgcollapse", "run", str(study), *FILTERED, "--out"]
    folder = tmp_path / "run"
    first = subprocess.Popen([*command, str(folder)], stderr=subprocess.PIPE)
    while not (folder / LOCK).is_dir():
        assert first.poll() is None
        time.sleep(0.01)
    first.send_signal(signal.SIGKILL)
    subprocess.run([*command, str(folder)], check=True, capture_output=True)
    first.communicate()
    for name in ("census.csv", "gen_002/model.safetensors"):
        assert (folder / name).read_bytes() == (Path(finished) / name).read_bytes()


def save(sitting, rows):
    for row in rows:
        sitting.merge_picks(
            Picks.empty(sitting.target).model_copy(
                update={"picks": {str(row): Pick(verdict="keep", at=1)}}
            ),
            now_ms(),
        )


def test_two_processes_that_save_picks_lose_none(run_folder):
    sitting = ReviewSession.open(run_folder, generation=1)
    context = multiprocessing.get_context("fork")
    savers = [context.Process(target=save, args=(sitting, range(i, 20, 2))) for i in range(2)]
    start_all(savers)
    for saver in savers:
        saver.join()
    assert sorted(sitting.picks.reviewed) == list(range(20))
    assert [p.name for p in (run_folder / "picks").iterdir()] == ["gen_001.json"]
