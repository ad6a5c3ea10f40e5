"""A torchvision network with pretrained weights from disk, and a linear head trained on top."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn
from torchvision import models
from torchvision.transforms.functional import normalize

from imgcollapse.core.components import Setting
from imgcollapse.core.images import Images
from imgcollapse.io.pretrained import NetworkName, PretrainedWeights
from imgcollapse.oracle.frozen import BATCH, FrozenOracle, Oracle
from imgcollapse.training.context import RunContext

IMAGENET_MEAN = [0.485, 0.456, 0.406]
IMAGENET_STD = [0.229, 0.224, 0.225]
_REGNET_STAGES = ("trunk_output.block1", "trunk_output.block2")


class Backbone(Oracle):
    """A frozen ImageNet network, such as resnet18, whose classifier is replaced and trained.

    Attributes:
        name: a torchvision classification model of the resnet, regnet or resnext family.
        weights: a file with its state dict; none means torch.hub's cache. Never downloaded.
        size: images are resized to this many pixels before they are shown.
        weight_decay: ridge penalty on the linear head.
    """

    kind: Literal["backbone"] = "backbone"
    name: NetworkName = "resnet18"
    weights: Annotated[Path | None, Setting(("oracle",), ("run",))] = None
    size: Annotated[int, Field(ge=32)] = 128
    weight_decay: Annotated[float, Field(ge=0)] = 1e-3

    def build(self, context: RunContext) -> FrozenOracle:
        """The network without weights and an untrained head."""
        device = context.device
        net: Any = models.get_model(self.name, weights=None)
        head = nn.Linear(net.fc.in_features, context.classes)
        net.fc = nn.Identity()
        body = nn.Sequential(_Prepare(self.size), net).to(device.torch)
        stages = ("layer1", "layer2") if hasattr(net, "layer2") else _REGNET_STAGES
        watched = [net.get_submodule(stage) for stage in stages]
        return FrozenOracle(body, head.to(device.torch), watched, device)

    def train(self, oracle: FrozenOracle, images: Images, context: RunContext) -> None:
        """Load the weights, then fit the head on features by L-BFGS: a convex problem."""
        self._load(oracle.body.get_submodule("1"))
        features = []
        for start in range(0, len(images), BATCH):
            batch = images.pixels[start : start + BATCH]
            features.append(oracle.features(batch))
            done = start + len(batch)
            context.progress("look", done, len(images), done)
        seen = torch.cat(features).to(oracle.device.torch)
        truth = images.labels.long().to(oracle.device.torch)
        head = oracle.head.requires_grad_(True)
        optimizer = torch.optim.LBFGS(
            head.parameters(), max_iter=200, line_search_fn="strong_wolfe"
        )

        def closure() -> Tensor:
            optimizer.zero_grad()
            loss = F.cross_entropy(head(seen), truth)
            loss = loss + self.weight_decay * head.weight.square().sum()
            loss.backward()
            return loss

        optimizer.step(closure)
        head.requires_grad_(False)

    def _load(self, net: nn.Module) -> None:
        """Give the network, all but its last layer, the pretrained weights."""
        url = models.get_model_weights(self.name)["DEFAULT"].url
        source = PretrainedWeights(
            "oracle.weights", self.weights, [url.rsplit("/", 1)[-1]], url, "oracle.kind=cnn"
        )
        state = {name: t for name, t in source.load_state().items() if not name.startswith("fc.")}
        source.copy_into(net, state, assign=False)


class _Prepare(nn.Module):
    """Bytes => what ImageNet networks were trained on: three channels, resized, standardized."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, pixels: Tensor) -> Tensor:
        images = F.interpolate(pixels.float() / 255, self.size, mode="bilinear", antialias=True)
        return normalize(images.expand(-1, 3, -1, -1), IMAGENET_MEAN, IMAGENET_STD)
