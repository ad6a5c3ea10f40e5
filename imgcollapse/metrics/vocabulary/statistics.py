"""Statistics of words: counts, entropy, unseen words, lost words, and perplexity.

Words of one image depend on each other and images do not, so images are counted wherever the size
of the sample matters. All of it takes leading dimensions: replicates, or samples that each leave
out one image. Models of perplexity are smoothed as Witten & Bell 1991, doi:10.1109/18.87000: where
T different words have followed in N places, a new one is as likely as T in N + T. The bigram falls
back on the unigram, the unigram on the uniform: no word is impossible, and no constant is tuned.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from imgcollapse.core.estimate import wilson_interval

MISS_PROBABILITY = 0.05
"""Chance to miss a word by bad luck, above which a word that is missed is not called lost."""


@dataclass(frozen=True)
class WordCounts:
    """Word counts of n images."""

    counts: Tensor  # float64[..., V], occurrences of each word
    images: Tensor  # float64[..., V], images in which it occurs
    n: int  # images

    @classmethod
    def of(cls, each: Tensor) -> WordCounts:
        """From float64[n, V], the word counts of each image."""
        return cls(each.sum(0), (each > 0).double().sum(0), len(each))

    @classmethod
    def drawn(cls, each: Tensor, times: Tensor, n: int) -> WordCounts:
        """Of n images drawn from those of float64[N, V], row i so many `times`: float64[..., N]."""
        return cls(times @ each, times @ (each > 0).double(), n)

    def without_one(self, each: Tensor) -> WordCounts:
        """n tallies, each of all images but one, n >= 2."""
        return WordCounts(self.counts - each, self.images - (each > 0).double(), self.n - 1)


def per_image(words: Tensor, vocabulary: int) -> Tensor:
    """int64[n, h, w] words => their counts in each image, float64[n, V]."""
    n = len(words)
    cells = words.flatten(1) + vocabulary * torch.arange(n).unsqueeze(1)
    return cells.flatten().bincount(minlength=n * vocabulary).view(n, vocabulary).double()


def mass(counts: Tensor) -> Tensor:
    """Counts => shares of the words, float64[..., V]."""
    return counts / counts.sum(-1, keepdim=True)


def entropy(counts: Tensor) -> Tensor:
    """Of the unigram, in nats: float64[...]; its exponential is an effective number of words."""
    return torch.special.entr(mass(counts)).sum(-1)


def total_variation(one: Tensor, other: Tensor) -> Tensor:
    """Between two unigrams: half of sum |p - q|, float64[...]."""
    return (mass(one) - mass(other)).abs().sum(-1) / 2


def unseen_mass(tally: WordCounts) -> Tensor:
    """Good-Turing: what share of the words of one more image would be words not seen in these.

    The share of occurrences whose word is in no other image: float64[...], unbiased for n - 1
    images. With one word an image it is f1 / n, Good 1953, doi:10.1093/biomet/40.3-4.237.
    """
    alone = torch.where(tally.images == 1, tally.counts, 0)
    return alone.sum(-1) / tally.counts.sum(-1)


def chao2(tally: WordCounts) -> Tensor:
    """Words seen and unseen, at least: float64[...], no more than V.

    S + (n-1)/n Q1 (Q1 - 1) / (2 (Q2 + 1)), Qk the words that are in k images: Chao 1987,
    doi:10.2307/2531532, her lower bound on images instead of individuals, bias-corrected.
    """
    images = tally.images
    seen, once, twice = (x.double().sum(-1) for x in (images > 0, images == 1, images == 2))
    unseen = (tally.n - 1) / tally.n * once * (once - 1) / (2 * (twice + 1))
    return (seen + unseen).clamp(max=images.shape[-1])


def detectable(real: WordCounts, n: int) -> Tensor:
    """Words that n images would show if they had kept them: bool[V].

    A word of which real images hold the share q, at least, is missed with (1 - q)^n by bad luck;
    q is the lower end of Wilson's 95% interval. A rarer word that is missed is below detection.
    """
    least = {k: wilson_interval(k, real.n).low or 0.0 for k in set(real.images.int().tolist())}
    q = torch.tensor([least[k] for k in real.images.int().tolist()], dtype=torch.float64)
    return (1 - q) ** n <= MISS_PROBABILITY


def lost(tally: WordCounts, expected: Tensor) -> Tensor:
    """Words that are missed though they would have been seen: bool[..., V]."""
    return (tally.images == 0) & expected


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

    p(b | a) = (c(a, b) + T(a) p(b)) / (c(a) + T(a)), a the left neighbor of b; the first word of a
    row is read by the unigram p.
    """
    alone = unigram(model.flatten().bincount(minlength=vocabulary).double())
    pairs = _pairs(model, vocabulary).bincount(minlength=vocabulary**2).double()
    after = _smoothed(pairs.view(vocabulary, vocabulary), alone)
    first, others = alone[words[:, :, 0]], after.flatten()[_pairs(words, vocabulary)]
    read = first.log().sum() + others.log().sum()
    return float((-read / words.numel()).exp())


def _pairs(words: Tensor, vocabulary: int) -> Tensor:
    return (words[:, :, :-1] * vocabulary + words[:, :, 1:]).flatten()


def _smoothed(counts: Tensor, below: Tensor) -> Tensor:
    """Counts float64[..., V] and what to fall back on => probabilities."""
    different = (counts > 0).double().sum(-1, keepdim=True)
    total = counts.sum(-1, keepdim=True) + different
    # Where nothing has been seen the model is what it falls back on.
    return torch.where(total > 0, (counts + different * below) / total.clamp(min=1), below)
