"""What an oracle is, and all it does once it is trained."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from imgcollapse.core.device import Device
from imgcollapse.core.images import UNKNOWN, Images
from imgcollapse.core.parts import Part
from imgcollapse.core.protocols import Progress
from imgcollapse.core.seeds import Seed

BATCH = 500


@dataclass(frozen=True)
class Answers:
    """What the oracle says of N images.

    Attributes:
        counted: int16[N], the class it names, or `UNKNOWN` below its confidence threshold.
        features: float32[N, D], the last layer before the class scores.
        probabilities: float32[N, K].
    """

    counted: Tensor
    features: Tensor
    probabilities: Tensor


class FrozenOracle:
    """A trained classifier with its held-out record.

    Attributes:
        accuracy: share of held-out real images it names rightly, the threshold set aside.
        confusion: int64[K, K] held-out counts, rows the truth, columns the answer.
        confidence: a sample whose top probability is lower is unrecognised.
    """

    def __init__(self, body: nn.Module, head: nn.Linear, device: Device) -> None:
        """
        Args:
            body: uint8[N, C, H, W] => float[N, D] features.
            head: features => class scores.
            device: where both live.
        """
        self.body = body.eval().requires_grad_(False)
        self.head = head.eval().requires_grad_(False)
        self.device = device
        self.accuracy = float("nan")
        self.confusion = torch.zeros(head.out_features, head.out_features, dtype=torch.int64)
        self.confidence = 0.0

    @torch.inference_mode()
    def answer(self, pixels: Tensor) -> Answers:
        """Name uint8[N, C, H, W] images, in float32 whatever the study's precision."""
        features = torch.cat(
            [self.body(batch.to(self.device.torch)).float() for batch in pixels.split(BATCH)]
        )
        probabilities = self.head(features).softmax(1).cpu()
        top, label = probabilities.max(1)
        counted = label.to(torch.int16)
        counted[top < self.confidence] = UNKNOWN
        return Answers(counted, features.cpu(), probabilities)

    def judge(self, held_out: Images, reject: float) -> None:
        """Record accuracy and confusion on held-out real images, and set the threshold there.

        Args:
            held_out: real images that were not trained on.
            reject: the threshold is the confidence that all but this share of them reach, and
                never above 0.9.
        """
        answers = self.answer(held_out.pixels)
        top, named = answers.probabilities.max(1)
        truth = held_out.labels.long()
        self.confusion.index_put_((truth, named), torch.ones_like(named), accumulate=True)
        self.accuracy = float((named == truth).double().mean())
        self.confidence = min(0.9, float(top.double().quantile(reject)))

    def state(self) -> dict[str, Tensor]:
        """Weights and record as named tensors on the CPU."""
        record = {
            "accuracy": torch.tensor(self.accuracy, dtype=torch.float64),
            "confusion": self.confusion,
            "confidence": torch.tensor(self.confidence, dtype=torch.float64),
        }
        weights = nn.ModuleDict({"body": self.body, "head": self.head}).state_dict()
        return record | {name: tensor.cpu() for name, tensor in weights.items()}

    def load(self, state: dict[str, Tensor]) -> FrozenOracle:
        """Take over a saved `state`."""
        weights = dict(state)
        self.accuracy = float(weights.pop("accuracy"))
        self.confidence = float(weights.pop("confidence"))
        self.confusion = weights.pop("confusion")
        nn.ModuleDict({"body": self.body, "head": self.head}).load_state_dict(weights)
        return self


class Oracle(Part, ABC):
    """A way to train the classifier.

    Attributes:
        reject: share of real held-out images that the confidence threshold may turn away.
    """

    reject: Annotated[float, Field(ge=0, lt=0.5)] = 0.05

    @abstractmethod
    def build(self, shape: tuple[int, int, int], classes: int, device: Device) -> FrozenOracle:
        """An untrained oracle for images of `shape` (channels, height, width)."""

    @abstractmethod
    def train(self, oracle: FrozenOracle, images: Images, seed: Seed, progress: Progress) -> None:
        """Train it on balanced real images."""

    def fit(
        self,
        images: Images,
        held_out: Images,
        classes: int,
        seed: Seed,
        device: Device,
        progress: Progress,
    ) -> FrozenOracle:
        """Train on `images`, then judge on `held_out`; both are real, balanced and disjoint."""
        with seed.lent_to_torch():
            oracle = self.build(images.shape, classes, device)
        self.train(oracle, images, seed, progress)
        oracle.judge(held_out, self.reject)
        return oracle
