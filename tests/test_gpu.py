"""The same study on a GPU."""

import pytest
import torch

import imgcollapse as ic

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
        "{kind: ddpm, channels: [8], steps: 5, sample_steps: 4, conditional: true}",
    ],
)
def test_a_study_runs_and_resumes_on_a_gpu(config, tmp_path, generator):
    settings = [f"generator={generator}", "device=cuda", "precision=auto"]
    ic.run(config, tmp_path / "run", [*settings, "generations=1"])
    run = ic.run(config, tmp_path / "run", [*settings, "generations=2"])
    assert run.record["made_with"]["device"].startswith("cuda")
    assert run.lineages[0].generations == 3
