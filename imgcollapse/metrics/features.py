"""Feature extractors: the study's own oracle, torchvision's networks, Inception, DINOv2.

DINOv2 features are learned without labels, and Stein et al. 2023, arXiv:2306.04675, recommend them
over Inception's. Oquab et al. 2023, arXiv:2304.07193. The published network is torchvision's vision
transformer but for a scale on each residual branch; that scale is multiplied into the last layer of
the branch, so that no code from elsewhere runs.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from importlib.metadata import version
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn
from torchvision import models
from torchvision.models import VisionTransformer
from torchvision.transforms.functional import normalize

from imgcollapse.core.components import Component, ComponentUnion
from imgcollapse.core.device import Device
from imgcollapse.core.errors import UserError
from imgcollapse.core.seeds import Seed
from imgcollapse.io.pretrained import NetworkName, PretrainedWeights, sha256_of_file
from imgcollapse.parallel.process_group import current_group

_BATCH = 128
_IMAGENET_MEAN, _IMAGENET_STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


class Extractor(Component, ABC):
    """A fixed function from images to feature vectors; one with `supports_data_parallel` divides
    its work among the processes of the current group.
    """

    supports_data_parallel: ClassVar[bool] = False

    @abstractmethod
    def features(self, pixels: Tensor, oracle: Tensor, device: Device) -> Tensor:
        """The features of uint8[N, C, H, W] images, gray or RGB: float32[N, D] on the CPU.

        `oracle` has those of the study's oracle, float32[N, E]. Raises `UserError` where weights
        are not there, or not what they should be.
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
            found = network(batch.to(device.torch).expand(-1, 3, -1, -1))
            # torch-fidelity's networks give a tuple.
            return (found[0] if isinstance(found, tuple) else found).float().cpu()

        with torch.inference_mode():
            parts = [*current_group().scatter_map(see, pixels.split(_BATCH))]
        return torch.cat(parts).clone()

    def identity(self, oracle: str) -> str:
        """Kind, hash and resizing."""
        return f"{self.kind} {sha256_of_file(self.source().find_file())[:12]} {self.resize()}"


def _weights(named: Path | None, published: Sequence[str], url: str) -> PretrainedWeights:
    """Weights that `metrics.features` asks for."""
    setting, instead = "metrics.features.weights", "metrics.features=oracle"
    return PretrainedWeights(setting, named, published, url, instead)


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


class BackboneFeatures(Network):
    """The layer before the class scores of `name`, a resnet, resnext or regnet of torchvision.

    Images are resized to `size` pixels. `weights` is a file with the state dict; without one, it is
    torch.hub's cache. Never downloaded.
    """

    kind: Literal["backbone"] = "backbone"
    name: NetworkName = "resnet50"
    weights: Path | None = None
    size: Annotated[int, Field(ge=32)] = 224

    def source(self) -> PretrainedWeights:
        """The named file, or the cached one of torchvision's default weights."""
        url = models.get_model_weights(self.name)["DEFAULT"].url
        return _weights(self.weights, [url.rsplit("/", 1)[-1]], url)

    def build(self) -> nn.Module:
        """The network without its classifier."""
        source = self.source()
        state = source.load_state()
        with torch.device("meta"):  # no random first values: nothing is drawn
            network = models.get_model(self.name, weights=None)
        source.copy_into(network, state)
        body: Any = network
        body.fc = nn.Identity()
        return nn.Sequential(Prepare(self.size, "bilinear"), body)

    def resize(self) -> str:
        """Antialiased bilinear."""
        return f"{self.name} bilinear antialias {self.size}"


SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
"""Of the published weights; its first eight digits are part of the file's name."""
_NAMES = (
    "weights-inception-2015-12-05-6726825d.pth",  # torch-fidelity's name for it
    "pt_inception-2015-12-05-6726825d.pth",  # pytorch-fid's
)
_URL = f"https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/{_NAMES[0]}"


class InceptionFeatures(Network):
    """2,048 features of the 2015 TensorFlow Inception as torch-fidelity rebuilt it.

    `weights` is a file with the state dict that hashes to `sha256`; without one, it is torch.hub's
    cache. Never downloaded.
    """

    kind: Literal["inception"] = "inception"
    weights: Path | None = None
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] = SHA256

    def source(self) -> PretrainedWeights:
        """The named file, or the cached one under either of its names; its hash is checked."""
        source = _weights(self.weights, _NAMES, _URL)
        path = source.find_file()
        if sha256_of_file(path) != self.sha256:
            raise UserError(
                f"metrics.features.weights: {path} has sha256 {sha256_of_file(path)[:12]}..., not "
                f"{self.sha256[:12]}...; fetch {_URL}, or set metrics.features.sha256 if you "
                "know this file"
            )
        return source

    def build(self) -> nn.Module:
        """torch-fidelity's network."""
        source = self.source()
        try:
            from torch_fidelity.feature_extractor_inceptionv3 import (  # pyright: ignore
                FeatureExtractorInceptionV3,
            )
        except ImportError:
            raise UserError(
                "metrics.features: inception needs torch-fidelity; run pip install "
                "'imgcollapse[inception]', or use metrics.features=oracle"
            ) from None
        # torch-fidelity unpickles the file it is given, which may run code; so it is given one of
        # nothing but the tensors that were read safely.
        plain = BytesIO()
        torch.save(source.load_state(), plain)
        plain.seek(0)
        try:
            network: Any = FeatureExtractorInceptionV3
            with Seed(("inception",)).seed_torch():  # its first values are random, then replaced
                return network("inception", ["2048"], feature_extractor_weights_path=plain)
        except RuntimeError as error:
            reason = " ".join(str(error).split())[:120]
            raise source.refused(source.find_file(), reason) from None

    def resize(self) -> str:
        """As TensorFlow 1 did it, inside the network, which is torch-fidelity's."""
        theirs = version("torch-fidelity") if find_spec("torch_fidelity") else "?"
        return f"tensorflow1-bilinear 299 torch-fidelity {theirs}"


PATCH = 14
_LAYERS_AND_HEADS = {"vits14": (12, 6), "vitb14": (12, 12), "vitl14": (24, 16)}


class DINOv2Features(Network):
    """The normalized class token of a DINOv2 vision transformer, D = 384, 768 or 1024.

    `name` is a version without registers; images are resized to `size` pixels, a multiple of 14.
    `weights` is a file with the published state dict; without one, it is torch.hub's cache. Never
    downloaded.
    """

    kind: Literal["dinov2"] = "dinov2"
    name: Literal["vits14", "vitb14", "vitl14"] = "vitl14"
    weights: Path | None = None
    size: Annotated[int, Field(ge=PATCH, multiple_of=PATCH)] = 224

    def source(self) -> PretrainedWeights:
        """The named file, or the one torch.hub caches."""
        name = f"dinov2_{self.name}_pretrain.pth"
        url = f"https://dl.fbaipublicfiles.com/dinov2/dinov2_{self.name}/{name}"
        return _weights(self.weights, [name], url)

    def build(self) -> nn.Module:
        """The transformer without a classifier."""
        source = self.source()
        published = source.load_state()
        layers, heads = _LAYERS_AND_HEADS[self.name]
        width = 64 * heads
        with torch.device("meta"):  # no random first values: nothing is drawn
            network: Any = VisionTransformer(self.size, PATCH, layers, heads, width, 4 * width)
        network.heads = nn.Identity()
        try:
            state = as_torchvision(published, layers, self.size // PATCH)
        except (KeyError, RuntimeError, IndexError, ValueError) as error:
            raise source.refused(source.find_file(), f"of DINOv2 {self.name}: {error}") from None
        source.copy_into(network, state)
        return nn.Sequential(Prepare(self.size, "bicubic"), network)

    def resize(self) -> str:
        """Antialiased bicubic."""
        return f"{self.name} bicubic antialias {self.size}"


def as_torchvision(state: dict[str, Tensor], layers: int, grid: int) -> dict[str, Tensor]:
    """The published state dict under torchvision's names, for images of grid x grid patches."""
    renamed = {
        "class_token": state["cls_token"],
        "conv_proj.weight": state["patch_embed.proj.weight"],
        "conv_proj.bias": state["patch_embed.proj.bias"],
        "encoder.pos_embedding": _positions(state["pos_embed"], grid),
        "encoder.ln.weight": state["norm.weight"],
        "encoder.ln.bias": state["norm.bias"],
    }
    for i in range(layers):
        there, here = f"blocks.{i}.", f"encoder.layers.encoder_layer_{i}."
        first, second = state[f"{there}ls1.gamma"], state[f"{there}ls2.gamma"]
        for end in ("weight", "bias"):
            for a, b in (("ln_1", "norm1"), ("ln_2", "norm2"), ("mlp.0", "mlp.fc1")):
                renamed[f"{here}{a}.{end}"] = state[f"{there}{b}.{end}"]
            renamed[f"{here}self_attention.in_proj_{end}"] = state[f"{there}attn.qkv.{end}"]
            for a, b, scale in (
                ("self_attention.out_proj", "attn.proj", first),
                ("mlp.3", "mlp.fc2", second),
            ):
                tensor = state[f"{there}{b}.{end}"]
                renamed[f"{here}{a}.{end}"] = tensor * scale.view(-1, *[1] * (tensor.ndim - 1))
    return renamed


def _positions(embedding: Tensor, grid: int) -> Tensor:
    """Position embeddings float[1, 1 + n^2, D] => [1, 1 + grid^2, D], as DINOv2 itself does it."""
    own, patches = embedding[:, :1], embedding[:, 1:]
    side = round(patches.shape[1] ** 0.5)
    if side == grid:
        return embedding
    square = patches.reshape(1, side, side, -1).permute(0, 3, 1, 2)
    # The tenth of a patch is DINOv2's own, against rounding: github.com/facebookresearch/dino, #8.
    scale = (grid + 0.1) / side
    square = F.interpolate(square, scale_factor=(scale, scale), mode="bicubic")
    return torch.cat([own, square.permute(0, 2, 3, 1).flatten(1, 2)], 1)


AnyExtractor = Annotated[
    Extractor, ComponentUnion(OracleFeatures, BackboneFeatures, InceptionFeatures, DINOv2Features)
]
