"""The loops that a user would write instead, from the libraries' own documentation.

Each is given the same network, the same images and the same number of steps as this program, and
left as its documentation has it: float32, a DataLoader, one call after another.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from diffusers.models.unets.unet_2d import UNet2DModel
from diffusers.optimization import get_cosine_schedule_with_warmup
from diffusers.pipelines.ddpm.pipeline_ddpm import DDPMPipeline
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from diffusers.training_utils import EMAModel
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchmetrics.image.fid import FrechetInceptionDistance
from torchvision import transforms
from tqdm import tqdm

from imgcollapse.core.images import Images
from imgcollapse.core.progress import ProgressCallback
from imgcollapse.generators import DDPM, VAE

NOISE_LEVELS = 1000
BATCH = 500
"""Images that torchmetrics is given at a time."""


class PILDataset(Dataset[Tensor]):
    """Images as a user's data set holds them: PIL images, transformed when they are read."""

    def __init__(self, images: Images, transform: Callable[[Image.Image], Tensor]) -> None:
        mode = slice(None) if images.shape[0] == 3 else 0
        arrays = images.pixels.permute(0, 2, 3, 1).numpy()
        self.images = [Image.fromarray(array[..., mode]) for array in arrays]
        self.transform = transform

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Tensor:
        return self.transform(self.images[index])


class PlainVAE(nn.Module):
    """A VAE in plain PyTorch, of the encoder and the decoder that it is given."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, decoder

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """[B, C, H, W] in [0, 1] => logits, mean, log variance."""
        mean, log_variance = self.encoder(x).chunk(2, dim=1)
        z = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
        return self.decoder(z), mean, log_variance


def vae_dataset(images: Images) -> PILDataset:
    """The data set of `train_vae`, made before the clock starts."""
    return PILDataset(images, transforms.ToTensor())


def train_vae(
    model: PlainVAE, dataset: PILDataset, epochs: int, settings: VAE, device: torch.device
) -> list[float]:
    """Trains a VAE in `settings`; returns the mean loss of each epoch, in nats an image.

    After the loop of pytorch/examples (vae/main.py): Adam, the loss summed over a batch and read at
    every step for the running mean of the epoch, one worker for the data where there is a GPU.
    """
    workers: dict[str, Any] = {"num_workers": 1, "pin_memory": True}
    loader = DataLoader(
        dataset, settings.batch, shuffle=True, **(workers if device.type == "cuda" else {})
    )
    model.to(device).train()
    weights = model.parameters()
    optimizer = torch.optim.Adam(weights, lr=settings.lr, weight_decay=settings.weight_decay)
    means = []
    for _ in range(epochs):
        total = 0.0
        for clean in loader:
            x = clean.to(device)
            optimizer.zero_grad()
            logits, mean, log_variance = model(x)
            error = F.binary_cross_entropy_with_logits(logits, x, reduction="sum")
            divergence = -0.5 * torch.sum(1 + log_variance - mean.pow(2) - log_variance.exp())
            # Divided so that Adam's step, and with it the result, is that of this program.
            loss = (error + divergence) / len(x)
            loss.backward()
            total += loss.item() * len(x)
            optimizer.step()
        means.append(total / len(dataset))
    return means


def ddpm_dataset(images: Images) -> PILDataset:
    """The data set of `train_ddpm`, made before the clock starts."""
    channels, height, width = images.shape
    steps = [
        transforms.Resize((height, width)),
        transforms.ToTensor(),
        transforms.Normalize([0.5] * channels, [0.5] * channels),
    ]
    return PILDataset(images, transforms.Compose(steps))


def train_ddpm(
    model: UNet2DModel,
    dataset: PILDataset,
    settings: DDPM,
    device: torch.device,
    progress: ProgressCallback,
) -> list[float]:
    """Trains in `settings`, leaves the averaged weights in `model`; returns the loss of every step.

    The loop of diffusers' tutorial and of the command in its unconditional example: `--use_ema`,
    `--mixed_precision=no`, a DataLoader without workers, AdamW, a cosine schedule with warm-up,
    gradients clipped at 1, the loss shown at every step. Accelerator is left out: on one device
    without mixed precision it hands every call on. So is the random flip, which this program does
    not do. `progress` is called at every step, for the clock.
    """
    steps, batch = settings.steps, settings.batch
    loader = DataLoader(dataset, batch_size=batch, shuffle=True)
    scheduler = DDPMScheduler(num_train_timesteps=NOISE_LEVELS)
    network: Any = model
    network.to(device).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=settings.lr)
    schedule = get_cosine_schedule_with_warmup(optimizer, settings.warmup, steps)
    ema = EMAModel(network.parameters(), decay=settings.ema)
    ema.to(device)
    losses: list[float] = []
    # The progress bar is drawn, as it is for a user, but not shown.
    with tqdm(total=steps, file=io.StringIO()) as bar:
        while len(losses) < steps:
            for images in loader:
                clean = images.to(device)
                noise = torch.randn(clean.shape, device=device)
                t = torch.randint(0, NOISE_LEVELS, (len(clean),), device=device, dtype=torch.int64)
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


def sample_ancestral(network: UNet2DModel, n: int, seed: int, steps: int) -> Tensor:
    """Samples with diffusers' DDPMPipeline: float32[n, C, H, W] in [-1, 1], drawn at once.

    The network is unconditional and predicts v, with the cosine schedule; fewer `steps` than 1,000
    are not what the paper does.
    """
    scheduler = DDPMScheduler(
        num_train_timesteps=NOISE_LEVELS,
        beta_schedule="squaredcos_cap_v2",
        prediction_type="v_prediction",
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


class _Features(nn.Module):
    """A feature extractor, uint8[N, C, H, W] => float32[N, D], with D where torchmetrics looks."""

    def __init__(self, network: nn.Module, width: int) -> None:
        super().__init__()
        self.network, self.num_features = network, width

    def forward(self, images: Tensor) -> Tensor:
        with torch.no_grad():
            return self.network(images)


class TorchmetricsDistance:
    """torchmetrics' Fréchet distance on a network of one's own; real images are passed once."""

    def __init__(self, network: nn.Module, width: int, real: Tensor) -> None:
        metric = FrechetInceptionDistance(_Features(network, width), reset_real_features=False)
        self.metric = metric.to(real.device)
        self._pass(real, True)

    def _pass(self, images: Tensor, real: bool) -> None:
        for part in images.split(BATCH):
            self.metric.update(part, real=real)

    def __call__(self, generated: Tensor) -> float:
        """The distance of uint8[N, C, H, W] images."""
        self.metric.reset()
        self._pass(generated, False)
        return float(self.metric.compute())
