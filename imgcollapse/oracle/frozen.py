"""The interface of oracles, and the frozen oracle that classifies samples."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Self

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from imgcollapse.core.components import Component
from imgcollapse.core.device import Device
from imgcollapse.core.errors import UserError
from imgcollapse.core.images import UNKNOWN, Images
from imgcollapse.io.checksums import sha256_of_tensors
from imgcollapse.oracle.ood import Activations, OutOfDistribution, signature, texture
from imgcollapse.parallel.process_group import current_group
from imgcollapse.training.context import RunContext

BATCH = 500


@dataclass(frozen=True)
class Calibration:
    """Bias-corrected temperature scaling: p = softmax(scale · scores + bias).

    Alexandari et al. 2020, arXiv:1901.06852, section 3: what expectation-maximization of class
    shares needs, because it corrects each class's mean probability too.

    Attributes:
        scale: one over the temperature.
        bias: float64[K].
    """

    scale: float
    bias: Tensor

    def probabilities(self, scores: Tensor) -> Tensor:
        """[N, K] class scores => float32[N, K] that sum to 1."""
        return (self.scale * scores.double() + self.bias).softmax(1).float()


def calibrate(scores: Tensor, labels: Tensor) -> Calibration:
    """The most probable calibration of [M, K] scores of held-out images, int16[M] their classes.

    log(scale) and each bias have a standard normal prior: without one the scale would be infinite
    for an oracle that makes no mistake.
    """
    scores, truth = scores.double(), labels.long()
    parameters = torch.zeros(1 + scores.shape[1], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [parameters], max_iter=500, tolerance_grad=1e-9, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        scaled = parameters[0].exp() * scores + parameters[1:]
        loss = F.cross_entropy(scaled, truth, reduction="sum") + parameters.square().sum() / 2
        loss.backward()
        return loss

    optimizer.step(closure)
    best = parameters.detach()
    return Calibration(float(best[0].exp()), best[1:] - best[1:].mean())


@dataclass(frozen=True)
class Predictions:
    """The oracle's predictions for N images.

    Attributes:
        counted: int16[N], the most probable class, or `UNKNOWN` if it is like no real image.
        features: float32[N, D], the last layer before the class scores.
        probabilities: float32[N, K], calibrated for classes that are equally common.
        atypicality: float64[N], the larger, the less like a real image (ood.py).
    """

    counted: Tensor
    features: Tensor
    probabilities: Tensor
    atypicality: Tensor


class FrozenOracle:
    """A trained classifier with its held-out record.

    Attributes:
        labels: int16[M], classes of the held-out real images that the record is of.
        held_out: what it says of them, without features.
    """

    def __init__(
        self, body: nn.Module, head: nn.Linear, watched: Sequence[nn.Module], device: Device
    ) -> None:
        """
        Args:
            body: uint8[N, C, H, W] => float[N, D] features.
            head: features => class scores.
            watched: layers of the body, with outputs [N, C', H', W'], for detecting odd images.
            device: where both live.
        """
        self.body = body.eval().requires_grad_(False)
        self.head = head.eval().requires_grad_(False)
        self.watched = watched
        self.device = device
        classes = head.out_features
        self.calibration = Calibration(1.0, torch.zeros(classes, dtype=torch.float64))
        self.typicality: OutOfDistribution | None = None
        self.labels = torch.empty(0, dtype=torch.int16)
        nobody = torch.empty(0, dtype=torch.float64)
        self.held_out = Predictions(self.labels, torch.empty(0, 0), torch.empty(0, classes), nobody)

    def predict(self, pixels: Tensor) -> Predictions:
        """Name uint8[N, C, H, W] images, in float32 whatever the study's precision.

        Raises:
            ValueError: it has not been judged, and does not know what a real image is like.
        """
        if self.typicality is None:
            raise ValueError("an oracle that has not been judged cannot answer")
        seen = self._look(pixels)
        probabilities = self.calibration.probabilities(self._scores(seen.features))
        counted = probabilities.argmax(1).to(torch.int16)
        atypicality = self.typicality.atypicality(seen)
        counted[atypicality > self.typicality.threshold] = UNKNOWN
        return Predictions(counted, seen.features, probabilities, atypicality)

    def features(self, pixels: Tensor) -> Tensor:
        """uint8[N, C, H, W] => float32[N, D], the last layer before the class scores."""
        return self._look(pixels).features

    def calibrate(self, learned_from: Images, held_out: Images, reject: float) -> None:
        """Calibrate on held-out real images, and learn what is typical.

        Args:
            learned_from: the real images it was trained on.
            held_out: real images it was not trained on.
            reject: share of them that may be called unrecognized.
        """
        seen = self._look(held_out.pixels)
        self.calibration = calibrate(self._scores(seen.features), held_out.labels)
        self.typicality = OutOfDistribution.learn(
            self._look(learned_from.pixels), seen, reject, held_out.shape
        )
        self._record(held_out)

    @property
    def accuracy(self) -> float:
        """Share of held-out real images whose most probable class is the true one."""
        named = self.held_out.probabilities.argmax(1)
        return float((named == self.labels).double().mean())

    @property
    def confusion(self) -> Tensor:
        """int64[K, K] held-out counts, rows the truth, columns the most probable class."""
        named = self.held_out.probabilities.argmax(1)
        classes = self.head.out_features
        counts = torch.zeros(classes, classes, dtype=torch.int64)
        return counts.index_put_(
            (self.labels.long(), named), torch.ones_like(named), accumulate=True
        )

    def state(self) -> dict[str, Tensor]:
        """Weights and record as named tensors on the CPU."""
        if self.typicality is None:
            raise ValueError("an oracle that has not been judged has no state")
        parts = {
            "calibration": {
                "scale": torch.tensor(self.calibration.scale, dtype=torch.float64),
                "bias": self.calibration.bias,
            },
            "typicality": self.typicality.state(),
            "held_out": {
                "labels": self.labels,
                "counted": self.held_out.counted,
                "probabilities": self.held_out.probabilities,
                "atypicality": self.held_out.atypicality,
            },
            "network": {
                name: tensor.cpu() for name, tensor in self._network().state_dict().items()
            },
        }
        return {f"{part}/{name}": t for part, named in parts.items() for name, t in named.items()}

    def sha256(self) -> str:
        """sha256 over its state."""
        return sha256_of_tensors(self.state())

    def load(self, state: dict[str, Tensor]) -> FrozenOracle:
        """Take over a saved `state`.

        Raises:
            UserError: it is another's.
        """
        try:
            return self._load(state)
        except (KeyError, RuntimeError, TypeError, ValueError) as error:
            reason = " ".join(str(error).split())[:120]
            raise UserError(
                f"oracle.safetensors: does not hold this study's oracle ({reason}); restore it"
            ) from None

    def _load(self, state: dict[str, Tensor]) -> FrozenOracle:
        parts: dict[str, dict[str, Tensor]] = {}
        for path, tensor in state.items():
            part, _, name = path.partition("/")
            parts.setdefault(part, {})[name] = tensor
        self._network().load_state_dict(parts["network"])
        calibration, held_out = parts["calibration"], parts["held_out"]
        self.calibration = Calibration(float(calibration["scale"]), calibration["bias"])
        self.typicality = OutOfDistribution.restore(parts["typicality"])
        self.labels = held_out.pop("labels")
        self.held_out = Predictions(features=self.held_out.features, **held_out)
        return self

    def _network(self) -> nn.ModuleDict:
        return nn.ModuleDict({"body": self.body, "head": self.head})

    def _scores(self, features: Tensor) -> Tensor:
        with torch.inference_mode():
            return self.head(features.to(self.device.torch)).cpu()

    def _record(self, held_out: Images) -> None:
        answers = self.predict(held_out.pixels)
        self.labels = held_out.labels
        self.held_out = replace(answers, features=answers.features[:0])

    @torch.inference_mode()
    def _look(self, pixels: Tensor) -> Activations:
        watched: list[list[Tensor]] = [[] for _ in self.watched]
        hooks = [
            layer.register_forward_hook(_keep(kept))
            for layer, kept in zip(self.watched, watched, strict=True)
        ]

        def see(batch: Tensor) -> list[Tensor]:
            with self.device.full_precision():
                features = self.body(batch.to(self.device.torch)).float().cpu()
            return [texture(batch), features, *(kept.pop() for kept in watched)]

        try:
            seen = [*current_group().scatter_map(see, pixels.split(BATCH))]
        finally:
            for hook in hooks:
                hook.remove()
        pixels, features, *signatures = (torch.cat(of_one) for of_one in zip(*seen, strict=True))
        return Activations(pixels, features, signatures)


def _keep(kept: list[Tensor]) -> Callable[[nn.Module, Any, Tensor], None]:
    return lambda _layer, _input, activations: kept.append(signature(activations))


class Oracle(Component, ABC):
    """A way to train the classifier.

    Attributes:
        reject: share of real held-out images that may be called unrecognized.
    """

    reject: Annotated[float, Field(gt=0, lt=0.5)] = 0.03

    def training_steps(self, images: int) -> int | None:
        """Returns the optimizer steps for a number of images; None if it takes none."""
        return None

    def with_steps(self, steps: int) -> Self | None:
        """Returns the same oracle with other `steps`; None if it has no such setting."""
        has_steps = "steps" in type(self).model_fields
        return self.model_copy(update={"steps": steps}) if has_steps else None

    @abstractmethod
    def build(self, context: RunContext) -> FrozenOracle:
        """Returns an untrained oracle for images of the context's shape."""

    @abstractmethod
    def train(self, oracle: FrozenOracle, images: Images, context: RunContext) -> None:
        """Trains it on balanced real images."""

    def fit(self, images: Images, held_out: Images, context: RunContext) -> FrozenOracle:
        """Trains on `images`, then calibrates on `held_out`; both real, balanced and disjoint."""
        with context.seed.seed_torch():
            oracle = self.build(context)
        self.train(oracle, images, context)
        oracle.calibrate(images, held_out, self.reject)
        return oracle
