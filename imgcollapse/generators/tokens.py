"""Images as sentences: what a token is, and the way there and back."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Annotated, Literal

import torch
from pydantic import Field
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits
from torch import Tensor

from imgcollapse.core.components import Component, ComponentUnion
from imgcollapse.core.errors import UserError
from imgcollapse.core.images import Images
from imgcollapse.generators.unet import PadToMultiple

PATCHES = 50_000  # patches that a codebook is fitted to, at most


class Tokenizer(ABC):
    """T tokens for an image, each one of V."""

    size: int  # V
    length: int  # T
    dimensions: str  # what bits per dimension are bits of; they compare where this is the same

    @abstractmethod
    def encode(self, pixels: Tensor) -> Tensor:
        """uint8[N, C, H, W] => int64[N, T]; what a token cannot say is lost."""

    @abstractmethod
    def decode(self, tokens: Tensor) -> Tensor:
        """int64[N, T] => uint8[N, C, H, W]."""

    def state(self) -> dict[str, Tensor]:
        """The learned state, as named tensors on the CPU."""
        return {}


class TokenizerSettings(Component, ABC):
    """A way to write images down."""

    # Whether it is fitted to images; then all generations go by that of the first
    learned: Literal[True, False] = False

    @abstractmethod
    def fit(self, images: Images) -> Tokenizer:
        """The alphabet for these images."""

    @abstractmethod
    def restore(self, state: Mapping[str, Tensor], shape: tuple[int, int, int]) -> Tokenizer:
        """The alphabet whose `state` was saved; `shape` is channels, height, width."""


class PixelTokens(TokenizerSettings):
    """A token is one channel of one pixel, rounded to evenly spaced levels from black to white.

    Row by row, the channels of a pixel one after the other (van den Oord et al. 2016).
    """

    kind: Literal["pixels"] = "pixels"
    learned: Literal[False] = False  # pyright: ignore[reportIncompatibleVariableOverride]
    levels: int = Field(default=4, ge=2, le=256)  # how many; 256 loses nothing

    def fit(self, images: Images) -> GrayLevels:
        """There is nothing to learn."""
        return GrayLevels(self.levels, images.shape)

    def restore(self, state: Mapping[str, Tensor], shape: tuple[int, int, int]) -> GrayLevels:
        """There is nothing to restore."""
        return GrayLevels(self.levels, shape)


class PatchTokens(TokenizerSettings):
    """A token is a square of pixels: the nearest word of a codebook found by k-means.

    Vector quantization without learning. The codebook is fitted to the first model's training
    images and handed down, so that a word means the same in every generation; it depends on those
    images alone, so lineages that begin with the same images have the same words. Images whose
    sides are no multiple of `patch` are continued by their last row and column.
    """

    kind: Literal["words"] = "words"
    learned: Literal[True] = True  # pyright: ignore[reportIncompatibleVariableOverride]
    # Words, at most: there are no more than distinct patches
    size: int = Field(default=512, ge=2, le=2**15)
    patch: int = Field(default=4, ge=1, le=16)  # side of the squares, in pixels

    def fit(self, images: Images) -> PatchTokenizer:
        """k-means (Lloyd 1982, from k-means++) on patches, every centroid rounded to 0..255."""
        canvas = PadToMultiple(images.shape, self.patch, self.patch)
        patches = _patches(canvas, images.pixels)
        chosen = torch.randperm(len(patches), generator=torch.Generator().manual_seed(0))
        patches, counts = patches[chosen[:PATCHES]].unique(dim=0, return_counts=True)
        if len(patches) > self.size:
            means = KMeans(self.size, random_state=0)
            with threadpool_limits(1):  # several threads add up in the order they happen to end
                means.fit(patches.numpy(), sample_weight=counts.numpy())
            patches = torch.from_numpy(means.cluster_centers_).round().unique(dim=0)
        return PatchTokenizer(patches.to(torch.uint8), canvas)

    def restore(self, state: Mapping[str, Tensor], shape: tuple[int, int, int]) -> PatchTokenizer:
        """The codebook that a model carries; raises `UserError` for another patch size."""
        canvas = PadToMultiple(shape, self.patch, self.patch)
        words = state.get("codebook")
        if words is None or words.shape[1] != canvas.padded_shape[0]:
            raise UserError(
                "generator.tokens: the saved words do not fit its settings;"
                " use the settings and image size the model was trained with"
            )
        return PatchTokenizer(words, canvas)


AnyTokens = Annotated[TokenizerSettings, ComponentUnion(PixelTokens, PatchTokens)]


class GrayLevels(Tokenizer):
    """Tokens of `Pixels`. All in whole numbers, so every level comes back as itself."""

    def __init__(self, levels: int, shape: tuple[int, int, int]) -> None:
        channels, height, width = shape
        self.size, self.length = levels, channels * height * width
        self.rows = (-1, height, width, channels)
        self.dimensions = f"pixels of {levels} levels"

    def encode(self, pixels: Tensor) -> Tensor:
        """The nearest level of each pixel; a tie goes up."""
        return ((2 * (self.size - 1) * pixels.long() + 255) // 510).permute(0, 2, 3, 1).flatten(1)

    def decode(self, tokens: Tensor) -> Tensor:
        """The gray of each level."""
        top = self.size - 1
        pixels = ((510 * tokens + top) // (2 * top)).to(torch.uint8)
        return pixels.view(self.rows).permute(0, 3, 1, 2).contiguous()


class PatchTokenizer(Tokenizer):
    """Tokens of `Words`."""

    def __init__(self, words: Tensor, canvas: PadToMultiple) -> None:
        """Has distinct words, uint8[V, D], D being channels times patch squared."""
        _, rows, columns = canvas.padded_shape
        self.words, self.canvas = words, canvas
        self.size, self.length = len(words), rows * columns
        digest = hashlib.sha256(words.numpy().tobytes()).hexdigest()[:8]
        self.dimensions = f"{self.size} words of {canvas.patch}x{canvas.patch} pixels ({digest})"

    def encode(self, pixels: Tensor) -> Tensor:
        """The word nearest to each patch, the first of several that are equally near."""
        words, patches = self.words.double(), _patches(self.canvas, pixels.cpu())
        # Whole numbers in float64: the products are exact, and so is which word is nearest.
        size = words.square().sum(1)
        nearest = [(size - 2 * part @ words.T).argmin(1) for part in patches.split(2**14)]
        return torch.cat(nearest).view(-1, self.length)

    def decode(self, tokens: Tensor) -> Tensor:
        """The words side by side."""
        _, rows, columns = self.canvas.padded_shape
        seen = self.words[tokens.cpu()].view(-1, rows, columns, self.words.shape[1])
        return self.canvas.crop(seen.permute(0, 3, 1, 2)).contiguous()

    def state(self) -> dict[str, Tensor]:
        """The words."""
        return {"codebook": self.words}


def _patches(canvas: PadToMultiple, pixels: Tensor) -> Tensor:
    """uint8[N, C, H, W] => float64[N T, D], image by image, row by row."""
    seen = canvas.pad(pixels.double())
    return seen.permute(0, 2, 3, 1).flatten(0, 2)
