"""What chance alone does to the classes, and what is left for the model to answer for.

survival_law.py        a rare class under replacement: how long it lives
heterozygosity_law.py  how diversity falls when generations replace or accumulate
wright_fisher.py       one class against all others: the exact chain and the diffusion
detection_law.py       a detector of synthetic images that errs
real_data_law.py       a fraction of real data in every training set
gaussian_law.py        a Gaussian fitted to its own samples
preference_law.py      picking the best of K samples by a reward
regression_law.py      linear regression on its own labels
null.py                what many lineages of a perfect learner went through
replays.py             a perfect learner under a study's own regime, labels only
exchangeable.py        the same by counting, where rows are chosen by sizes alone
selection.py           chance, or the model? a selection coefficient for each class
temporal.py            effective population size from two samples of counts
inbreeding.py          N_e/n of a lineage
extinction_times.py    how long a class has from here
survival_curves.py     Kaplan-Meier and log-rank over lineages
diversity.py           heterozygosity, classes alive, entropy, each beside chance
"""

from imgcollapse.drift.detection_law import detection_variance, detection_variance_limit
from imgcollapse.drift.diversity import (
    DiversityBand,
    against_chance,
    classes_alive,
    entropy,
    heterozygosity,
)
from imgcollapse.drift.effective_size import RelativeEffectiveSize, relative_size
from imgcollapse.drift.extinction_times import ExtinctionTime, simulated_time_left, time_left
from imgcollapse.drift.gaussian_law import (
    gaussian_mean_variance,
    gaussian_sigma,
    gaussian_tail_bound,
)
from imgcollapse.drift.heterozygosity_law import (
    heterozygosity_accumulate,
    heterozygosity_accumulate_limit,
    heterozygosity_accumulate_pool,
    heterozygosity_replace,
)
from imgcollapse.drift.null import NullModel
from imgcollapse.drift.preference_law import (
    preference_divergence_bound,
    preference_gain,
    preference_step,
)
from imgcollapse.drift.real_data_law import (
    no_copy,
    real_fraction_chi_square,
    real_fraction_variance,
)
from imgcollapse.drift.regression_law import (
    regression_accumulate,
    regression_accumulate_bound,
    regression_once,
    regression_replace,
)
from imgcollapse.drift.selection import Selection, selection_coefficients
from imgcollapse.drift.simulate import SelectionModel, simulate
from imgcollapse.drift.survival_curves import LogRank, SurvivalCurve, log_rank, survival_curve
from imgcollapse.drift.survival_law import (
    classes_lost,
    first_extinction,
    first_extinction_mean,
    lost_in_one_generation,
    median_loss,
    survival,
    survival_recursion,
)
from imgcollapse.drift.temporal_ne import EffectiveSize, effective_size
from imgcollapse.drift.wright_fisher import (
    absorption_time,
    absorption_time_exact,
    loss_by,
    loss_time,
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
    "absorption_time",
    "absorption_time_exact",
    "against_chance",
    "classes_alive",
    "classes_lost",
    "detection_variance",
    "detection_variance_limit",
    "effective_size",
    "entropy",
    "first_extinction",
    "first_extinction_mean",
    "gaussian_mean_variance",
    "gaussian_sigma",
    "gaussian_tail_bound",
    "heterozygosity",
    "heterozygosity_accumulate",
    "heterozygosity_accumulate_limit",
    "heterozygosity_accumulate_pool",
    "heterozygosity_replace",
    "log_rank",
    "loss_by",
    "loss_time",
    "loss_time_exact",
    "lost_in_one_generation",
    "median_loss",
    "no_copy",
    "preference_divergence_bound",
    "preference_gain",
    "preference_step",
    "real_fraction_chi_square",
    "real_fraction_variance",
    "regression_accumulate",
    "regression_accumulate_bound",
    "regression_once",
    "regression_replace",
    "relative_size",
    "selection_coefficients",
    "simulate",
    "simulated_time_left",
    "survival",
    "survival_curve",
    "survival_recursion",
    "time_left",
    "transition",
]
