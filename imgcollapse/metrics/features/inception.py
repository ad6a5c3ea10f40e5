"""The Inception network of the FID literature."""

from __future__ import annotations

from importlib.metadata import version
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from imgcollapse.core.errors import UserError
from imgcollapse.core.seeds import Seed
from imgcollapse.io.pretrained import PretrainedWeights, sha256_of_file
from imgcollapse.metrics.features.extractor import Network, weights_of_features

SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
"""Of the published weights; its first eight digits are part of the file's name."""
_NAMES = (
    "weights-inception-2015-12-05-6726825d.pth",  # torch-fidelity's name for it
    "pt_inception-2015-12-05-6726825d.pth",  # pytorch-fid's
)
_URL = f"https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/{_NAMES[0]}"


class InceptionFeatures(Network):
    """2,048 features of the 2015 TensorFlow Inception as torch-fidelity rebuilt it.

    Attributes:
        weights: a file with its state dict; none means torch.hub's cache. Never downloaded.
        sha256: what the file must hash to.
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
