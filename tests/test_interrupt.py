"""Ctrl-C of the real command. What a SIGKILL does is drilled in tests/faults/test_chaos.py."""

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
