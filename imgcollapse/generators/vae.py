"""A convolutional variational autoencoder."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor, nn

from imgcollapse.core.device import Device
from imgcollapse.core.images import Images, to_float, to_uint8, unlabeled
from imgcollapse.generators.base import Generator, Model
from imgcollapse.generators.sampling import require_finite
from imgcollapse.parallel.process_group import current_group
from imgcollapse.training.batch_rng import BatchRNG
from imgcollapse.training.context import RunContext
from imgcollapse.training.loop import cpu_state, load_weights, train
from imgcollapse.training.training_config import TrainingConfig

BATCH = 1000


class VAE(Generator):
    """A variational autoencoder with Bernoulli pixels (Kingma & Welling 2014).

    Minimizes, per image, -log p(x|z) + beta KL(q(z|x) || N(0, I)) in nats. The defaults are the
    model-collapse setup of Shumailov et al. 2024: 647k weights at 28x28x1.
    """

    supports_data_parallel = True
    kind: Literal["vae"] = "vae"
    conditional: Literal[False] = False  # pyright: ignore[reportIncompatibleVariableOverride]
    latent: PositiveInt = 20  # dimensions of z
    width: PositiveInt = 64  # channels after the first convolution; the second has twice as many
    epochs: PositiveInt = 30  # makes epochs * n / batch steps
    steps: PositiveInt | None = None  # optimizer steps, in place of `epochs`
    batch: PositiveInt = 256  # images a step
    lr: PositiveFloat = 1e-3  # Adam's step size
    weight_decay: NonNegativeFloat = 1e-5  # L2 penalty
    beta: NonNegativeFloat = 1.0  # weight of the KL term (Higgins et al. 2017).
    decode: Literal["mean", "sample"] = "mean"  # sample: black or white pixels with that mean
    temperature: NonNegativeFloat = 1.0  # standard deviation of the prior that is drawn from

    def training_steps(self, images: int, warm: bool = False) -> int:
        """`steps`, or epochs * n / batch."""
        return self.steps or math.ceil(self.epochs * images / self.batch)

    def fit(self, images: Images, context: RunContext, previous: Model | None = None) -> VAEModel:
        """Train on `images`; raises `UserError` where there are none, or training diverges."""
        with (context.seed / "init").seed_torch():
            network = self._network(images.shape)
        if self.warm_start and previous is not None:
            load_weights(network, previous.state())

        def loss(pixels: Tensor, _labels: Tensor, draws: BatchRNG) -> Tensor:
            return negative_elbo(network, pixels, self.beta, draws)

        steps, decay = self.training_steps(len(images)), self.weight_decay
        config = TrainingConfig(steps, self.batch, self.lr, weight_decay=decay, replay=True)
        train(network, images, loss, config, context)
        return VAEModel(self, network, context.device)

    def restore(self, state: dict[str, Tensor], context: RunContext) -> VAEModel:
        """The model whose `state` was saved."""
        with torch.random.fork_rng(devices=[]):
            network = self._network(context.shape).to(context.device.torch).eval()
        load_weights(network, state)
        return VAEModel(self, network, context.device)

    def _network(self, shape: tuple[int, int, int]) -> ConvVAE:
        # Convolutions with a stride want the channels of a pixel side by side, on a CPU too.
        return ConvVAE(shape, self.latent, self.width).to(memory_format=torch.channels_last)


class ConvVAE(nn.Module):
    """Encoder and decoder: two convolutions that halve, one dense layer, and back.

    Sides that are no multiple of 4 are padded inside with black, and cropped on the way out.
    """

    def __init__(self, shape: tuple[int, int, int], latent: int, width: int) -> None:
        super().__init__()
        channels, self.height, self.width = shape
        rows, columns = -(-self.height // 4), -(-self.width // 4)
        self.padding = (0, 4 * columns - self.width, 0, 4 * rows - self.height)
        cells = 2 * width * rows * columns
        self.encoder = nn.Sequential(
            nn.Conv2d(channels, width, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, 2 * width, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(cells, 2 * latent),
        )
        self.decoder = nn.Sequential(
            nn.Linear(latent, cells),
            nn.ReLU(),
            nn.Unflatten(1, (2 * width, rows, columns)),
            nn.ConvTranspose2d(2 * width, width, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.ConvTranspose2d(width, channels, 4, stride=2, padding=1),
        )

    def encode(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """[N, C, H, W] in [-1, 1] => mean and log variance of q(z|x), float32[N, latent] each."""
        shares = F.pad((pixels + 1) / 2, self.padding)
        mean, log_variance = self.encoder(shares).float().chunk(2, dim=1)
        return mean, log_variance

    def decode(self, z: Tensor) -> Tensor:
        """[N, latent] => logits of the pixels' means, float32[N, C, H, W]."""
        return self.decoder(z)[..., : self.height, : self.width].float()


def negative_elbo(network: ConvVAE, pixels: Tensor, beta: float, draws: BatchRNG) -> Tensor:
    """Mean over [B, C, H, W] images in [-1, 1] of -log p(x|z) + beta KL(q(z|x) || p(z)), in nats.

    Equation 10 of Kingma & Welling 2014, with one draw of z for an image.
    """
    mean, log_variance = network.encode(pixels)
    drawn = draws.normal(*mean.shape[1:])
    logits = network.decode(mean + (log_variance / 2).exp() * drawn)
    misfit = F.binary_cross_entropy_with_logits(logits, (pixels + 1) / 2, reduction="sum")
    divergence = -0.5 * (1 + log_variance - mean.square() - log_variance.exp()).sum()
    return (misfit + beta * divergence) / len(pixels)


@dataclass(frozen=True)
class VAEModel:
    """A trained VAE."""

    settings: VAE
    network: ConvVAE
    device: Device

    @torch.inference_mode()
    def sample(self, labels: Tensor, context: RunContext) -> Images:
        """Draw as many images as there are `labels`; nobody has named them."""
        n = len(labels)
        z = torch.randn(n, self.settings.latent, generator=(context.seed / "latent").torch())
        z = z * self.settings.temperature
        uniform, parts, done = (context.seed / "pixels").torch(), [], 0
        for means in current_group().scatter_map(self._means, z.split(BATCH)):
            if self.settings.decode == "sample":
                means = (torch.rand(means.shape, generator=uniform) < means).float()
            parts.append(to_uint8(2 * means - 1))
            done += len(means)
            context.progress("sample", done, n, done)
        return unlabeled(torch.cat(parts))

    def _means(self, z: Tensor) -> Tensor:
        with self.device.autocast():
            return require_finite(self.network.decode(z.to(self.device.torch)).sigmoid()).cpu()

    @torch.inference_mode()
    def encode(self, pixels: Tensor) -> Tensor:
        """uint8[N, C, H, W] => means of q(z|x), float32[N, latent] on the CPU."""
        means = []
        for part in pixels.split(BATCH):
            with self.device.autocast():
                means.append(self.network.encode(to_float(part.to(self.device.torch)))[0].cpu())
        return torch.cat(means)

    def state(self) -> dict[str, Tensor]:
        """The network's weights."""
        return cpu_state(self.network)
