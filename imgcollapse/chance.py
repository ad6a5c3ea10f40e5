"""What chance alone would do to a study's classes."""

from __future__ import annotations

from functools import partial

from torch import Tensor

from imgcollapse.core.seeds import Seed
from imgcollapse.curation import admitted
from imgcollapse.drift import Null, replay
from imgcollapse.study import Study


def null(study: Study, real: Tensor, reserve: Tensor, generations: int) -> Null:
    """Replay a study with a perfect learner, labels only.

    Args:
        study: its regime, filters, label policy and sizes count; its generator does not.
        real: int16[n], labels of the real training set.
        reserve: int16[R], labels of the fresh real images in the order they are used.
        generations: how many; more leave the earlier ones as they are.
    """
    return replay(
        study.regime,
        study.labels.shares if study.generator.conditional else None,
        real,
        reserve,
        study.samples or len(real),
        generations,
        int(real.max()) + 1,
        Seed((study.seed, "chance")),
        admitted=partial(admitted, study.curation) if study.curation else None,
    )
