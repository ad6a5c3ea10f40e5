from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from contexts import run_context
from diffusers.pipelines.ddpm.pipeline_ddpm import DDPMPipeline

from imgcollapse.core.device import Device
from imgcollapse.core.errors import UserError
from imgcollapse.core.seeds import Seed
from imgcollapse.generators import DDPM, export_pipeline

from .conftest import Watcher, noise_images

TINY = DDPM(channels=(8, 16), steps=2, batch=4)


# diffusers' DPM-Solver hands tensors to numpy 2 in a way that numpy will one day refuse.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize("sampler", ["ddpm", "ddim", "dpm++", "sde-dpm++"])
@pytest.mark.parametrize("label", [None, 1])
def test_diffusers_opens_and_draws(
    sampler: str, label: int | None, cpu: Device, seed: Seed, reporter: Watcher, tmp_path: Path
) -> None:
    settings = TINY.model_copy(update={"sampler": sampler, "conditional": label is not None})
    model = settings.fit(
        noise_images(6, (3, 9, 8), seed), run_context(seed, progress=reporter, classes=3)
    )
    export_pipeline(model, tmp_path / "pipeline", label)
    assert not list(tmp_path.rglob("*.bin"))
    pipeline = DDPMPipeline.from_pretrained(tmp_path / "pipeline")
    pipeline.set_progress_bar_config(disable=True)
    drawn = pipeline(
        batch_size=2, num_inference_steps=3, output_type="np", generator=seed.torch()
    ).images
    assert drawn.shape == (2, 10, 8, 3)  # 9 rows, padded to a multiple of 2
    assert np.isfinite(drawn).all()
    x = torch.randn(2, 3, 10, 8, generator=seed.torch())
    told = None if label is None else torch.tensor([label, label])
    with torch.inference_mode():
        ours = model.network(x, 400, told).sample
        torch.testing.assert_close(pipeline.unet(x, 400).sample, ours)
    assert pipeline.scheduler.config["prediction_type"] == "v_prediction"
    torch.testing.assert_close(pipeline.scheduler.alphas_cumprod, model.schedule.alphas)


def test_no_label_of_a_conditional_model_is_any_class(
    cpu: Device, seed: Seed, reporter: Watcher, tmp_path: Path
) -> None:
    settings = TINY.model_copy(update={"conditional": True})
    model = settings.fit(
        noise_images(6, (1, 8, 8), seed), run_context(seed, progress=reporter, classes=3)
    )
    export_pipeline(model, tmp_path)
    x = torch.randn(1, 1, 8, 8, generator=seed.torch())
    with torch.inference_mode():
        ours = model.network(x, 9, torch.tensor([3])).sample
        theirs = DDPMPipeline.from_pretrained(tmp_path).unet(x, 9).sample
    torch.testing.assert_close(theirs, ours)


@pytest.mark.parametrize(
    ("changes", "label", "complaint"),
    [
        ({"patch": 2}, None, "train with patch: 1"),
        ({}, 0, "knows no classes"),
        ({"conditional": True}, 3, "there is no class 3; use 0 to 2"),
    ],
)
def test_what_cannot_be_exported_is_one_line(
    changes: dict[str, object],
    label: int | None,
    complaint: str,
    cpu: Device,
    seed: Seed,
    reporter: Watcher,
    tmp_path: Path,
) -> None:
    settings = TINY.model_copy(update=changes)
    model = settings.fit(
        noise_images(6, (1, 8, 8), seed), run_context(seed, progress=reporter, classes=3)
    )
    with pytest.raises(UserError, match=complaint):
        export_pipeline(model, tmp_path / "out", label)
    assert not (tmp_path / "out").exists()
