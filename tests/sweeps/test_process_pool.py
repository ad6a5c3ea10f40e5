"""Worker processes: the bits do not depend on their number, and a failed task harms no other."""

import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import imgcollapse as ic
from imgcollapse.core.errors import UserError
from imgcollapse.io.atomic import sha256
from imgcollapse.sweeps import ProcessPool, SweepProgress, load_plan, sweep

from .conftest import SWEEP, InProcess

DYING = '''
import os
import signal
from pathlib import Path
from typing import Literal
from imgcollapse.generators import Resample

class Dying(Resample):
    kind: Literal["dying:Dying"] = "dying:Dying"

    def fit(self, *a, **k):
        os._exit(9)


class Fragile(Resample):
    """Its second model is killed at the first attempt."""

    kind: Literal["dying:Fragile"] = "dying:Fragile"
    scars: str

    def fit(self, *a, **k):
        with Path(self.scars).open("a") as file:
            file.write("x")
        if Path(self.scars).read_text() == "xx":
            os.kill(os.getpid(), signal.SIGKILL)
        return super().fit(*a, **k)
'''
FAILING = """
  greedy: {longtail.images: 3000}
  dying: {generator: {kind: "dying:Dying"}, lineages: 1}
  fragile: {generator: {kind: "dying:Fragile", scars: SCARS}, lineages: 1}
"""
TABLES = [
    f"{arm}/{name}"
    for arm in ("replace", "accumulate")
    for name in (
        "census.csv",
        "metrics.csv",
        "oracle.safetensors",
        "lineage_001/census.csv",
        "lineage_001/gen_002/model.safetensors",
    )
]


@pytest.fixture(scope="module")
def two_jobs(tmp_path_factory):
    """A sweep by two workers, of whose arms two fail: the result, and the log."""
    folder = tmp_path_factory.mktemp("two")
    (folder / "dying.py").write_text(DYING)
    arms = FAILING.replace("SCARS", str(folder / "scars"))
    (folder / "plan.yaml").write_text(SWEEP.replace("\nsmoke:", f"{arms}smoke:"))
    sys.path.insert(0, str(folder))
    log = io.StringIO()
    try:
        done = sweep(
            folder / "plan.yaml",
            folder / "out",
            backend=ProcessPool(2, retries=1),
            progress=SweepProgress(log),
        )
    finally:
        sys.path.remove(str(folder))
    return done, log.getvalue()


def test_one_worker_and_two_give_the_same_bits(two_jobs, plan_file, tmp_path):
    one = sweep(plan_file, tmp_path / "out", backend=ProcessPool(1))
    assert one.failures == ()
    for name in TABLES:
        assert sha256(one.path / name) == sha256(two_jobs[0].path / name), name


def test_a_failure_is_one_line_and_the_other_arms_are_complete(two_jobs):
    done, log = two_jobs
    assert len(done.failures) == 2
    greedy, dying = sorted(done.failures, reverse=True)
    assert greedy.startswith("greedy: data: class ")
    assert dying == (
        "dying: its process died (exit code 9), 2 times over; the same command goes on"
    )
    assert log.count("FAILED") == 2
    assert set(done.runs) == {"replace", "accumulate", "dying", "fragile"}
    for arm in ("replace", "accumulate"):
        assert [x.generations for x in done.runs[arm].lineages] == [3, 3]
    assert "accumulate, lineage 1, generation 2:" in log
    assert "\x1b" not in log


def test_a_lineage_whose_process_is_killed_goes_on_from_what_it_has_committed(two_jobs):
    done, log = two_jobs
    assert done.runs["fragile"].lineages[0].generations == 3
    # Two models, and the second was started twice: the first was not trained again.
    assert (done.path.parent / "scars").read_text() == "xxx"
    assert sorted(line for line in log.splitlines() if line.startswith("RETRY")) == [
        "RETRY   dying: its process died (exit code 9); try 2 of 2",
        "RETRY   fragile: its process died (SIGKILL); try 2 of 2",
    ]


def test_finished_lineages_are_not_run_again(two_jobs, plan_file, monkeypatch):
    done, _ = two_jobs
    monkeypatch.setattr(
        "imgcollapse.sweeps.process_pool._Worker.start", None
    )  # no worker may start
    assert sweep(plan_file, done.path, backend=ProcessPool(1)).failures == ()


def test_zero_jobs_are_refused():
    with pytest.raises(UserError, match="--jobs: 0"):
        ProcessPool(0)


def children(pid):
    """Workers of a process: the multiprocessing children among those that are alive."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(status.read_text().rpartition(")")[2].split()[1])
            command = (status.parent / "cmdline").read_text()
        except (OSError, IndexError):
            continue
        if parent == pid and "spawn_main" in command:
            found.append(int(status.parent.name))
    return found


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.usefixtures("hears_interrupts")
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")
@pytest.mark.parametrize(
    ("end", "code"),
    [
        (signal.SIGTERM, 75),
        pytest.param(signal.SIGINT, 130, marks=pytest.mark.slow),
        pytest.param(signal.SIGUSR1, 75, marks=pytest.mark.slow),
        pytest.param(signal.SIGKILL, -signal.SIGKILL, marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_a_stopped_sweep_leaves_no_worker_and_goes_on_to_the_same_bits(
    plan_file, tmp_path, end, code
):
    long = plan_file.with_name("long.yaml")
    one_arm = SWEEP.partition("  accumulate:")[0].replace("lineages: 2", "lineages: 1")
    long.write_text(one_arm.replace("generations: 2", "generations: 400"))
    out = tmp_path / "out"
    command = [sys.executable, "-m", "imgcollapse", "sweep", str(long), "--jobs", "1", "--out"]
    process = subprocess.Popen(
        [*command, str(out)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    while not (out / "replace/gen_002").is_dir():
        assert process.poll() is None
        time.sleep(0.05)
    workers = children(process.pid)
    process.send_signal(end)
    _, err = process.communicate()
    assert workers
    while any(alive(worker) for worker in workers):
        time.sleep(0.05)
    assert process.returncode == code
    if end != signal.SIGKILL:
        assert "Stopping: 1 running task will save and stop." in err
        assert not list((out / "replace").glob("*.tmp")), "it stopped where everything was saved"
        assert err.splitlines()[-1].startswith("Stopped.")
        assert "Traceback" not in err

    done = ic.Run.open(out / "replace").lineages[0].generations
    resumed = sweep(long, out, [f"generations={done}"], backend=InProcess()).runs["replace"]
    whole = ic.run(load_plan(long, [f"generations={done}"]).arms[0].study, tmp_path / "whole")
    assert resumed.census.equals(whole.census)
    assert resumed.metrics.equals(whole.metrics)


def test_the_command_ends_with_a_page_or_with_what_failed(plan_file, tmp_path, monkeypatch, capsys):
    from imgcollapse import cli, sweeps

    monkeypatch.setattr(sweeps, "ProcessPool", lambda jobs, retries: InProcess())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["imgcollapse", "sweep", str(plan_file), "--smoke"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert not ended.value.code
    assert capsys.readouterr().out.strip() == "runs/plan_smoke/report.html"

    class Failing(InProcess):
        def run(self, tasks, progress):
            super().run(tasks[:2], progress)
            return {("accumulate", None): "accumulate: no"}

    monkeypatch.setattr(sweeps, "ProcessPool", lambda jobs, retries: Failing())
    monkeypatch.setattr(sys, "argv", ["imgcollapse", "sweep", str(plan_file), "--out", "other"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 1
    assert "imgcollapse: accumulate: no" in capsys.readouterr().err


def test_threads_times_jobs_fill_the_machine(plan_file, monkeypatch):
    monkeypatch.setattr("imgcollapse.sweeps.plan.joblib.cpu_count", lambda: 8)
    monkeypatch.setattr("imgcollapse.sweeps.plan.torch.cuda.is_available", lambda: False)
    assert load_plan(plan_file).jobs() == 8
    assert load_plan(plan_file, ["threads=3"]).jobs() == 2
    monkeypatch.setattr("imgcollapse.sweeps.plan.torch.cuda.is_available", lambda: True)
    assert load_plan(plan_file).jobs() == 1
