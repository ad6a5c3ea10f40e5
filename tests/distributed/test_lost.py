"""A process that dies ends the job with one clear line, and the same command goes on."""

import subprocess
import time

import pytest
import yaml

from . import job
from .test_distributed import LAUNCH, environment

psutil = pytest.importorskip("psutil", reason="comes with accelerate")
pytest.importorskip("accelerate", reason="needs accelerate")

ENDS_WITHIN = 60  # seconds: torch's launcher waits 30 for the others before it kills them


@pytest.fixture
def command(tmp_path):
    """Two processes that run a study and keep every step."""
    config = tmp_path / "study.yaml"
    study = job.STUDY | {"generator": job.GENERATORS["ddpm"], "checkpoint_seconds": 0}
    config.write_text(yaml.safe_dump(study))
    return [*LAUNCH, "-m", "imgcollapse", "run", str(config), "--out"]


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_a_process_that_is_killed_ends_the_job_which_goes_on_to_the_same_bits(
    tmp_path, command, rank
):
    broken, whole = tmp_path / "broken", tmp_path / "whole"
    process = subprocess.Popen(
        [*command, str(broken)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    while not list(broken.glob("gen_002.work/fit_*.json")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    (victim,) = (
        child
        for child in psutil.Process(process.pid).children(recursive=True)
        if child.environ().get("RANK") == str(rank)
    )
    victim.kill()
    _, err = process.communicate(timeout=ENDS_WITHIN)
    assert process.returncode
    (line,) = (line for line in err.splitlines() if line.startswith("Stopped."))
    assert "Another process of this job has ended" in line
    assert "the same command goes on" in line.lower()
    assert not (broken / "gen_002").exists()

    for out in (broken, whole):
        done = subprocess.run([*command, str(out)], capture_output=True, env=environment())
        assert done.returncode == 0, done.stderr
    for name in ("census.csv", "metrics.csv", "gen_002/model.safetensors"):
        assert (broken / name).read_bytes() == (whole / name).read_bytes(), name


@pytest.mark.slow
def test_a_mistake_is_told_once(tmp_path, command):
    command = [
        *command[:-1],
        "data.kind=folder",
        "data.path=nowhere",
        "--out",
        str(tmp_path / "run"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, env=environment())
    assert done.returncode
    lines = [line for line in done.stderr.splitlines() if line.startswith("imgcollapse: ")]
    assert len(lines) == 1
    assert "nowhere" in lines[0]
