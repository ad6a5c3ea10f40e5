"""Whole studies: asked to stop, gone astray, robbed of their images."""

import json
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest
import torch
from PIL import Image

import imgcollapse as ic
from imgcollapse import cli
from imgcollapse.core.errors import Diverged, UserError
from imgcollapse.core.images import unlabeled
from imgcollapse.generators import VAE
from imgcollapse.generators.vae import VAEModel
from imgcollapse.metrics import degenerate

DDPM = "generator={kind: ddpm, channels: [8], steps: 30, sample_steps: 2, sample_batch: 8}"


class Lines:
    """A watcher that keeps what is said."""

    def __init__(self):
        self.lines = []

    def start_generation(self, lineage, generation, study):
        pass

    def log(self, line):
        self.lines.append(line)

    def __call__(self, stage, step, steps, images, loss=None):
        pass


@pytest.fixture
def small_vae():
    return ["generator={kind: vae, width: 4, latent: 2, steps: 4, batch: 8}", "generations=2"]


def test_a_signal_stops_a_run_that_the_same_command_takes_up_again(config, tmp_path):
    command = [sys.executable, "-m", "imgcollapse", "run", str(config), DDPM]
    command += ["checkpoint_seconds=0", "generations=900", "--out", str(tmp_path / "run")]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    while not any((tmp_path / "run").glob("gen_*.work/fit_*5.json")):
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGUSR1)
    _, err = process.communicate()
    assert process.returncode == cli.REQUEUE == 75
    assert err.splitlines()[-1].startswith("Stopped.")
    assert "the same command goes on" in err
    assert "Traceback" not in err

    done = ic.Run.open(tmp_path / "run").lineages[0].generations
    assert len(list((tmp_path / f"run/gen_{done:03d}.work").glob("*.json"))) >= 2
    settings = [DDPM, f"generations={done}"]  # the generation that was under way is the last one
    broken = ic.run(config, tmp_path / "run", settings)
    unbroken = ic.run(config, tmp_path / "unbroken", settings)
    last = broken.lineages[0].folder(done).name
    for name in ("census.csv", "metrics.csv", f"{last}/model.safetensors"):
        assert (broken.path / name).read_bytes() == (unbroken.path / name).read_bytes(), name
    assert not list(broken.path.glob("*.work"))


def test_a_lineage_that_diverges_ends_and_the_others_go_on(
    config, tmp_path, small_vae, monkeypatch
):
    whole = VAE.fit

    def fit(self, images, context, previous=None):
        _, lineage, generation, _ = context.seed.path
        if (lineage, generation) == (1, 2):
            raise Diverged("planted")
        return whole(self, images, context, previous)

    reporter, settings = Lines(), [*small_vae, "lineages=2"]
    monkeypatch.setattr(VAE, "fit", fit)
    run = ic.run(config, tmp_path / "run", settings, reporter=reporter)
    assert [lineage.generations for lineage in run.lineages] == [3, 2]
    lost = run.lineages[1]
    assert lost.diverged == {"generation": 2, "why": "planted"}
    told = f"{lost.path}: generation 2 diverged: planted; to train it again remove diverged.json"
    assert sum(line.startswith(told) for line in reporter.lines) == 1
    events = [json.loads(line) for line in (lost.path / "events.jsonl").read_text().splitlines()]
    assert [e["generation"] for e in events if e["event"] == "diverged"] == [2]
    page = ic.write_report([run.path]).read_text()
    assert "Lineage 1 ends before generation 2" in re.sub("<[^>]*>", "", page)

    monkeypatch.setattr(VAE, "fit", whole)
    again = ic.run(config, tmp_path / "run", settings, reporter=reporter)
    assert again.lineages[1].generations == 2
    (lost.path / "diverged.json").unlink()
    again = ic.run(config, tmp_path / "run", settings)
    assert [lineage.generations for lineage in again.lineages] == [3, 3]


def test_the_command_says_that_a_training_has_diverged(
    config, tmp_path, monkeypatch, capsys, small_vae
):
    """A step size of 1e30 leaves no numbers after the first step, whatever the batch."""
    wild = small_vae[0].replace("steps: 4", "steps: 4, lr: 1.0e+30")
    arguments = ["run", str(config), wild, "generations=1", "--out", str(tmp_path / "run")]
    for _ in range(2):
        monkeypatch.setattr(sys, "argv", ["imgcollapse", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capsys.readouterr()
        assert ended.value.code == 1
        assert out.strip().endswith("report.html")
        assert "Traceback" not in err
    lost = ic.Run.open(tmp_path / "run").lineages[0].diverged
    assert (lost["generation"], lost["why"].split(";")[0]) == (
        1,
        "generator.lr: the loss is nan in step 2 of 4",
    )
    assert not list((tmp_path / "run").glob("gen_001*"))


def test_facts_of_the_training_are_in_the_manifest(config, tmp_path, small_vae):
    run = ic.run(config, tmp_path / "run", small_vae)
    first, second = (run.lineages[0].manifest(g)["training"]["first_step"] for g in (1, 2))
    assert len(first) == 64
    assert first != second


def test_images_that_are_gone_are_one_line_and_come_back_to_the_same_run(config, tmp_path):
    folder, draw = tmp_path / "images", torch.Generator().manual_seed(0)
    for name in ("a", "b"):
        (folder / name).mkdir(parents=True)
        for i in range(60):
            pixels = torch.randint(0, 256, (8, 8), generator=draw, dtype=torch.uint8)
            Image.fromarray(pixels.numpy()).save(folder / name / f"{i}.png")
    settings = [
        f"data={{kind: folder, path: {folder}, channels: 1}}",
        "longtail={kind: exponential, factor: 2, images: 20}",
        "splits={oracle: 10, calibration: 5, reference: 10}",
        "samples=20",
    ]
    unbroken = ic.run(config, tmp_path / "unbroken", [*settings, "generations=2"])
    run = ic.run(config, tmp_path / "run", [*settings, "generations=1"])
    before = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}
    shutil.move(folder, tmp_path / "away")
    with pytest.raises(UserError, match="images") as refused:
        ic.run(config, tmp_path / "run", [*settings, "generations=2"])
    assert "\n" not in str(refused.value)
    assert before == {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}
    shutil.move(tmp_path / "away", folder)
    run = ic.run(config, tmp_path / "run", [*settings, "generations=2"])
    for name in ("census.csv", "metrics.csv", "gen_002/samples.safetensors"):
        assert (run.path / name).read_bytes() == (unbroken.path / name).read_bytes(), name


def test_samples_without_variety_or_shades_are_told_and_no_error(
    config, tmp_path, small_vae, monkeypatch
):
    grey = torch.arange(48, dtype=torch.uint8).view(3, 1, 4, 4)
    binary = (grey > 20) * torch.tensor(255, dtype=torch.uint8)
    assert degenerate(grey, grey) is None
    assert degenerate(grey[:1].repeat(5, 1, 1, 1), grey) == "all 5 samples are the same image"
    assert degenerate(binary, grey) == "every pixel of the samples is 0 or 255"
    assert degenerate(binary, binary) is None
    assert degenerate(grey[:1], grey) is None  # one image is always like itself

    def black(self, labels, context):
        return unlabeled(torch.zeros(len(labels), 1, 8, 8, dtype=torch.uint8))

    monkeypatch.setattr(VAEModel, "sample", black)
    reporter = Lines()
    run = ic.run(config, tmp_path / "run", small_vae, reporter=reporter)
    said = "all 40 samples are the same image"
    assert [run.lineages[0].manifest(g)["remarks"] for g in (1, 2)] == [[said], []]
    assert f"generation 1: {said}" in reporter.lines
