"""Interface of feature extractors, and the study's own oracle as one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.transforms.functional import normalize

from imgcollapse.core.components import Component
from imgcollapse.core.device import Device
from imgcollapse.io.pretrained import PretrainedWeights, sha256_of_file
from imgcollapse.parallel.process_group import current_group

_BATCH = 128
_IMAGENET_MEAN, _IMAGENET_STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


class Extractor(Component, ABC):
    """A fixed function from images to feature vectors.

    `supports_data_parallel` says whether `features` divides its work among the processes of the
    current group; otherwise only the first process computes them.
    """

    supports_data_parallel: ClassVar[bool] = False

    @abstractmethod
    def features(self, pixels: Tensor, oracle: Tensor, device: Device) -> Tensor:
        """The features of uint8[N, C, H, W] images, gray or RGB: float32[N, D] on the CPU.

        `oracle` has the features that the study's oracle sees, float32[N, E]; networks run on
        `device`.

        Raises:
            UserError: the weights are not there, or not what they should be.
        """

    @abstractmethod
    def identity(self, oracle: str) -> str:
        """Kind, 12 digits of the weights' sha256 and resizing, given that of the oracle."""


class OracleFeatures(Extractor):
    """The last layer of the study's oracle before the class scores: no weights to fetch."""

    kind: Literal["oracle"] = "oracle"

    def features(self, pixels: Tensor, oracle: Tensor, device: Device) -> Tensor:
        """The features that the oracle has computed already."""
        return oracle

    def identity(self, oracle: str) -> str:
        """The oracle's hash; it is shown images at their own size."""
        return f"oracle {oracle[:12]} no resize"


class Network(Extractor, ABC):
    """A network with pretrained weights on disk."""

    supports_data_parallel = True

    @abstractmethod
    def source(self) -> PretrainedWeights:
        """Its weights; raises `UserError` where they are not there."""

    @abstractmethod
    def build(self) -> nn.Module:
        """uint8[N, 3, H, W] => float32[N, D], weights loaded."""

    @abstractmethod
    def resize(self) -> str:
        """Description of the resizing of images."""

    @cached_property
    def network(self) -> nn.Module:
        """The network, built when it is first needed."""
        return self.build().eval().requires_grad_(False)

    def features(self, pixels: Tensor, oracle: Tensor, device: Device) -> Tensor:
        """Run the network in float32, batch by batch."""
        network = self.network.to(device.torch)

        def see(batch: Tensor) -> Tensor:
            return network(batch.to(device.torch).expand(-1, 3, -1, -1)).float().cpu()

        with torch.inference_mode():
            parts = [*current_group().scatter_map(see, pixels.split(_BATCH))]
        return torch.cat(parts).clone()

    def identity(self, oracle: str) -> str:
        """Kind, hash and resizing."""
        return f"{self.kind} {sha256_of_file(self.source().find_file())[:12]} {self.resize()}"


def weights_of_features(
    named: Path | None, published: Sequence[str], url: str
) -> PretrainedWeights:
    """Weights that `metrics.features` asks for."""
    return PretrainedWeights(
        "metrics.features.weights", named, published, url, "metrics.features=oracle"
    )


class Prepare(nn.Module):
    """Bytes => what ImageNet networks were trained on: resized, standardized by channel."""

    def __init__(self, size: int, mode: Literal["bilinear", "bicubic"]) -> None:
        """Resizes sides to `size` pixels, antialiased."""
        super().__init__()
        self.size, self.mode = size, mode

    def forward(self, pixels: Tensor) -> Tensor:
        """uint8[N, 3, H, W] => float32[N, 3, size, size]."""
        images = F.interpolate(pixels.float() / 255, self.size, mode=self.mode, antialias=True)
        # Bicubic interpolation overshoots; there are no such colors.
        return normalize(images.clamp(0, 1), _IMAGENET_MEAN, _IMAGENET_STD)
