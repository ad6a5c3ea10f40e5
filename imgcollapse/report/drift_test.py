"""Drift, or the model? A run beside a perfect learner under the same regime."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from imgcollapse.config.study import Study
from imgcollapse.core.errors import UserError
from imgcollapse.core.seeds import Seed
from imgcollapse.drift import (
    EffectiveSize,
    ExtinctionTime,
    NullModel,
    RelativeEffectiveSize,
    Selection,
    relative_size,
    selection_coefficients,
    time_left,
)
from imgcollapse.experiment import null_model
from imgcollapse.label_policy import TrainingMarginal
from imgcollapse.report.arrays import CensusArrays, FloatArray
from imgcollapse.runs.run_dir import Run

TimeLeft = tuple[ExtinctionTime, ExtinctionTime, ExtinctionTime]
LEVEL = 0.05
NOTICEABLE = float(np.log(2))
"""A model that halves a class's odds in every generation is one that a run should notice."""
NOTHING = 1e-3
"""Estimated images of a class that are as good as none: what expectation-maximization leaves."""


@dataclass(frozen=True)
class DriftTest:
    """The part of a run's changes that drift alone explains.

    Attributes:
        generations: models before the first generation in which nothing was recognized.
        null: the replicates of drift alone.
        selection: s of each of K classes, pooled over lineages.
        corrected: float64[K], p-values by Holm; 1 where a class says nothing.
        size: N_e/n, pooled over lineages.
        left: K triples, how long each class has from here if drift alone goes on: from its
            frequency and from both ends of the interval. None if it is not known.
        filtered: whether filters chose among the samples; then s and N_e/n are those of model and
            filter together, for the training set that a model is compared with is the unfiltered
            generation's.
    """

    generations: int
    null: NullModel
    selection: Selection
    corrected: NDArray[np.float64]
    size: RelativeEffectiveSize
    left: tuple[TimeLeft, ...] | None
    filtered: bool = False

    @classmethod
    def of(cls, run: Run, counts: CensusArrays) -> DriftTest:
        """Replay drift and compare.

        Raises:
            UserError: there is nothing to compare, and why.
        """
        if counts.last == 0:
            raise UserError("no model has been trained yet")
        undefined = np.flatnonzero(~np.isfinite(counts.frequency).all(axis=(0, 2)))
        end = int(undefined[0]) if len(undefined) else counts.last + 1
        if end < 2:
            raise UserError(f"nothing in generation {end} was recognized")
        try:
            study = Study.model_validate(run.record["study"])
        except ValidationError:
            raise UserError("the study names a part that is not installed here") from None
        real = next(x for x in run.lineages if x.number == counts.lineages[0]).samples(0).labels
        null = null_model.simulate_labels(study, real, run.reserve_labels, end - 1)
        x, counting, oracle = measured(counts, end)
        seed = Seed((study.seed, "verdict"))
        tests = []
        copied = run.measured_null
        if copied is None or not study.generator.stores_training_set:
            # New images err anew: independent errors in each generation.
            tests.append(
                (
                    selection_coefficients(x, null, seed / "selection", counting + oracle),
                    # The oracle's part is mostly the same error in every generation and cancels in
                    # movements: taken off, it would make N_e/n many times too large.
                    relative_size(x, null, seed / "size", counting),
                )
            )
        if copied is not None:
            # Copies err as what they are copied from.
            replicates = replace(null, shares=copied[:, :end].double().numpy())
            tests.append(
                (
                    selection_coefficients(x, replicates, seed / "copies"),
                    relative_size(x, replicates, seed / "copied size"),
                )
            )
        selection = widest_selection([found for found, _ in tests])
        # Where real or older images come back into every training set, a class that is gone may
        # return; and lineages differ in how far it has come.
        closed = study.regime.closed and study.labels == TrainingMarginal() and not study.curation
        alone = len(counts.lineages) == 1 and end == counts.last + 1
        return cls(
            end - 1,
            null,
            selection,
            holm(selection.p.filled(1)),
            widest_size([size for _, size in tests]),
            _left(counts, len(real)) if closed and alone else None,
            bool(study.curation),
        )

    @property
    def unexplained(self) -> NDArray[np.bool_]:
        """True where drift alone does not explain a class: bool[K]."""
        return self.corrected <= LEVEL

    def words(self, k: int) -> str:
        """A sentence on class k."""
        s, low = unmasked(self.selection.s, k), unmasked(self.selection.low, k)
        if unmasked(self.selection.p, k) is None:
            return f"nothing to tell: {self.selection.reason[k]}"
        if self.unexplained[k]:
            # Without an s the class is gone wherever it could have been: any lower s fits.
            lost = low is None if s is None else s < 0
            return "the model loses it" if lost else "the model favors it"
        unnoticed = low is None or low < -NOTICEABLE
        return "too rare to tell" if unnoticed else "drift explains it"


def measured(counts: CensusArrays, end: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Shares of the N samples themselves in the first `end` generations, with their variance.

    Returns:
        Shares float64[L, G, K], and two variances float64[G, K], meaned over lineages: of counting
        the n recognized of N samples, p (1-p) (1/n - 1/N), and of the oracle.
    """
    p = counts.frequency[:, :end]
    n, every = counts.recognized[:, :end, None], counts.n[:, :end, None]
    counting = p * (1 - p) * (1 / n - 1 / every)
    oracle = counts.noise[:, :end].mean(axis=0)
    # A class that is almost everything must be all of it, as one that is almost nothing is none.
    shares = np.where(p * n < NOTHING, 0, p)
    return shares / shares.sum(axis=2, keepdims=True), counting.mean(axis=0), oracle


def widest_selection(found: Sequence[Selection]) -> Selection:
    """The larger p-values and the wider intervals of tests of the same shares."""
    first, *rest = found
    for other in rest:
        known = [x for x in (first.overall, other.overall) if x is not None]
        first = replace(
            first,
            low=_outer(np.fmin, first.low, other.low),
            high=_outer(np.fmax, first.high, other.high),
            p=_outer(np.fmax, first.p, other.p),
            overall=max(known) if known else None,
        )
    return first


def _outer(
    of: Callable[[Any, Any], Any], a: np.ma.MaskedArray, b: np.ma.MaskedArray
) -> np.ma.MaskedArray:
    """The outer end of two; no end, where either has none."""
    return np.ma.array(of(a.data, b.data), mask=np.ma.getmaskarray(a) | np.ma.getmaskarray(b))


def widest_size(found: Sequence[RelativeEffectiveSize]) -> RelativeEffectiveSize:
    """The last estimate with an interval that holds those of all."""

    def outer(sizes: Sequence[EffectiveSize]) -> EffectiveSize:
        known = [size for size in sizes if size.value is not None]
        if not known:
            return sizes[-1]
        low, high = ([getattr(size, end) for size in known] for end in ("low", "high"))
        return replace(
            known[-1],
            low=None if None in low else min(low),
            high=None if None in high else max(high),
        )

    generations = zip(*(sizes.generations for sizes in found), strict=True)
    return RelativeEffectiveSize(
        tuple(map(outer, generations)), outer([sizes.pooled for sizes in found])
    )


def unmasked(values: np.ma.MaskedArray, k: int) -> float | None:
    """Entry k, or None where it is masked."""
    return None if np.ma.getmaskarray(values)[k] else float(values[k])


def holm(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """Holm's step-down correction of K p-values (1979, Scand. J. Statist. 6:65): float64[K]."""
    order = np.argsort(p)
    stepped = np.maximum.accumulate(p[order] * (len(p) - np.arange(len(p))))
    corrected = np.empty_like(p)
    corrected[order] = stepped.clip(max=1)
    return corrected


def _left(counts: CensusArrays, n: int) -> tuple[TimeLeft, ...]:
    """From the copies among the n images of the next training set."""
    ends = np.stack([x[0, counts.last] for x in (counts.frequency, counts.low, counts.high)])
    copies = (ends * n).round().clip(0, n).astype(int)
    times = time_left(copies.flatten().tolist(), n)
    classes = len(counts.classes)
    return tuple(zip(times[:classes], times[classes : 2 * classes], times[-classes:], strict=True))
