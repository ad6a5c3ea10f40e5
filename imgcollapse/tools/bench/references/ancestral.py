"""Ancestral sampling with all 1,000 steps: diffusers' DDPMPipeline, called as its page shows."""

from __future__ import annotations

from typing import Literal

import torch
from diffusers.models.unets.unet_2d import UNet2DModel
from diffusers.pipelines.ddpm.pipeline_ddpm import DDPMPipeline
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from torch import Tensor

STEPS = 1000


def sample(
    network: UNet2DModel,
    n: int,
    seed: int,
    schedule: Literal["linear", "squaredcos_cap_v2"],
    prediction: Literal["epsilon", "v_prediction"],
    steps: int = STEPS,
) -> Tensor:
    """float32[n, C, H, W] in [-1, 1], of an unconditional network of this process.

    Args:
        network: what was trained.
        n: images, drawn at once.
        seed: of the noise.
        schedule: diffusers' name of how noise grows.
        prediction: its name of what the network answers.
        steps: of the 1,000 noise levels; fewer is not what the paper does.
    """
    scheduler = DDPMScheduler(
        num_train_timesteps=STEPS, beta_schedule=schedule, prediction_type=prediction
    )
    pipeline = DDPMPipeline(network, scheduler)
    pipeline.set_progress_bar_config(disable=True)
    images = pipeline(
        batch_size=n,
        generator=torch.Generator().manual_seed(seed),
        num_inference_steps=steps,
        output_type="np",
    ).images  # pyright: ignore[reportAttributeAccessIssue]
    return torch.from_numpy(images).permute(0, 3, 1, 2) * 2 - 1
