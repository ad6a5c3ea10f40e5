"""Every metric of a generation, for all samples and for each class, each beside its floor.

Most metrics move with n; so every value is taken at equal n on both sides and stands beside the
same metric between two disjoint sets of real images of that size.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor

from imgcollapse.core.estimate import Estimate, undefined
from imgcollapse.core.seeds import Seed
from imgcollapse.metrics.base import FLOOR, Estimates, Metric, Row
from imgcollapse.metrics.floors import FloorCache, as_input, halvings, rows_of
from imgcollapse.metrics.memorization import nearest
from imgcollapse.metrics.registry import BUILT_IN, MetricSettings, study_metrics

COLUMNS = (
    *("generation", "class", "metric", "value", "low", "high"),
    *("n", "reference_n", "features", "note"),
)
_NO_IMAGES = "the images themselves are not there"


def metric_row(generation: int, metric: str, value: Estimate, n: int, features: str = "") -> Row:
    """A metric of a whole generation, over n images, as a row with the keys `COLUMNS`.

    `features` names what saw the images, where anything but their pixels was looked at.
    """
    named = {"generation": generation, "class": "", "metric": metric, "features": features}
    return named | {"n": n, "reference_n": 0} | value._asdict()


def likelihood_rows(
    generation: int, bits: Tensor, dimensions: str, settings: MetricSettings
) -> list[Row]:
    """Rows of the metrics of a model's likelihood: float64[N] bits per dimension of real images.

    `dimensions` says what they are bits of: values compare where it is the same.
    """
    n = len(bits)
    return [
        metric_row(generation, name, value, n, dimensions) | {"reference_n": n}
        for metric in study_metrics(settings, "bits")
        for name, value in metric.configured(settings).between(bits[:0], bits).items()
    ]


@dataclass(frozen=True)
class RealReference:
    """The real images that generations are compared with, computed once for a study when needed."""

    features: Tensor  # float32[M, D] of the held-out reference, in random order
    labels: Tensor  # int16[M]
    # float32[L, D] of the real training set, in random order; with the reference it makes up the
    # floors
    training_features: Tensor
    training_labels: Tensor  # int16[L]
    seed: Seed  # names the floors' random halvings
    settings: MetricSettings = field(default_factory=MetricSettings)  # the study's
    extractor: str = "oracle"  # the identity of what made the features
    # uint8[M, C, H, W], or none: then metrics of pixels are undefined
    reference_pixels: Tensor | None = None
    training_pixels: Tensor | None = None  # uint8[L, C, H, W], or none
    # float64[M], `nearest` of the reference images; none computes them when needed
    distances: Tensor | None = None
    _known: dict[Any, tuple[Tensor, dict[type, Metric]]] = field(default_factory=dict)
    _floors: FloorCache = field(default_factory=FloorCache)

    def state(self) -> dict[str, Tensor]:
        """Named tensors that take time to compute: features and `nearest` distances."""
        found = {"reference": self.features, "train": self.training_features}
        return found if self._held_out is None else found | {"nearest": self._held_out}

    def rows(
        self,
        generation: int,
        features: Tensor,
        pixels: Tensor | None,
        counted: Tensor,
        classes: Sequence[str],
    ) -> Iterator[Row]:
        """All metrics of a generation, for all samples and for each class, as `COLUMNS`.

        Most metrics are between n generated and n reference images, n being the smallest of the two
        sets and the training set: so there are always the 2 n real images that a floor takes, and n
        for all classes together is the same in every generation. A metric that is defined is
        followed by its floor, `<metric>_floor`: the mean and the central 95% over random halvings
        of the real images. One that is not has no value, and a note that says why.

        The samples, in random order, are given as float32[N, D] features, uint8[N, C, H, W] pixels
        and int16[N] classes that the oracle names, or -1.
        """
        samples = {"features": features, "images": pixels, "nearest": self._nearest(pixels)}
        for label, name in [(None, ""), *enumerate(classes if self.settings.per_class else ())]:
            row = {"generation": generation, "class": name, "features": self.extractor}
            for metric in self._metrics:
                if label is None or any(info.per_class for info in metric.infos):
                    generated = samples[metric.inputs]
                    if generated is not None:
                        generated = _of(label, generated, counted)
                    yield from self._rows(row, label, metric, generated)

    def floor(self, label: int | None, n: int, metric: str) -> Estimate | None:
        """A metric between two disjoint sets of n real images of a class, or of all."""
        own = metric in self._own
        return self._floors.get((label, n), metric, lambda: self._halved(label, n, own))

    def load_cached(self, rows: Iterable[Row], classes: Sequence[str]) -> None:
        """Take over the floors in rows that this study has had before, but not of users' metrics.

        `rows` gave them, by the same software on the same machine.
        """
        labels = {"": None, **{name: label for label, name in enumerate(classes)}}
        known = (row for row in rows if row["metric"].removesuffix(FLOOR) not in self._own)
        self._floors.load(known, self.extractor, labels)

    def _rows(
        self,
        row: Row,
        label: int | None,
        kind: type[Metric],
        generated: Tensor | None,
    ) -> Iterator[Row]:
        """Rows of one metric of a class, or of all; `generated` are the samples of that class."""
        infos = [info for info in kind.infos if label is None or info.per_class]
        row = {**row, "features": "" if kind.inputs == "images" else self.extractor}
        held_out, _ = self._real[kind.inputs]
        if held_out is None or generated is None:
            none = dict.fromkeys((info.name for info in infos), undefined(_NO_IMAGES))
            yield from rows_of(row | {"n": 0, "reference_n": 0}, infos, none, lambda _: None)
            return
        real, n = _of(label, held_out, self.labels), len(generated)
        metric = self._configured(kind)
        if kind.equal_n:
            n = min(n, len(real), len(_of(label, self.training_labels, self.training_labels)))
            # The same tensor and metric again, which have their Gaussian, kernel sums or radii.
            key = label, kind.inputs, n
            real, metrics = self._known.setdefault(key, (real[:n], {}))
            metric = metrics.setdefault(kind, metric)
        values = metric.between(as_input(kind, real), as_input(kind, generated[:n]))
        defined = any(value.value is not None for value in values.values())
        exact = metric.floor(n) if defined else None
        metric.reset()
        floor = exact.get if exact else partial(self.floor, label, n)
        yield from rows_of(row | {"n": n, "reference_n": len(real)}, infos, values, floor)

    def _halved(self, label: int | None, n: int, own: bool) -> Estimates:
        metrics = []
        for kind in self._metrics:
            held_out, training = self._real[kind.inputs]
            measured = label is None or any(info.per_class for info in kind.infos)
            if kind.equal_n and measured and (kind in BUILT_IN) != own and held_out is not None:
                pool = _of(label, held_out, self.labels), _of(label, training, self.training_labels)
                metrics.append((self._configured(kind), torch.cat(pool)))
        return halvings(metrics, n, self.seed / str(label), self.settings.splits)

    def _configured(self, kind: type[Metric]) -> Metric:
        metric = kind.configured(self.settings)
        metric.shuffle = False  # all images here are in random order
        return metric

    @cached_property
    def _metrics(self) -> list[type[Metric]]:
        return study_metrics(self.settings, "features", "images", "nearest")

    @cached_property
    def _own(self) -> set[str]:
        """Names of users' metrics."""
        own = (metric for metric in self._metrics if metric not in BUILT_IN)
        return {info.name for metric in own for info in metric.infos}

    @cached_property
    def _real(self) -> dict[str, tuple[Any, Any]]:
        """Held-out and training images by the inputs of metrics; None where they are not known."""
        return {
            "features": (self.features, self.training_features),
            "images": (self.reference_pixels, self.training_pixels),
            "nearest": (self._held_out, None),
        }

    @cached_property
    def _held_out(self) -> Tensor | None:
        known = self.distances
        return self._nearest(self.reference_pixels) if known is None else known

    def _nearest(self, pixels: Tensor | None) -> Tensor | None:
        """float64[N], squared distances of pixels to the nearest training image, where known."""
        if pixels is None or self.training_pixels is None:
            return None
        return nearest(pixels, self.training_pixels)


def _of(label: int | None, of_images: Tensor, labels: Tensor) -> Tensor:
    return of_images if label is None else of_images[labels == label]


def degenerate(pixels: Tensor, before: Tensor) -> str | None:
    """A warning where samples are all one image, or only black and white; else None.

    Late collapse looks so, and a broken training as well, so it is logged and is no error. There is
    none where the generation `before` was so already.
    """

    def alike(images: Tensor) -> bool:
        return len(images) > 1 and bool((images == images[:1]).all())

    def saturated(images: Tensor) -> bool:
        return bool(((images == 0) | (images == 255)).all())

    if alike(pixels) and not alike(before):
        return f"all {len(pixels)} samples are the same image"
    if saturated(pixels) and not saturated(before):
        return "every pixel of the samples is 0 or 255"
    return None
