"""Unconditional training as diffusers documents it, on one device.

The loop of its tutorial and of the command in its unconditional example: `--use_ema`,
`--mixed_precision=no`, a DataLoader without workers, AdamW, cosine schedule with warm-up, gradients
clipped at 1, the loss shown at every step. Accelerator is left out: on one device without mixed
precision it hands every call on. So is the random flip, which this program does not do.
"""

from __future__ import annotations

import io
from typing import Any

import torch
import torch.nn.functional as F
from diffusers.models.unets.unet_2d import UNet2DModel
from diffusers.optimization import get_cosine_schedule_with_warmup
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from diffusers.training_utils import EMAModel
from torch.utils.data import DataLoader
from torchvision import transforms
from tqdm import tqdm

from imgcollapse.core.images import Images
from imgcollapse.core.progress import ProgressCallback
from imgcollapse.tools.bench.pictures import Pictures


def data(images: Images) -> Pictures:
    """The data set, made before the clock starts."""
    channels, height, width = images.shape
    steps = [
        transforms.Resize((height, width)),
        transforms.ToTensor(),
        transforms.Normalize([0.5] * channels, [0.5] * channels),
    ]
    return Pictures(images, transforms.Compose(steps))


def train(
    model: UNet2DModel,
    dataset: Pictures,
    steps: int,
    batch: int,
    lr: float,
    warmup: int,
    ema_decay: float,
    device: torch.device,
    progress: ProgressCallback,
) -> list[float]:
    """Train, leave the averaged weights in `model`, and return the loss of every step.

    `progress` is told of every step, for the clock; nothing that a user would write waits for it.
    """
    loader = DataLoader(dataset, batch_size=batch, shuffle=True)
    scheduler = DDPMScheduler(num_train_timesteps=1000)
    network: Any = model
    network.to(device).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=lr)
    schedule = get_cosine_schedule_with_warmup(optimizer, warmup, steps)
    ema = EMAModel(network.parameters(), decay=ema_decay)
    ema.to(device)
    losses: list[float] = []
    # The bar is drawn, as it is for a user, where nobody sees it.
    with tqdm(total=steps, file=io.StringIO()) as bar:
        while len(losses) < steps:
            for images in loader:
                clean = images.to(device)
                noise = torch.randn(clean.shape, device=device)
                t = torch.randint(0, 1000, (len(clean),), device=device, dtype=torch.int64)
                noisy = scheduler.add_noise(clean, noise, t)  # pyright: ignore[reportArgumentType]
                predicted = network(noisy, t, return_dict=False)[0]
                loss = F.mse_loss(predicted, noise)
                loss.backward()
                torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
                optimizer.step()
                schedule.step()
                optimizer.zero_grad()
                ema.step(network.parameters())
                losses.append(loss.detach().item())
                bar.update(1)
                bar.set_postfix(loss=losses[-1], lr=schedule.get_last_lr()[0])
                progress("train", len(losses), steps, batch * len(losses), losses[-1])
                if len(losses) == steps:
                    break
    ema.copy_to(network.parameters())
    network.eval()
    return losses
