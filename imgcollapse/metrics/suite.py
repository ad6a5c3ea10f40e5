"""Every metric of a generation, for all samples and for each class, each beside its floor.

Fréchet distance is biased upward as n falls, the neighbours' metrics and the Vendi score move with
n too; so every value is taken at equal n on both sides and stands beside the same metric between
two disjoint sets of real images of that size.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from imgcollapse.core.estimate import Estimate, percentile_interval, undefined
from imgcollapse.core.seeds import Seed
from imgcollapse.metrics.frechet import Gaussian, distance, fid
from imgcollapse.metrics.frechet_infinity import fid_infinity
from imgcollapse.metrics.kernel_distance import Gram, gram, kid
from imgcollapse.metrics.memorization import Copies, nearest
from imgcollapse.metrics.precision_recall import prdc, reach, scores
from imgcollapse.metrics.settings import MetricSettings
from imgcollapse.metrics.vendi_score import vendi

_FLOOR = "_floor"
COLUMNS = (
    "generation",
    "class",
    "metric",
    "value",
    "low",
    "high",
    "n",
    "reference_n",
    "features",
    "note",
)


def metric_row(
    generation: int, metric: str, value: Estimate, n: int, features: str = ""
) -> dict[str, Any]:
    """A metric of a whole generation as a row with the keys `COLUMNS`.

    Args:
        generation: its number.
        metric: its name.
        value: the metric's answer.
        n: images it is over.
        features: what saw the images, where anything but their pixels was looked at.
    """
    named = {"generation": generation, "class": "", "metric": metric, "features": features}
    return named | {"n": n, "reference_n": 0} | value._asdict()


@dataclass(frozen=True)
class _Known:
    """What is the same in every generation about n real images, found when it is first needed.

    Attributes:
        real: float[n, D].
        k: the neighbour that balls reach out to, below n.
    """

    real: Tensor
    k: int

    @cached_property
    def gaussian(self) -> Gaussian:
        return Gaussian.of(self.real)

    @cached_property
    def gram(self) -> Gram:
        return gram(self.real)

    @cached_property
    def reach(self) -> Tensor:
        return reach(self.real, self.k)


@dataclass(frozen=True)
class RealReference:
    """What generations are compared with, computed once for a study and only where it is needed.

    Attributes:
        features: float32[M, D] of the held-out reference, in random order.
        labels: int16[M].
        spare: float32[L, D] of the real training set, in random order; with the reference it makes
            up the floors.
        spare_labels: int16[L].
        seed: names the floors' random halvings.
        settings: the study's.
        extractor: the identity of what made the features.
        reference_pixels: uint8[M, C, H, W], or none: then nothing is known of memorised samples.
        training_pixels: uint8[L, C, H, W], or none.
        distances: float64[M], squared, of the reference images to the nearest training image; none
            finds them when they are needed.
    """

    features: Tensor
    labels: Tensor
    spare: Tensor
    spare_labels: Tensor
    seed: Seed
    settings: MetricSettings = field(default_factory=MetricSettings)
    extractor: str = "oracle"
    reference_pixels: Tensor | None = None
    training_pixels: Tensor | None = None
    distances: Tensor | None = None
    _known: dict[tuple[int | None, int], _Known] = field(default_factory=dict)
    _floors: dict[tuple[int | None, int], dict[str, Estimate]] = field(default_factory=dict)

    def state(self) -> dict[str, Tensor]:
        """What takes time to find: `reference`, `train` (features) and `nearest` (distances)."""
        found = {"reference": self.features, "train": self.spare}
        return found if self._held_out is None else found | {"nearest": self._held_out}

    def rows(
        self,
        generation: int,
        features: Tensor,
        pixels: Tensor | None,
        counted: Tensor,
        classes: Sequence[str],
    ) -> Iterator[dict[str, Any]]:
        """All metrics of one generation, for all samples and for each class.

        Every metric but the memorised share is between n generated and n reference images, n being
        the smallest of the two sets and the spare one: so there are always the 2 n real images that
        a floor takes, and n for all classes together is the same in every generation.

        Args:
            generation: its number.
            features: float32[N, D] of the samples, in random order.
            pixels: uint8[N, C, H, W].
            counted: int16[N], the class the oracle names, or -1.
            classes: K names.

        Yields:
            Rows with the keys `COLUMNS`. A metric that is defined is followed by its floor,
            `<metric>_floor`: the mean and the central 95% over random halvings of the real images.
            One that is not has no value, and a note that says why.
        """
        near = self._nearest(pixels)
        names = enumerate(classes if self.settings.per_class else ())
        for label, name in [(None, ""), *names]:
            real, generated = (
                _of(label, self.features, self.labels),
                _of(label, features, counted),
            )
            n = min(len(real), len(generated), len(_of(label, self.spare, self.spare_labels)))
            row = {"generation": generation, "class": name, "features": self.extractor}
            equal = row | {"n": n, "reference_n": n}
            for metric, value in self._values(label, real[:n], generated[:n]).items():
                yield equal | {"metric": metric} | value._asdict()
                if value.value is not None:
                    floor = self.floor(label, n, metric)
                    yield equal | {"metric": metric + _FLOOR} | floor._asdict()
            yield from self._memorized(row, label, near, counted)

    def floor(self, label: int | None, n: int, metric: str) -> Estimate:
        """A metric between two disjoint sets of n real images of a class, or of all.

        Returns:
            Mean, 2.5% and 97.5% points over the halvings.
        """
        key = label, n
        if metric not in self._floors.get(key, {}):
            self._floors[key] = self._halved(label, n)
        return self._floors[key][metric]

    def load_cached(self, rows: Iterable[Mapping[str, Any]], classes: Sequence[str]) -> None:
        """Take over the floors in rows that this study has had before.

        Args:
            rows: what `rows` gave then, by the same software on the same machine.
            classes: K names.
        """
        labels = {"": None, **{name: label for label, name in enumerate(classes)}}
        for row in rows:
            ours = row["features"] == self.extractor and row["class"] in labels
            if ours and row["metric"].endswith(_FLOOR):
                known = self._floors.setdefault((labels[row["class"]], row["n"]), {})
                known[row["metric"].removesuffix(_FLOOR)] = Estimate(
                    *(row[name] for name in Estimate._fields)
                )

    def _halved(self, label: int | None, n: int) -> dict[str, Estimate]:
        pool = torch.cat(
            [_of(label, self.features, self.labels), _of(label, self.spare, self.spare_labels)]
        )
        found: dict[str, list[float]] = {}
        for split in range(self.settings.splits):
            draw = (self.seed / str(label) / n / split).torch()
            chosen = torch.randperm(len(pool), generator=draw)
            one, other = pool[chosen[:n]].double(), pool[chosen[n : 2 * n]].double()
            for metric, value in self._floor_values(label, one, other).items():
                found.setdefault(metric, []).append(value)
        return {
            metric: percentile_interval(torch.tensor(values, dtype=torch.float64))
            for metric, values in found.items()
        }

    def _values(self, label: int | None, real: Tensor, generated: Tensor) -> dict[str, Estimate]:
        key, k = (label, len(real)), self.settings.neighbours
        known = self._known.setdefault(key, _Known(real, k)) if len(real) > k else None
        values = {"fid": fid(known.gaussian if known else real, generated)}
        if label is None:
            values["fid_infinity"] = fid_infinity(real, generated)
        values["kid"] = kid(real, generated, within=known.gram if known else None)
        values |= prdc(real, generated, k, known.reach if known else None)
        return values | {"vendi": vendi(generated)}

    def _floor_values(self, label: int | None, one: Tensor, other: Tensor) -> dict[str, float]:
        values: dict[str, float | None] = {"vendi": vendi(one).value}
        if len(one) > 1:
            values["fid"] = distance(Gaussian.of(one), Gaussian.of(other))
            values["kid"] = kid(one, other, interval=False).value
        if label is None:
            values["fid_infinity"] = fid_infinity(one, other, interval=False).value
        if len(one) > self.settings.neighbours:
            values |= scores(one, other, self.settings.neighbours)
        return {metric: value for metric, value in values.items() if value is not None}

    @cached_property
    def _held_out(self) -> Tensor | None:
        """float64[M], squared distances of the reference to the nearest training image."""
        if self.distances is not None:
            return self.distances
        if self.reference_pixels is None or self.training_pixels is None:
            return None
        return nearest(self.reference_pixels, self.training_pixels)

    def _nearest(self, pixels: Tensor | None) -> Tensor | None:
        if pixels is None or self.training_pixels is None:
            return None
        return nearest(pixels, self.training_pixels)

    def _memorized(
        self, row: dict[str, Any], label: int | None, distances: Tensor | None, counted: Tensor
    ) -> Iterator[dict[str, Any]]:
        """The memorised share among all samples, not n of them: it has no bias that falls with n.

        A class has a threshold of its own, for two ones are always nearer than two eights.
        """
        if self._held_out is None or distances is None:
            none = undefined("the images themselves are not there")
            yield row | {"metric": "memorized", "n": 0, "reference_n": 0} | none._asdict()
            return
        copies = Copies(_of(label, self._held_out, self.labels), self.settings.memorized_quantile)
        near = _of(label, distances, counted)
        row = row | {"n": len(near), "reference_n": len(copies.held_out)}
        value = copies.share(near)
        yield row | {"metric": "memorized"} | value._asdict()
        if value.value is not None:
            floor = copies.expected(len(near))
            yield row | {"metric": "memorized" + _FLOOR} | floor._asdict()


def _of(label: int | None, of_images: Tensor, labels: Tensor) -> Tensor:
    return of_images if label is None else of_images[labels == label]
