"""Whether a model that was trained on marked images has learned to draw the mark.

Sander et al. 2024, "Watermarking makes language models radioactive", arXiv:2402.14904.
"""

from __future__ import annotations

import numpy as np
from torch import Tensor

from imgcollapse.core.estimate import Estimate, t_interval, wilson_interval
from imgcollapse.core.seeds import Seed
from imgcollapse.curation.watermark.spread_transform import Array, SpreadTransformMark

KEYS = 199
"""Keys that nobody used, with which the same images are judged: the null."""


def radioactivity(
    mark: SpreadTransformMark, pixels: Tensor, fpr: float, seed: Seed
) -> list[tuple[str, Estimate, int]]:
    """How much of the mark is in a model's output that nobody has marked.

    Images of one model are alike, and so are their scores under one key: that a share exceeds the
    false-positive rate, or a mean score 0, does not say that the model knows the key. So both stand
    beside their floor, mean and central 95% over keys that were never used, and the p-value is the
    rank of the key's mean score among theirs, which is exact.

    Args:
        mark: the key's.
        pixels: uint8[N, C, H, W], N >= 1.
        fpr: of the detector.
        seed: names the unused keys.

    Returns:
        watermark_radioactivity, the share that is found; watermark_radioactivity_z, the mean
        statistic, in standard deviations of an unmarked image's; the floor of each; and
        watermark_radioactivity_p.
    """
    n, unused = len(pixels), mark.others(KEYS, seed)
    shares = mark.found(pixels, fpr, unused).mean(axis=1)
    scores = mark.statistic(pixels)[0]
    null = mark.statistic(pixels, unused).mean(axis=1)
    error = float(scores.std(ddof=1) / n**0.5) if n > 1 else 0.0
    rank = (1 + int((null >= scores.mean()).sum())) / (KEYS + 1)
    rows = {
        "": wilson_interval(int(mark.found(pixels, fpr).sum()), n),
        "_floor": _spread(shares),
        "_z": t_interval(float(scores.mean()), error, n - 1),
        "_z_floor": _spread(null),
        "_p": Estimate(rank),
    }
    return [(f"watermark_radioactivity{name}", value, n) for name, value in rows.items()]


def _spread(over_keys: Array) -> Estimate:
    low, high = np.quantile(over_keys, [0.025, 0.975]).tolist()
    return Estimate(float(over_keys.mean()), low, high)
