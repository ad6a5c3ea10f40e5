"""Lineages of class shares, simulated plainly: the twin of `drift.simulate` for three regimes."""

import numpy as np
import torch

SHARES = np.array([0.5, 0.3, 0.15, 0.04, 0.01])


def real_labels(n, seed=5):
    """int16[n] labels with exactly `SHARES`, in random order."""
    labels = np.repeat(np.arange(5), (SHARES * n).round().astype(int))
    return torch.from_numpy(np.random.default_rng(seed).permutation(labels)).to(torch.int16)


def lineages(regime, number, n, generations, rng, s=0.0, target=2, fixed=None):
    """float64[number, G+1, 5] shares; the model shifts the log odds of class `target` by s.

    `fixed` is int[5], class counts of the real images that "real-fraction" puts in.
    """
    weight = np.ones(5)
    weight[target] = np.exp(s)
    x = np.zeros((number, generations + 1, 5))
    x[:, 0] = SHARES
    for g in range(1, generations + 1):
        t = x[:, g - 1]
        if regime == "accumulate":
            t = x[:, :g].mean(axis=1)
        elif regime == "real-fraction" and g > 1:
            counts = (x[:, g - 1] * n).round().astype(int)
            kept = [rng.multivariate_hypergeometric(row, n - fixed.sum()) for row in counts]
            t = (np.stack(kept) + fixed) / n
        biased = t * weight
        x[:, g] = rng.multinomial(n, biased / biased.sum(axis=1, keepdims=True)) / n
    return x
