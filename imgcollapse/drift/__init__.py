"""Genetic drift of classes: the null model, and tests and estimates against it.

null_model.py        the null model: a perfect learner under a study's own regime, labels only
count_simulation.py  the same by class counts, for regimes that choose rows by sizes alone
selection.py         selection coefficients: what drift alone does not explain
effective_size.py    effective population size
extinction.py        generations until a class is lost
wright_fisher.py     the exact chain of one class against all others
survival.py          Kaplan-Meier and log-rank over lineages
diversity.py         heterozygosity, classes alive, entropy

The closed-form laws are in theory.py.
"""

from imgcollapse.drift.diversity import (
    DiversityBand,
    against_chance,
    classes_alive,
    entropy,
    heterozygosity,
)
from imgcollapse.drift.effective_size import (
    EffectiveSize,
    RelativeEffectiveSize,
    effective_size,
    relative_size,
)
from imgcollapse.drift.extinction import ExtinctionTime, simulated_time_left, time_left
from imgcollapse.drift.null_model import NullModel, SelectionModel, simulate
from imgcollapse.drift.selection import Selection, selection_coefficients
from imgcollapse.drift.survival import LogRank, SurvivalCurve, log_rank, survival_curve
from imgcollapse.drift.wright_fisher import (
    absorption_time_exact,
    loss_by,
    loss_time_exact,
    transition,
)

__all__ = [
    "DiversityBand",
    "EffectiveSize",
    "ExtinctionTime",
    "LogRank",
    "NullModel",
    "RelativeEffectiveSize",
    "Selection",
    "SelectionModel",
    "SurvivalCurve",
    "absorption_time_exact",
    "against_chance",
    "classes_alive",
    "effective_size",
    "entropy",
    "heterozygosity",
    "log_rank",
    "loss_by",
    "loss_time_exact",
    "relative_size",
    "selection_coefficients",
    "simulate",
    "simulated_time_left",
    "survival_curve",
    "time_left",
    "transition",
]
