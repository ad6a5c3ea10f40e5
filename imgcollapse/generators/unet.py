"""The denoising network, and how images of any size fit it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch.nn.functional as F
from diffusers.models.unets.unet_2d import UNet2DModel
from torch import Tensor


@dataclass(frozen=True)
class PadToMultiple:
    """Fits images to a network whose sides must be multiples of `multiple`.

    Attributes:
        shape: channels, height, width of an image.
        multiple: what both sides are padded up to, by repeating the last row and column.
        patch: side of the squares of pixels that are folded into channels (Shi et al. 2016).
    """

    shape: tuple[int, int, int]
    multiple: int
    patch: int

    @property
    def padded_shape(self) -> tuple[int, int, int]:
        """Channels, height, width of what the network sees."""
        channels, height, width = self.shape
        rows = -(-height // self.multiple) * self.multiple
        columns = -(-width // self.multiple) * self.multiple
        return channels * self.patch**2, rows // self.patch, columns // self.patch

    def pad(self, images: Tensor) -> Tensor:
        """[N, C, H, W] images => what the network sees."""
        _, rows, columns = self.padded_shape
        _, height, width = self.shape
        padding = (0, columns * self.patch - width, 0, rows * self.patch - height)
        return F.pixel_unshuffle(F.pad(images, padding, mode="replicate"), self.patch)

    def crop(self, seen: Tensor) -> Tensor:
        """What the network sees => [N, C, H, W] images."""
        _, height, width = self.shape
        return F.pixel_shuffle(seen, self.patch)[..., :height, :width]


def unet(
    inside: tuple[int, int, int],
    channels: tuple[int, ...],
    layers: int,
    attention: bool,
    embeddings: int | None,
) -> UNet2DModel:
    """A diffusers UNet with one level for each of `channels`, each half the size of the one above.

    Args:
        inside: channels, height, width of its input.
        channels: features of each level, finest first; multiples of 8.
        layers: residual blocks a level.
        attention: whether the coarsest level attends (one head).
        embeddings: conditions it can be told to draw, or None for an unconditional network.
    """
    depth = len(channels)
    coarsest = "Attn" if attention else ""
    return UNet2DModel(
        sample_size=inside[1:],
        in_channels=inside[0],
        out_channels=inside[0],
        layers_per_block=layers,
        block_out_channels=channels,
        down_block_types=("DownBlock2D",) * (depth - 1) + (f"{coarsest}DownBlock2D",),
        up_block_types=(f"{coarsest}UpBlock2D",) + ("UpBlock2D",) * (depth - 1),
        add_attention=attention,
        attention_head_dim=channels[-1],
        # At least four features a group, as in EDM (Karras et al. 2022).
        norm_num_groups=math.gcd(32, *(features // 4 for features in channels)),
        num_class_embeds=embeddings,
    )
