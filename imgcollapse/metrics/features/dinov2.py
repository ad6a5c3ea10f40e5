"""DINOv2: features learnt without labels, which Stein et al. 2023 recommend over Inception.

Oquab et al. 2023, arXiv:2304.07193; Stein et al. 2023, arXiv:2306.04675. The published network is
torchvision's vision transformer but for a scale on each residual branch; that scale is multiplied
into the branch's last layer, so no code from elsewhere has to run.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn
from torchvision.models import VisionTransformer

from imgcollapse.io.pretrained import PretrainedWeights
from imgcollapse.metrics.features.extractor import Network, Prepare, weights_of_features

PATCH = 14
_LAYERS_AND_HEADS = {"vits14": (12, 6), "vitb14": (12, 12), "vitl14": (24, 16)}


class DINOv2Features(Network):
    """The normalised class token of a DINOv2 vision transformer, D = 384, 768 or 1024.

    Attributes:
        name: vits14, vitb14 or vitl14, the versions without registers.
        weights: a file with the published state dict; none means torch.hub's cache. Never
            downloaded.
        size: images are resized to this many pixels, a multiple of 14.
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
