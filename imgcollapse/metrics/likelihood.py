"""How well a model foretells real images it has not seen."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor

from imgcollapse.core.estimate import Estimate, t_interval, undefined
from imgcollapse.metrics.base import MetricInfo
from imgcollapse.metrics.suite import metric_row

BITS_PER_DIM = MetricInfo(
    "bits_per_dim",
    "bits per dimension",
    "Bits per dimension of held-out real images",
    higher_is_better=False,
    limits=(0.0, math.inf),
    has_floor=False,
)


def bits_per_dim(generation: int, bits: Tensor, dimensions: str) -> dict[str, Any]:
    """The row of a model's mean code length of held-out real images, with its 95% interval.

    The model's cross-entropy on them; perplexity per dimension is 2 to the power of it. The
    interval is that of another reference set: models measured on the same images share its luck.

    Args:
        generation: of the model.
        bits: float64[N], bits per dimension of each image.
        dimensions: what they are bits of; values compare where it is the same.
    """
    n = len(bits)
    if n > 1:
        value = t_interval(float(bits.mean()), float(bits.std()) / n**0.5, n - 1, (0, float("inf")))
    else:
        value = Estimate(float(bits)) if n else undefined("there are no held-out images")
    return metric_row(generation, "bits_per_dim", value, n, dimensions) | {"reference_n": n}
