"""A denoising diffusion model: diffusers' UNet and its schedulers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal, cast

import torch
import torch.nn.functional as F
from diffusers.models.unets.unet_2d import UNet2DModel
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator
from torch import Tensor, nn

from imgcollapse.core.device import Device
from imgcollapse.core.errors import UserError
from imgcollapse.core.images import Images, to_float, to_uint8, unlabeled
from imgcollapse.generators.base import Generator, Model
from imgcollapse.generators.noise_schedule import NoiseSchedule, Sampler
from imgcollapse.generators.sampling import require_finite, sample_in_batches
from imgcollapse.generators.unet import (
    Compile,
    PadToMultiple,
    compile_error,
    compiled,
    fusion_obstacle,
    optimize_network,
    unet,
)
from imgcollapse.parallel.process_group import current_group
from imgcollapse.training.batch_rng import BatchRNG
from imgcollapse.training.context import RunContext
from imgcollapse.training.loop import check_images, cpu_state, load_weights, train
from imgcollapse.training.training_config import TrainingConfig


class DDPM(Generator):
    """A denoising diffusion probabilistic model (Ho et al. 2020).

    The learning rate warms up, then falls to 0 along half a cosine.
    """

    supports_data_parallel = True
    exports_to_diffusers = True
    kind: Literal["ddpm"] = "ddpm"
    conditional: bool = False  # whether the network gets the class as input
    channels: tuple[int, ...] = Field(default=(32, 64), min_length=1)  # features of each level
    layers: PositiveInt = 1  # residual blocks a level
    attention: bool = True  # whether the coarsest level attends
    # Side of the squares folded into channels; 2 costs a quarter of the time
    patch: int = Field(default=1, ge=1, le=8)
    steps: PositiveInt = 2000  # optimizer steps from scratch
    warm_steps: PositiveInt | None = None  # from the previous model; none is `steps`
    batch: PositiveInt = 64  # images a step
    lr: PositiveFloat = 1e-3  # Adam's largest step size
    warmup: NonNegativeInt = 50  # steps over which it is reached
    ema: float = Field(default=0.999, ge=0, lt=1)  # decay of the averaged weights that draw
    schedule: Literal["cosine", "linear"] = "cosine"  # Nichol & Dhariwal 2021; Ho et al. 2020
    timesteps: int = Field(default=1000, ge=50)  # noise levels T
    # The noise, or v (Salimans & Ho 2022), which stays well-posed at pure noise
    prediction: Literal["epsilon", "v"] = "v"
    # ddpm (ancestral), ddim (Song et al. 2021), dpm++ or sde-dpm++ (2M, Lu et al. 2022). sde-dpm++
    # adds noise on the way, and comes nearer to real images; it takes 50 steps to leave the class
    # shares alone, dpm++ 20 (docs/speed.md).
    sampler: Sampler = "dpm++"
    sample_steps: PositiveInt = 20  # noise levels visited; too few favor common classes
    sample_batch: PositiveInt = 500  # images at once; the noise that a sampler adds depends on it
    # Classifier-free guidance (Ho & Salimans 2021), the weight w of the conditional prediction in w
    # * conditional + (1 - w) * unconditional; 1 is none
    guidance: float = Field(default=1.0, ge=1)
    label_dropout: float = Field(default=0.1, ge=0, lt=1)  # share of labels hidden in training
    # auto records a training step on a GPU and replays it; on has torch.compile translate the
    # network as well, on a CPU too; off does neither (docs/speed.md)
    compile: Compile = "auto"

    @model_validator(mode="after")
    def _agree(self) -> DDPM:
        if any(features < 8 or features % 8 for features in self.channels):
            raise ValueError(f"channels must be multiples of 8, not {list(self.channels)}")
        if self.sample_steps > self.timesteps:
            raise ValueError(
                f"sample_steps ({self.sample_steps}) must not exceed timesteps ({self.timesteps})"
            )
        if self.sampler == "ddim" and self.timesteps % self.sample_steps:
            raise ValueError(
                f"sample_steps ({self.sample_steps}) must divide timesteps ({self.timesteps}):"
                " ddim takes equal strides"
            )
        if self.warm_steps and not self.warm_start:
            raise ValueError("warm_steps needs warm_start: true")
        if self.guidance != 1 and not (self.conditional and self.label_dropout):
            raise ValueError("guidance needs conditional: true and label_dropout above 0")
        return self

    def training_steps(self, images: int, warm: bool = False) -> int:
        """`steps` from scratch, `warm_steps` from the previous model."""
        return (self.warm_steps or self.steps) if warm and self.warm_start else self.steps

    def images_at_once(self, images: int) -> int:
        """At most `sample_batch`."""
        return min(images, self.sample_batch)

    def fit(
        self, images: Images, context: RunContext, previous: Model | None = None
    ) -> DiffusionModel:
        """Train on `images`; raises `UserError` where the network cannot be compiled as asked."""
        check_images(images, self.conditional)
        with (context.seed / "init").seed_torch():
            model = self._model(images.shape, context)
        if self.warm_start and previous is not None:
            load_weights(model.network, previous.state())
        steps = self.training_steps(len(images), previous is not None)
        config = TrainingConfig.cosine(
            steps, self.batch, self.lr, self.warmup, self.ema, replay=self.compile != "off"
        )
        self._train(model, images, config, context)
        return model

    def _train(
        self, model: DiffusionModel, images: Images, config: TrainingConfig, context: RunContext
    ) -> list[float]:
        if model.device.torch.type == "cuda" and self._fuses:
            context.checkpoints.add_metadata("fused", fusion_obstacle(model.device.torch) or "yes")
        loss_of = self._learner(model, images, context).loss
        return train(model.network, images, loss_of, config, context)

    def _learner(
        self, model: DiffusionModel, images: Images, context: RunContext
    ) -> DiffusionModel:
        """The model itself, or the same weights compiled where that is asked for."""
        if self.compile != "on":
            return model
        learner = replace(model, network=compiled(model.network))
        where = model.device.torch
        model.network.train()
        draws = BatchRNG(context.seed / "compile", self.batch, where)
        shown = images[draws.integers(len(images)).to("cpu")]
        pixels, labels = to_float(shown.pixels.to(where)), shown.labels.long().to(where)
        with model.device.deterministic():  # as it is trained: what is translated depends on it
            why = compile_error(lambda: learner.loss(pixels, labels, draws), model.network)
        if why:
            raise UserError(f"generator.compile: cannot be done here ({why}); use auto or off")
        context.checkpoints.add_metadata("compiled", "yes")
        return learner

    def restore(self, state: dict[str, Tensor], context: RunContext) -> DiffusionModel:
        """The model whose `state` was saved."""
        with torch.random.fork_rng(devices=[]):
            model = self._model(context.shape, context)
        load_weights(model.network, state)
        return model

    @property
    def _fuses(self) -> bool:
        """Whether a GPU replays its steps: taken one by one, fused kernels wait for each launch."""
        return self.compile == "auto" and current_group().size == 1

    def _model(self, shape: tuple[int, int, int], context: RunContext) -> DiffusionModel:
        device = context.device
        halvings = len(self.channels) - 1
        canvas = PadToMultiple(shape, self.patch * 2**halvings, self.patch)
        # The last condition is "any class".
        conditions = context.classes + 1 if self.conditional else None
        network = unet(canvas.padded_shape, self.channels, self.layers, self.attention, conditions)
        cast(nn.Module, network).to(device.torch).eval()
        _, height, width = canvas.padded_shape
        places = height * width // 4**halvings
        optimize_network(network, places, device, self._fuses)
        process = NoiseSchedule(self.schedule, self.timesteps, self.prediction)
        return DiffusionModel(self, network, canvas, process, device)


@dataclass(frozen=True)
class DiffusionModel:
    """A diffusion model."""

    settings: DDPM
    network: UNet2DModel
    padding: PadToMultiple
    schedule: NoiseSchedule
    device: Device

    @property
    def any_class(self) -> int:
        """The condition of a conditional model that stands for no class in particular."""
        return self.network.config["num_class_embeds"] - 1

    def loss(self, pixels: Tensor, labels: Tensor, draws: BatchRNG) -> Tensor:
        """Mean squared error of the answer at random timesteps (Ho et al. 2020, equation 14).

        Of float32[B, C, H, W] pixels in [-1, 1] and int64[B] labels, some of which are hidden.
        """
        clean = self.padding.pad(pixels)
        t = draws.integers(self.settings.timesteps)
        drawn = draws.normal(*clean.shape[1:])
        if self.settings.conditional:
            hidden = draws.uniform()
            labels = labels.where(hidden >= self.settings.label_dropout, self.any_class)
        answer = self._answer(self.schedule.noisy(clean, drawn, t), t, labels)
        return F.mse_loss(answer, self.schedule.target(clean, drawn, t))

    @torch.inference_mode()
    def sample(self, labels: Tensor, context: RunContext) -> Images:
        """Draw one image for each of `labels`; only a conditional model reads them."""
        seed, where = context.seed, self.device.torch
        start = (seed / "start").torch()

        def draw(noise: Tensor, rows: slice) -> Tensor:
            ancestral = (seed / "ancestral" / rows.start).torch(where)
            x = self._draw(noise.to(where), labels[rows].long().to(where), ancestral)
            return to_uint8(self.padding.crop(require_finite(x)))

        def noise() -> Tensor:
            return torch.randn(self.padding.padded_shape, generator=start)

        batch = self.settings.sample_batch
        pixels = sample_in_batches(len(labels), batch, noise, draw, context)
        return Images(pixels, labels) if self.settings.conditional else unlabeled(pixels)

    def _draw(self, x: Tensor, labels: Tensor, ancestral: torch.Generator) -> Tensor:
        # diffusers annotates timesteps as int, and takes tensors.
        name, steps = self.settings.sampler, self.settings.sample_steps
        sampler: Any = self.schedule.sampler(name, steps, of_clean=True)
        for t in sampler.timesteps:
            answer = self._guided(x, t.to(x.device).expand(len(x)), labels)
            clean = self.schedule.clean(x, answer, t)
            x = sampler.step(clean, t, x, generator=ancestral, return_dict=False)[0]
        return x

    def _guided(self, x: Tensor, t: Tensor, labels: Tensor) -> Tensor:
        weight = self.settings.guidance
        if weight == 1:
            return self._answer(x, t, labels)
        unasked = torch.full_like(labels, self.any_class)
        both = self._answer(x.repeat(2, 1, 1, 1), t.repeat(2), torch.cat([labels, unasked]))
        conditional, unconditional = both.chunk(2)
        return unconditional + weight * (conditional - unconditional)

    def _answer(self, x: Tensor, t: Tensor, labels: Tensor) -> Tensor:
        told = labels if self.settings.conditional else None
        with self.device.autocast():
            return self.network(x, t, told, return_dict=False)[0].float()

    def state(self) -> dict[str, Tensor]:
        """The averaged weights."""
        return cpu_state(self.network)
