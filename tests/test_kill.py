"""SIGKILL at a random moment, run again: the same census, bit for bit."""

import random
import signal
import subprocess
import sys
import time

import pytest

import imgcollapse as ic

STUDY = """
generations: 3
samples: 60
data: {kind: digits}
longtail: {kind: exponential, factor: 8, images: 60}
splits: {oracle: 20, calibration: 5, reference: 40}
oracle: {kind: cnn, steps: 20, width: 8}
threads: 1
"""
GENERATORS = {
    "vae": "generator: {kind: vae, epochs: 60, width: 8}",
    "ddpm": "generator: {kind: ddpm, channels: [16], steps: 60, sample_steps: 10}",
}
KILLS = 2


@pytest.mark.faults  # tests/faults/test_chaos.py kills sooner, in a process that is forked
@pytest.mark.parametrize("kind", GENERATORS)
def test_killed_runs_end_as_unbroken_ones(tmp_path, kind):
    config = tmp_path / "study.yaml"
    config.write_text(STUDY + GENERATORS[kind])
    command = [sys.executable, "-m", "imgcollapse", "run", str(config), "--out"]

    unbroken = tmp_path / "unbroken"
    begun = time.monotonic()
    subprocess.run([*command, str(unbroken)], check=True, capture_output=True)
    length = time.monotonic() - begun

    broken = tmp_path / "broken"
    moment = random.Random(0)  # the clock, not this seed, decides what a kill hits
    killed = 0
    for _ in range(KILLS):
        process = subprocess.Popen(
            [*command, str(broken)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        time.sleep(length * moment.uniform(0.5, 0.9))
        killed += process.poll() is None
        process.kill()
        process.wait()
    subprocess.run([*command, str(broken)], check=True, capture_output=True)

    assert killed
    for name in ("census.csv", "metrics.csv", "gen_003/model.safetensors"):
        assert (broken / name).read_bytes() == (unbroken / name).read_bytes(), name
    assert ic.Run.open(broken).lineages[0].generations == 4


@pytest.mark.faults
@pytest.mark.usefixtures("hears_interrupts")
def test_an_interrupt_leaves_a_run_that_goes_on_and_says_so(tmp_path):
    config = tmp_path / "study.yaml"
    config.write_text(STUDY.replace("generations: 3", "generations: 900") + "generator: resample")
    command = [sys.executable, "-m", "imgcollapse", "run", str(config), "--out"]
    process = subprocess.Popen(
        [*command, str(tmp_path / "run")], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    while not (tmp_path / "run/gen_002").is_dir():
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    assert process.returncode == 130
    assert err.splitlines()[-1].startswith("Stopped.")
    assert "the same command goes on" in err
    assert "Traceback" not in err

    done = ic.Run.open(tmp_path / "run").lineages[0].generations
    config.write_text(config.read_text().replace("900", str(done)))
    subprocess.run([*command, str(tmp_path / "run")], check=True, capture_output=True)
    assert ic.Run.open(tmp_path / "run").lineages[0].generations == done + 1
