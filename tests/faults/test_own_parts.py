"""Parts of one's own: found in the current folder, and their source is in the fingerprint."""

import os
import subprocess
import sys

import pytest

import imgcollapse as ic
from imgcollapse.core.components import own_sources

PART = """
import torch

import noise_level
from imgcollapse.core.images import unlabeled
from imgcollapse.generators.base import Generator


class Noise(Generator):
    kind: str = "my_flow:Noise"

    def fit(self, images, context, previous=None):
        return NoiseModel()

    def restore(self, state, context):
        return NoiseModel()


class NoiseModel:
    def sample(self, labels, context):
        drawn = torch.rand(len(labels), *context.shape, generator=context.seed.torch())
        return unlabeled((drawn * noise_level.MOST).to(torch.uint8))

    def state(self):
        return {"none": torch.zeros(1)}
"""


def command(folder, *words):
    """The installed command, which has its own folder first on the path and not the current one."""
    code = "import sys; sys.path[0] = '/'; from imgcollapse.cli import main; main()"
    paths = os.environ.get("PYTHONPATH", "")
    return subprocess.run(
        [sys.executable, "-c", code, *words],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": paths},
    )


@pytest.fixture
def folder(tmp_path, config):
    (tmp_path / "my_flow.py").write_text(PART)
    (tmp_path / "noise_level.py").write_text("MOST = 200\n")
    return tmp_path


def test_a_changed_part_is_refused_recorded_and_told(folder, config):
    run = ["run", str(config), "generator=my_flow:Noise", "--out", "run"]
    began = command(folder, *run, "generations=1")
    assert began.returncode == 0, began.stderr
    made_with = ic.Run.open(folder / "run").record["made_with"]
    then = made_with["source of my_flow"]
    assert command(folder, "verify", "run").returncode == 0

    (folder / "noise_level.py").write_text("MOST = 99\n")
    told = command(folder, "verify", "run")
    assert f"source of my_flow {then} then and " in told.stdout

    refused = command(folder, *run, "generations=2")
    assert refused.returncode == 2
    assert f"source of my_flow from {then} to " in refused.stderr
    accepted = command(folder, *run, "generations=2", "--allow-env-change")
    assert accepted.returncode == 0, accepted.stderr
    (change,) = ic.Run.open(folder / "run").record["drifts"]
    assert change["from"] == {"source of my_flow": then}

    elsewhere = command("/", "verify", str(folder / "run"))
    assert elsewhere.returncode != 0
    assert "No module named 'my_flow'; install it, or run the command in its folder" in (
        elsewhere.stdout + elsewhere.stderr
    ).replace("\n", " ")


def test_only_parts_of_ones_own_have_a_source():
    assert own_sources({"device": "cuda:0", "path": "c:data", "kind": "ddpm", "n": [1, None]}) == {}
    assert set(own_sources({"also": ["torchmetrics.image:TotalVariation"]})) <= {
        "torchmetrics.image"
    }
