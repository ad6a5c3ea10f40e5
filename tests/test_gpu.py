"""The same study on a GPU."""

import pytest
import torch
from contexts import run_context

import imgcollapse as ic
from imgcollapse.core.device import choose_device
from imgcollapse.core.images import Images
from imgcollapse.core.seeds import Seed
from imgcollapse.generators import DDPM
from imgcollapse.io.checkpoints import CheckpointManager
from imgcollapse.io.checksums import sha256_of_tensors

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"),
]


@pytest.mark.parametrize(
    "generator",
    [
        "{kind: vae, epochs: 2, width: 4}",
        "{kind: autoregressive, steps: 5, tokens: {kind: words, size: 16, patch: 2}}",
        "{kind: autoregressive, steps: 5, conditional: true, warm_start: true}",
        "{kind: ddpm, channels: [8, 24], steps: 5, sample_steps: 4, conditional: true}",
        "{kind: ddpm, channels: [8], steps: 5, sample_steps: 4, compile: 'on'}",
    ],
)
def test_a_study_runs_and_resumes_on_a_gpu(config, tmp_path, generator):
    settings = [f"generator={generator}", "device=cuda", "precision=auto"]
    ic.run(config, tmp_path / "run", [*settings, "generations=1"])
    run = ic.run(config, tmp_path / "run", [*settings, "generations=2"])
    assert run.record["made_with"]["device"].startswith("cuda")
    assert run.lineages[0].generations == 3
    assert run.lineages[0].manifest(2)["training"]["replayed"] == "yes"


def test_the_steps_of_a_recording_are_those_that_are_taken_one_by_one():
    """Same kernels, same numbers: what is kept of a training does not say how it was told."""
    images = Images(torch.randint(256, (20, 3, 8, 8), dtype=torch.uint8), torch.zeros(20).short())
    device, seed = choose_device("cuda"), Seed(("test",))
    found = []
    for how in ("auto", "auto", "off"):
        part, facts = DDPM(channels=(8, 24), steps=20, batch=8, compile=how), CheckpointManager()
        found.append(
            sha256_of_tensors(
                part.fit(images, run_context(seed, device, checkpoints=facts, classes=1)).state()
            )
        )
        assert facts.metadata.get("replayed") == ("yes" if how == "auto" else None)
    assert len(set(found)) == 1
