"""Feature extractors with pretrained weights: torchvision's networks, Inception, DINOv2.

DINOv2 features are learned without labels, and Stein et al. 2023, arXiv:2306.04675, recommend them
over Inception's. Oquab et al. 2023, arXiv:2304.07193. The published network is torchvision's vision
transformer but for a scale on each residual branch; that scale is multiplied into the last layer of
the branch, so that no code from elsewhere runs.
"""

from __future__ import annotations

from importlib.metadata import version
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
import torch.nn.functional as F
from pydantic import Field, field_validator
from torch import Tensor, nn
from torchvision import models
from torchvision.models import VisionTransformer

from imgcollapse.core.components import ComponentUnion
from imgcollapse.core.errors import UserError
from imgcollapse.core.seeds import Seed
from imgcollapse.io.pretrained import PretrainedWeights, sha256_of_file
from imgcollapse.metrics.features import (
    Extractor,
    Network,
    OracleFeatures,
    Prepare,
    weights_of_features,
)


class BackboneFeatures(Network):
    """The layer before the class scores of `name`, a resnet, resnext or regnet of torchvision.

    Images are resized to `size` pixels. `weights` is a file with the state dict; without one, it is
    torch.hub's cache. Never downloaded.
    """

    kind: Literal["backbone"] = "backbone"
    name: str = "resnet50"
    weights: Path | None = None
    size: Annotated[int, Field(ge=32)] = 224

    @field_validator("name")
    @classmethod
    def _has_fc(cls, name: str) -> str:
        known = [known for known in models.list_models(models) if known.startswith(("res", "reg"))]
        if name not in known:
            raise ValueError(f"unknown network; choose one of {', '.join(known)}")
        return name

    def source(self) -> PretrainedWeights:
        """The named file, or the cached one of torchvision's default weights."""
        url = models.get_model_weights(self.name)["DEFAULT"].url
        return weights_of_features(self.weights, [url.rsplit("/", 1)[-1]], url)

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
        source = weights_of_features(self.weights, _NAMES, _URL)
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
                return _First(network("inception", ["2048"], feature_extractor_weights_path=plain))
        except RuntimeError as error:
            reason = " ".join(str(error).split())[:120]
            raise source.refused(source.find_file(), reason) from None

    def resize(self) -> str:
        """As TensorFlow 1 did it, inside the network, which is torch-fidelity's."""
        theirs = version("torch-fidelity") if find_spec("torch_fidelity") else "?"
        return f"tensorflow1-bilinear 299 torch-fidelity {theirs}"


class _First(nn.Module):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor) -> Tensor:
        return self.network(pixels)[0]


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
        return weights_of_features(self.weights, [name], url)

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
