"""Perplexity: how surprised a model of one set of images is by the words of another.

Both models are smoothed as Witten & Bell 1991, doi:10.1109/18.87000: where T different words have
followed in N places, a new one is as likely as T in N + T. The bigram falls back on the unigram,
the unigram on the uniform; so no word is impossible, and no constant is tuned.
"""

from __future__ import annotations

import torch
from torch import Tensor

from imgcollapse.metrics.vocabulary.tally import mass


def unigram(counts: Tensor) -> Tensor:
    """p(w) = (c(w) + T/V) / (N + T): float64[..., V]."""
    return _smoothed(counts, torch.tensor(1 / counts.shape[-1], dtype=torch.float64))


def perplexity(counts: Tensor, model: Tensor) -> Tensor:
    """exp of the mean surprise, -sum of shares x log p: counts and p float64[..., V] => [...].

    That of a set under its own unsmoothed unigram is exp(entropy), and lower under no other.
    """
    surprise = torch.where(counts > 0, mass(counts) * model.log(), 0)
    return surprise.sum(-1).neg().exp()


def bigram_perplexity(words: Tensor, model: Tensor, vocabulary: int) -> float:
    """Perplexity of int64[n, h, w] images under the bigram model of other int64[m, h, w] images.

    p(b | a) = (c(a, b) + T(a) p(b)) / (c(a) + T(a)), a the left neighbour of b; the first word of a
    row is read by the unigram p.
    """
    alone = unigram(model.flatten().bincount(minlength=vocabulary).double())
    pairs = _pairs(model, vocabulary).bincount(minlength=vocabulary**2).double()
    after = _smoothed(pairs.view(vocabulary, vocabulary), alone)
    read = (
        alone[words[:, :, 0]].log().sum() + after.flatten()[_pairs(words, vocabulary)].log().sum()
    )
    return float((-read / words.numel()).exp())


def _pairs(words: Tensor, vocabulary: int) -> Tensor:
    return (words[:, :, :-1] * vocabulary + words[:, :, 1:]).flatten()


def _smoothed(counts: Tensor, below: Tensor) -> Tensor:
    """Counts float64[..., V] and what to fall back on => probabilities."""
    different = (counts > 0).double().sum(-1, keepdim=True)
    total = counts.sum(-1, keepdim=True) + different
    # Where nothing has been seen the model is what it falls back on.
    return torch.where(total > 0, (counts + different * below) / total.clamp(min=1), below)
