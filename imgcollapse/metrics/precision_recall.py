"""Precision, recall, density and coverage: balls around images out to their k-th neighbor.

Precision and recall: Kynkäänniemi et al. 2019, arXiv:1904.06991, equations 1 to 3. Density and
coverage: Naeem et al. 2020, arXiv:2002.09797, equations 3 and 4. A ball holds its surface.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from imgcollapse.core.estimate import (
    Estimate,
    nonfinite_reason,
    t_interval,
    undefined,
    wilson_interval,
)
from imgcollapse.metrics.base import NONNEGATIVE, SHARE, MetricInfo, SampleMetric
from imgcollapse.metrics.jackknife import BLOCKS, jackknife

if TYPE_CHECKING:
    from imgcollapse.metrics.registry import MetricSettings

RECALL = "Recall of real images"
NAMES = ("precision", "recall", "density", "coverage")
_BLOCK = 1 << 19  # distances at a time: 4 MiB, which stay near the core while they are looked at


class _Sides(NamedTuple):
    """Membership of the points of each set in the balls of the other."""

    inside: Tensor  # int64[n], in how many real balls each generated image lies
    # Bool[1 + G, m], whether each real image's ball holds a generated image; in row 1 + b only
    # generated images outside block b are there
    covered: Tensor
    recalled: Tensor  # bool[1 + G, m], whether each real image lies in a generated ball, likewise


def reach(real: Tensor, k: int) -> Tensor:
    """Squared radii of the balls of float[m, D] real features: float64[m], m above k."""
    return _radii(real.double() - real.double().mean(0), k, [])[0]


def prdc(
    real: Tensor, generated: Tensor, k: int, reaches: Tensor | None = None, interval: bool = True
) -> dict[str, Estimate]:
    """The four metrics by name with 95% intervals, the real side fixed.

    Precision has Wilson's interval, density Student's t over generated images, recall and coverage
    a delete-a-block jackknife over them: so float[n, D] generated features are in random order.
    `reaches` is `reach(real, k)`, where it is known already.
    """
    m, n = len(real), len(generated)
    if min(m, n) <= k:
        return dict.fromkeys(NAMES, undefined(f"needs {k + 1} images on each side"))
    if reason := nonfinite_reason(real, generated):
        return dict.fromkeys(NAMES, undefined(reason))
    # Without a block there must still be a k-th neighbor.
    enough = n >= max(2 * BLOCKS, k + 1 + -(-n // BLOCKS))
    blocks = BLOCKS if enough and interval else 0
    sides = _sides(real, generated, k, blocks, reaches)
    values = {
        "precision": float((sides.inside > 0).double().mean()),
        "recall": float(sides.recalled[0].double().mean()),
        "density": float(sides.inside.double().mean() / k),
        "coverage": float(sides.covered[0].double().mean()),
    }
    answers = {name: Estimate(value) for name, value in values.items()}
    if blocks:
        error = float(sides.inside.double().std() / (k * n**0.5))
        answers["precision"] = wilson_interval(int((sides.inside > 0).sum()), n)
        answers["density"] = t_interval(values["density"], error, n - 1, NONNEGATIVE)
        for name, whether in (("recall", sides.recalled), ("coverage", sides.covered)):
            answers[name] = jackknife(values[name], whether[1:].double().mean(1), SHARE)
    return answers


def _info(name: str, title: str, limits: tuple[float, float] = SHARE, **rest: Any) -> MetricInfo:
    return MetricInfo(name, name, title, True, limits, per_class=True, **rest)


class PrecisionRecall(SampleMetric):
    """Precision, recall, density and coverage of streamed features.

    >>> import torch
    >>> metric = PrecisionRecall(k=1)
    >>> metric.update(torch.tensor([[0.0], [1.0], [3.0]]), real=True)
    >>> metric.update(torch.tensor([[0.5], [10.0], [11.0]]), real=False)
    >>> {name: round(found.value, 3) for name, found in metric.compute().items()}
    {'precision': 0.333, 'recall': 1.0, 'density': 0.667, 'coverage': 0.667}
    """

    infos: ClassVar = (
        _info("precision", "Precision and recall", own_title="Precision", full_axis=True),
        _info("recall", "Precision and recall", own_title=RECALL, full_axis=True, compared=True),
        _info("density", "Density and coverage", limits=NONNEGATIVE, own_title="Density"),
        _info("coverage", "Density and coverage", own_title="Coverage"),
    )
    two_sample = True

    def __init__(self, k: int = 5, **kwargs: Any) -> None:
        """`k` is the neighbor that a ball reaches out to."""
        super().__init__(**kwargs)
        self.k = k

    @classmethod
    def configured(cls, settings: MetricSettings) -> Self:
        """With the study's `neighbours`."""
        return cls(settings.neighbours)

    def compute(self) -> dict[str, Estimate]:
        """The four metrics by name."""
        real, generated = self.both()
        reaches = None
        if len(real) > self.k and not nonfinite_reason(real):
            reaches = self.once(partial(reach, k=self.k), real)
        return prdc(real, generated, self.k, reaches, self.interval)


def _sides(
    real: Tensor, generated: Tensor, k: int, blocks: int, reaches: Tensor | None = None
) -> _Sides:
    # Distances from products lose what the features have in common; so take it off first.
    centre = real.double().mean(0)
    x, y = real.double() - centre, generated.double() - centre
    parts = torch.arange(len(y)).tensor_split(blocks) if blocks else ()
    runs = [slice(int(part[0]), int(part[-1]) + 1) for part in parts]
    theirs = reach(real, k) if reaches is None else reaches
    radii = _radii(y, k, runs)
    inside, covered, recalled = torch.zeros_like(y[:, 0], dtype=torch.int64), [], []
    for rows, apart in _squared(x, y):
        within = apart <= theirs[rows, None]
        inside += within.sum(0)
        covered.append(_without_each(within, runs))
        recalled.append(_recalled(apart, radii, runs))
    return _Sides(inside, torch.cat(covered, 1), torch.cat(recalled, 1))


def _without_each(holds: Tensor, runs: Sequence[slice]) -> Tensor:
    """bool[m, n] => bool[1 + runs, m], whether a row holds anywhere, and outside each run."""
    if not runs:
        return holds.any(1)[None]
    by_run = torch.stack([holds[:, run].any(1) for run in runs])
    number = by_run.sum(0)
    return torch.cat([(number > 0)[None], number - by_run.long() > 0])


def _recalled(apart: Tensor, radii: Tensor, runs: Sequence[slice]) -> Tensor:
    """Membership of real images in generated balls: bool[1 + runs, m] of float64[m, n] distances.

    Without a run balls are as large or larger: who is in one outside the run is still recalled.
    """
    found = _without_each(apart <= radii[0], runs)
    for b, radius in enumerate(radii[1:], 1):
        (unsure,) = (~found[b]).nonzero(as_tuple=True)
        found[b, unsure] = (apart[unsure] <= radius).any(1)
    return found


def _radii(x: Tensor, k: int, runs: Sequence[slice]) -> Tensor:
    """Squared distance to the k-th nearest other image, and the same without each run of rows.

    float64[1 + runs, n]; an image that is itself left out has no ball, -1.
    """
    number, parts = torch.zeros(len(x), dtype=torch.int64, device=x.device), []
    for b, run in enumerate(runs):
        number[run] = b
    # Of three times as many neighbors nearly always k are outside a run.
    most = min(3 * k if runs else k, len(x))
    for rows, apart in _squared(x, x):
        apart.diagonal(rows.start).fill_(torch.inf)
        near = apart.topk(most, largest=False)
        radii = [near.values[:, k - 1]]
        for b, run in enumerate(runs):
            others = (number[near.indices] != b).cumsum(1)
            radius = near.values.gather(1, (others >= k).long().argmax(1, keepdim=True))[:, 0]
            (short,) = (others[:, -1] < k).nonzero(as_tuple=True)
            if len(short):
                rest = apart[short]
                rest[:, run] = torch.inf
                radius[short] = rest.kthvalue(k, dim=1).values
            radii.append(radius)
        parts.append(torch.stack(radii))
    found = torch.cat(parts, 1)
    for b, run in enumerate(runs):
        found[1 + b, run] = -1
    return found


def _squared(x: Tensor, y: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Squared distances float64[n, m], some rows at a time; below rounding 0, so that copies touch.

    |x|^2 + |y|^2 - 2 x.y is taken as one product of longer vectors.
    """
    sizes = [side.square().sum(1, keepdim=True) for side in (x, y)]
    one = torch.cat([-2 * x, sizes[0], torch.ones_like(sizes[0])], 1)
    other = torch.cat([y, torch.ones_like(sizes[1]), sizes[1]], 1).T.contiguous()
    rounding = 16 * torch.finfo(torch.float64).eps * sum(float(size.max()) for size in sizes)
    step = max(1, _BLOCK // len(y))
    for start in range(0, len(x), step):
        rows = slice(start, min(start + step, len(x)))
        yield rows, F.threshold(one[rows] @ other, rounding, 0.0, inplace=True)
