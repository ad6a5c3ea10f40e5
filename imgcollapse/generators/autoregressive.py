"""A language model over the tokens of an image."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator
from torch import Tensor

from imgcollapse.core.device import Device
from imgcollapse.core.images import Images, unlabeled
from imgcollapse.generators.base import Generator, Likelihood, Model
from imgcollapse.generators.sampling import require_finite, sample_in_batches
from imgcollapse.generators.tokens import AnyTokens, PixelTokens, Tokenizer
from imgcollapse.generators.transformer import Transformer, probabilities, sample_token
from imgcollapse.training.batch_rng import BatchRNG
from imgcollapse.training.context import RunContext
from imgcollapse.training.loop import check_images, cpu_state, load_weights, train
from imgcollapse.training.training_config import TrainingConfig

LOGITS = 2**22  # logits held at once when likelihoods are taken: 32 MB


class Autoregressive(Generator):
    """A transformer that writes images token by token (Radford et al. 2019; Chen et al. 2020).

    Minimizes the mean of -log p(token | tokens before it) in nats. The learning rate warms up, then
    falls to 0 along half a cosine.
    """

    supports_data_parallel = True
    kind: Literal["autoregressive"] = "autoregressive"
    conditional: bool = False  # whether the first thing it reads is the class it writes
    tokens: AnyTokens = PixelTokens()  # quantized pixels, or words for patches of them
    width: PositiveInt = 64  # features of a token; a multiple of `heads`
    layers: PositiveInt = 3  # blocks
    heads: PositiveInt = 4  # attention heads of a block
    epochs: PositiveInt = 30  # makes epochs * n / batch steps
    steps: PositiveInt | None = None  # optimizer steps, in place of `epochs`
    warm_steps: PositiveInt | None = None  # from the previous model; none is as from scratch
    batch: PositiveInt = 64  # images a step
    lr: PositiveFloat = 2e-3  # Adam's largest step size
    warmup: int = Field(default=50, ge=0)  # steps over which it is reached
    ema: float = Field(default=0.99, ge=0, lt=1)  # decay of the averaged weights that draw
    temperature: NonNegativeFloat = 1.0  # divides the logits; 0 writes the likeliest tokens
    top_k: PositiveInt | None = None  # tokens that may be drawn, the likeliest; none is all of them
    top_p: float = Field(default=1.0, gt=0, le=1)  # least share of those that may be drawn
    sample_batch: PositiveInt = 64  # images drawn at once; the draws do not depend on it

    @model_validator(mode="after")
    def _agree(self) -> Autoregressive:
        if self.width % self.heads:
            raise ValueError(f"width ({self.width}) must be a multiple of heads ({self.heads})")
        if self.warm_steps and not self.warm_start:
            raise ValueError("warm_steps needs warm_start: true")
        return self

    @property
    def needs_previous(self) -> bool:
        """A warm start goes on from the previous weights; learned tokens are handed down."""
        return self.warm_start or self.tokens.learned

    def training_steps(self, images: int, warm: bool = False) -> int:
        """`steps`, or epochs * n / batch; `warm_steps` from the previous model."""
        if warm and self.warm_start and self.warm_steps:
            return self.warm_steps
        return self.steps or math.ceil(self.epochs * images / self.batch)

    def images_at_once(self, images: int) -> int:
        """At most `sample_batch`."""
        return min(images, self.sample_batch)

    def likelihood(self, model: Model, images: Images) -> Likelihood:
        """The bits per dimension of the images' tokens."""
        assert isinstance(model, LanguageModel)
        return Likelihood(model.bits_per_dim(images), model.tokenizer.dimensions)

    def fit(
        self, images: Images, context: RunContext, previous: Model | None = None
    ) -> LanguageModel:
        """Train on `images`; learned tokens are those of the `previous` model, if there is one."""
        check_images(images, self.conditional)
        handed = None if previous is None else _parts(previous.state())
        if handed is None:
            alphabet = self.tokens.fit(images)
        else:
            alphabet = self.tokens.restore(handed["alphabet"], images.shape)
        with (context.seed / "init").seed_torch():
            model = self._model(alphabet, context)
        if self.warm_start and handed:
            load_weights(model.network, handed["network"])
        steps = self.training_steps(len(images), handed is not None)
        config = TrainingConfig.cosine(steps, self.batch, self.lr, self.warmup, self.ema)
        tokens = alphabet.encode(images.pixels)
        train(model.network, images, model.loss, config, context, tokens)
        return model

    def restore(self, state: dict[str, Tensor], context: RunContext) -> LanguageModel:
        """The model whose `state` was saved."""
        saved = _parts(state)
        alphabet = self.tokens.restore(saved["alphabet"], context.shape)
        with torch.random.fork_rng(devices=[]):
            model = self._model(alphabet, context)
        load_weights(model.network, saved["network"])
        return model

    def _model(self, alphabet: Tokenizer, context: RunContext) -> LanguageModel:
        starts, device = context.classes if self.conditional else 1, context.device
        sizes = starts, self.width, self.layers, self.heads
        network = Transformer(alphabet.size, alphabet.length, *sizes)
        return LanguageModel(self, network.to(device.torch).eval(), alphabet, device)


@dataclass(frozen=True)
class LanguageModel:
    """A transformer and the alphabet it writes in."""

    settings: Autoregressive
    network: Transformer
    tokenizer: Tokenizer
    device: Device

    def loss(self, tokens: Tensor, labels: Tensor, _draws: BatchRNG) -> Tensor:
        """Mean over int64[B, T] tokens of -log p(token | tokens before it), in nats."""
        logits = self.network(self._starts(labels), tokens)
        return F.cross_entropy(logits.flatten(0, 1), tokens.flatten())

    @torch.inference_mode()
    def sample(self, labels: Tensor, context: RunContext) -> Images:
        """Write one image for each of `labels`; only a conditional model reads them."""
        draws, where = (context.seed / "tokens").torch(), self.device.torch

        def luck() -> Tensor:
            return torch.rand(self.tokenizer.length, generator=draws, dtype=torch.float64)

        def draw(chances: Tensor, rows: slice) -> Tensor:
            tokens = self._write(labels[rows].long().to(where), chances.to(where))
            return self.tokenizer.decode(tokens).cpu()

        batch = self.settings.sample_batch
        pixels = sample_in_batches(len(labels), batch, luck, draw, context)
        return Images(pixels, labels) if self.settings.conditional else unlabeled(pixels)

    def _write(self, labels: Tensor, luck: Tensor) -> Tensor:
        """int64[B] labels and float64[B, T] luck => int64[B, T] tokens."""
        settings, past = self.settings, self.network.begin()
        given, written, sums = self._starts(labels), [], []
        for chance in luck.T:
            with self.device.autocast():
                logits = self.network.read(past, given)
            shares = probabilities(logits, settings.temperature, settings.top_k, settings.top_p)
            given = sample_token(shares, chance)
            written.append(given)
            sums.append(logits.sum())
        require_finite(torch.stack(sums))
        return torch.stack(written, dim=1)

    @torch.inference_mode()
    def bits_per_dim(self, images: Images) -> Tensor:
        """-log2 p(tokens of the image) / (C H W): float64[N] bits per dimension, exact.

        Of the network itself, before temperature, top_k and top_p; of a conditional model, given
        the image's class. Only the tokens are coded: what they cannot say costs nothing.
        """
        check_images(images, self.settings.conditional)
        nats, size = [], max(1, LOGITS // (self.tokenizer.length * self.tokenizer.size))
        parts = images.pixels.split(size), images.labels.long().split(size)
        for pixels, labels in zip(*parts, strict=True):
            tokens = self.tokenizer.encode(pixels).to(self.device.torch)
            with self.device.autocast():
                logits = self.network(self._starts(labels.to(self.device.torch)), tokens)
            surprise = F.cross_entropy(logits.double().transpose(1, 2), tokens, reduction="none")
            nats.append(surprise.sum(1).cpu())
        return torch.cat(nats) / (math.log(2) * math.prod(images.shape))

    def _starts(self, labels: Tensor) -> Tensor:
        return labels if self.settings.conditional else torch.zeros_like(labels)

    def state(self) -> dict[str, Tensor]:
        """The averaged weights, and what is learned of the tokens."""
        parts = {"network": cpu_state(self.network), "alphabet": self.tokenizer.state()}
        return {f"{part}/{name}": t for part in parts for name, t in parts[part].items()}


def _parts(state: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """Tensors of a saved model by the part they belong to."""
    parts: dict[str, dict[str, Tensor]] = {"network": {}, "alphabet": {}}
    for path, tensor in state.items():
        part, _, name = path.partition("/")
        parts.setdefault(part, {})[name] = tensor
    return parts
