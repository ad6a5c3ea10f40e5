"""A torchvision network with ImageNet weights."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import Field, field_validator
from torch import nn
from torchvision import models

from imgcollapse.io.pretrained import PretrainedWeights
from imgcollapse.metrics.features.extractor import Network, Prepare, weights_of_features


class BackboneFeatures(Network):
    """The layer before the class scores of a resnet, resnext or regnet.

    Attributes:
        name: a torchvision classification model of these families.
        weights: a file with its state dict; none means torch.hub's cache. Never downloaded.
        size: images are resized to this many pixels before they are shown.
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
