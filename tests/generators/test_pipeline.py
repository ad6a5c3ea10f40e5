from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from contexts import run_context
from diffusers import DiffusionPipeline
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


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize("shape", [(3, 10, 8), (1, 9, 8)])
def test_a_model_that_folds_patches_draws_the_same_images_in_diffusers(
    shape: tuple[int, int, int], cpu: Device, seed: Seed, reporter: Watcher, tmp_path: Path
) -> None:
    settings = TINY.model_copy(update={"patch": 2, "sampler": "dpm++", "sample_steps": 10})
    context = run_context(seed, progress=reporter, classes=3, shape=shape)
    model = settings.fit(noise_images(6, shape, seed), context)
    export_pipeline(model, tmp_path)
    pipeline = DiffusionPipeline.from_pretrained(
        tmp_path, custom_pipeline=str(tmp_path), trust_remote_code=True
    )
    pipeline.set_progress_bar_config(disable=True)
    start = (seed / "start").torch()
    drawn = pipeline(batch_size=3, num_inference_steps=10, output_type="np", generator=start).images
    assert drawn.shape == (3, shape[1], shape[2], shape[0])
    ours = model.sample(torch.full((3,), -1, dtype=torch.int16), context).pixels
    theirs = torch.from_numpy(drawn).permute(0, 3, 1, 2) * 255
    assert (theirs - ours.float()).abs().max() <= 1
    assert ours.float().std() > 20
    start = (seed / "start").torch()
    pictures = pipeline(batch_size=1, num_inference_steps=10, generator=start).images
    assert pictures[0].size == (shape[2], shape[1])


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
