"""A real Ray cluster of two nodes on this machine: the same bits as one worker process."""

import io
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from imgcollapse.core.errors import UserError
from imgcollapse.io.atomic import sha256
from imgcollapse.sweeps import Ray, SweepProgress, load_plan, sweep
from imgcollapse.sweeps.ray import LOOPBACK, Workspace
from imgcollapse.sweeps.tasks import tasks_of

from .conftest import SWEEP, InProcess
from .test_process_pool import TABLES

os.environ |= LOOPBACK  # ray reads it when it is imported
LONG = SWEEP.replace("generations: 2", "generations: 5").replace("lineages: 2", "lineages: 1")


def test_without_ray_one_line_says_what_to_install(plan_file, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=r"pip install 'imgcollapse\[ray\]'"):
        sweep(plan_file, tmp_path / "out", backend=Ray())


def test_a_machine_that_does_not_see_the_folder_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # a task goes where the sweep was started; tests after this do not
    there = tmp_path / "token"
    there.touch()
    Workspace(tmp_path, there, ()).enter("10.0.0.3")
    for place in (
        Workspace(tmp_path / "no", there, ()),
        Workspace(tmp_path, tmp_path / "no/token", ()),
    ):
        with pytest.raises(UserError, match=r"no: machine 10\.0\.0\.3 .* does not see"):
            place.enter("10.0.0.3")


@pytest.mark.parametrize("gpus", [-1, 1.5])
def test_a_share_of_a_gpu_is_a_share(gpus):
    with pytest.raises(UserError, match="--gpus"):
        Ray(gpus=gpus)
    assert Ray(gpus=0.25).gpus == 0.25


def test_a_cluster_that_does_not_answer_is_one_line_at_once(plan_file, tmp_path):
    pytest.importorskip("ray", reason="ray is not installed: pip install 'imgcollapse[ray]'")
    with socket.socket() as nobody:  # bound, and does not listen
        nobody.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{nobody.getsockname()[1]}"
        with pytest.raises(UserError, match=r"--ray: no cluster at .* refused"):
            sweep(plan_file, tmp_path / "out", backend=Ray(address))


@pytest.fixture(scope="module")
def cluster():
    """Two nodes of one core each."""
    pytest.importorskip("ray", reason="ray is not installed: pip install 'imgcollapse[ray]'")
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 1, "node_ip_address": "127.0.0.1", "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=node)
    cluster.add_node(num_cpus=1, node_ip_address="127.0.0.1")
    cluster.wait_for_nodes()
    yield cluster.address
    cluster.shutdown()


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_a_cluster_gives_the_same_bits_as_this_process(cluster, plan_file, tmp_path):
    log = io.StringIO()
    done = sweep(plan_file, tmp_path / "ray", backend=Ray(cluster), progress=SweepProgress(log))
    assert done.failures == ()
    here = sweep(plan_file, tmp_path / "here", backend=InProcess())
    for name in TABLES:
        assert sha256(done.path / name) == sha256(here.path / name), name
    assert "accumulate, lineage 1, generation 2:" in log.getvalue()
    assert not list(done.path.glob("*.tmp"))


def workers(folder):
    """Processes that have something open in the folder, or work there: Ray's name them so."""
    found = []
    for link in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            title = link.read_bytes().split(b"\0")[0].decode()
        except OSError:
            continue
        if title.startswith("ray::") and title.removeprefix("ray::") in folder:
            found.append(int(link.parent.name))
    return found


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")
@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_a_worker_killed_in_the_middle_is_replaced_and_goes_on(cluster, tmp_path):
    plan = tmp_path / "plan.yaml"
    plan.write_text(LONG)
    command = [sys.executable, "-m", "imgcollapse", "sweep", str(plan), "--ray", cluster, "--out"]
    process = subprocess.Popen(
        [*command, str(tmp_path / "ray")], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    while not (tmp_path / "ray/replace/gen_002").is_dir():
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    (worker,) = workers({"replace"})
    os.kill(worker, signal.SIGKILL)
    _, err = process.communicate()
    assert process.returncode == 0, err
    assert err.count("RETRY   replace: its worker died (WorkerCrashedError); try 2 of 3") == 1
    here = sweep(plan, tmp_path / "here", backend=InProcess())
    for arm in ("replace", "accumulate"):
        for name in ("census.csv", "metrics.csv", "gen_005/model.safetensors"):
            made = tmp_path / "ray" / arm / name
            assert sha256(made) == sha256(here.path / arm / name), made


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_a_signal_stops_what_runs_in_the_cluster(cluster, tmp_path):
    plan = tmp_path / "plan.yaml"
    plan.write_text(LONG.replace("generations: 5", "generations: 400"))
    command = [sys.executable, "-m", "imgcollapse", "sweep", str(plan), "--ray", cluster, "--out"]
    process = subprocess.Popen(
        [*command, str(tmp_path / "out")], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    while not (tmp_path / "out/accumulate/gen_002").is_dir():
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate()
    assert process.returncode == 75, err
    assert "Traceback" not in err
    before = [task.generations_done() for task in tasks_of(load_plan(plan), tmp_path / "out")]
    time.sleep(1)
    assert before == [u.generations_done() for u in tasks_of(load_plan(plan), tmp_path / "out")]
    assert not list((tmp_path / "out").rglob("*.tmp")), "all stopped where everything was saved"
