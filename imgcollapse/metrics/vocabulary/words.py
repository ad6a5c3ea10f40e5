"""Metrics of words: a generation beside the real images, each value with its floor.

Every interval is by a jackknife over images, for words of one image depend on each other: leaving
out one image at a time, or for bigrams a tenth of the images. Of the Good-Turing mass that is
Esty's interval (1983, doi:10.1214/aos/1176346256), of a number of words that of Heltshe & Forrester
(1983, doi:10.2307/2530802). What compares with generation 0 carries the jackknife of both sides.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics.utilities import dim_zero_cat

from imgcollapse.core.estimate import Estimate, t_interval, undefined
from imgcollapse.core.images import ImageSet
from imgcollapse.core.seeds import Seed
from imgcollapse.metrics.base import NONNEGATIVE, SHARE, Estimates, MetricInfo, Row, SampleMetric
from imgcollapse.metrics.floors import FloorCache, halvings, rows_of
from imgcollapse.metrics.jackknife import BLOCKS, hash_order, jackknife_variance, without_blocks
from imgcollapse.metrics.vocabulary import statistics
from imgcollapse.metrics.vocabulary.codebook import Codebook
from imgcollapse.metrics.vocabulary.statistics import WordCounts, detectable, lost, per_image


def _info(
    name: str, label: str, title: str = "", has_chance: bool = True, **rest: Any
) -> MetricInfo:
    return MetricInfo(name, label, title, has_chance=has_chance, section="vocabulary", **rest)


TAIL_MASS = _info(
    *("vocab_tail_mass", "share of the rare words", "Share of the rare words"),
    limits=SHARE,
    sentinel="outside-chance",
)
WORDS_LOST = _info(
    *("vocab_words_lost", "words lost", "Words lost"), higher_is_better=False, limits=NONNEGATIVE
)
_WORSE: Any = {"higher_is_better": False}
_BIGRAM: Any = {"higher_is_better": False, "has_chance": False}
WORD_METRICS = (
    TAIL_MASS,
    WORDS_LOST,
    _info("vocab_entropy", "entropy of the words", limits=NONNEGATIVE),
    _info("vocab_unseen_mass", "share of unseen words", limits=SHARE),
    _info("vocab_chao2", "words seen and unseen", limits=(1.0, math.inf)),
    _info("vocab_tv", "total variation of the words", **_WORSE),
    _info("vocab_perplexity", "perplexity of the words", **_WORSE),
    _info("vocab_perplexity_reverse", "perplexity of the real words", **_WORSE),
    _info("vocab_bigram", "bigram perplexity", **_BIGRAM),
    _info("vocab_bigram_reverse", "bigram perplexity, reverse", **_BIGRAM),
)
AGAINST_REAL = "vocab_tv", "vocab_perplexity", "vocab_perplexity_reverse"
BIGRAMS = "vocab_bigram", "vocab_bigram_reverse"
_NOTHING = 1e-12  # a standard error of rounding alone


class WordMetrics(SampleMetric):
    """Metrics of the words of streamed images, given as word numbers.

    Of generated images: the share of the rare words, the entropy, the Good-Turing mass and Chao's
    number of words. Beside real images: how many words are lost, the total variation, and the
    perplexities under unigrams and bigrams.

    >>> import torch
    >>> codebook = Codebook(torch.zeros(2, 1, 1, 1).byte(), torch.tensor([3, 1]), 1, 1)
    >>> metric = WordMetrics(codebook)
    >>> metric.update(torch.tensor([[[0, 0], [0, 1]]]), real=True)
    >>> metric.update(torch.tensor([[[0, 0], [0, 0]]]), real=False)
    >>> metric.compute()["vocab_tv"].value  # |1 - 3/4| of one word, |0 - 1/4| of the other, halved
    0.25
    """

    infos: ClassVar = WORD_METRICS
    inputs = "words"
    two_sample = True

    def __init__(self, codebook: Codebook, **kwargs: Any) -> None:
        """`codebook` has the words."""
        super().__init__(**kwargs)
        self.codebook = codebook

    def compute(self) -> dict[str, Estimate]:
        """Every value by its name."""
        real, written = dim_zero_cat(self.real), dim_zero_cat(self.generated)
        n, vocabulary = len(written), len(self.codebook)
        if not n or not len(real):
            return {info.name: undefined("needs an image") for info in self.infos}
        each, of_real = per_image(written, vocabulary), per_image(real, vocabulary)
        counts, base = WordCounts.of(each), WordCounts.of(of_real)
        expected = detectable(base, n)
        found = unigram_values(counts, base, expected, self.codebook)
        variance = dict.fromkeys(found, 0.0)
        if n > 1 and self.interval:
            without = counts.without_one(each)
            for name, values in unigram_values(without, base, expected, self.codebook).items():
                variance[name] += jackknife_variance(values)
            without = base.without_one(of_real)
            other = unigram_values(counts, without, expected, self.codebook)
            for name in AGAINST_REAL:
                variance[name] += jackknife_variance(other[name])
        answers = {
            name: self._estimate(name, float(value), variance[name], n - 1)
            for name, value in found.items()
        }
        if self.codebook.common == vocabulary:
            answers[TAIL_MASS.name] = undefined("no word is rare enough for a tail")
        return answers | self._bigrams(written, real)

    def _bigrams(self, written: Tensor, real: Tensor) -> dict[str, Estimate]:
        if self.interval:  # its blocks must be random subsets
            written, real = (
                hash_order(words.flatten(1).double()).long().view(words.shape)
                for words in (written, real)
            )
        found, vocabulary = {}, len(self.codebook)
        for name, words, model in zip(BIGRAMS, (written, real), (real, written), strict=True):
            value, variance = statistics.bigram_perplexity(words, model, vocabulary), 0.0
            if len(words) >= BLOCKS and self.interval:
                for pairs in (
                    [(words[kept], model) for kept in without_blocks(len(words))],
                    [(words, model[kept]) for kept in without_blocks(len(model))],
                ):
                    without = [statistics.bigram_perplexity(*pair, vocabulary) for pair in pairs]
                    variance += jackknife_variance(torch.tensor(without, dtype=torch.float64))
            found[name] = self._estimate(name, value, variance, BLOCKS - 1)
        return found

    def _estimate(self, name: str, value: float, variance: float, freedom: int) -> Estimate:
        vocabulary, error = float(len(self.codebook)), math.sqrt(variance)
        spans = dict.fromkeys((TAIL_MASS.name, "vocab_unseen_mass", "vocab_tv"), SHARE) | {
            WORDS_LOST.name: (0.0, vocabulary),
            "vocab_entropy": (0.0, math.log(vocabulary)),
            "vocab_chao2": (1.0, vocabulary),
        }
        span = spans.get(name, (1.0, math.inf))
        return t_interval(value, error if error > _NOTHING else 0.0, freedom, span)


@dataclass(frozen=True)
class WordReference:
    """The real images that words of generations are compared with, computed once for a study."""

    codebook: Codebook  # the words
    base: Tensor  # int64[L, h, w], generation 0 as words, in random order
    # int64[M, h, w], the reference likewise; with generation 0 it makes up the floors
    held_out: Tensor
    seed: Seed  # names the random halvings of the floors
    splits: int = 20  # how many halvings
    _floors: FloorCache = field(default_factory=FloorCache)

    def size(self, samples: int) -> int:
        """n, images on either side: the smallest of samples, generation 0 and reference."""
        return min(samples, len(self.base), len(self.held_out))

    def rows(
        self, generation: int, written: Tensor, chance: Estimates | None = None
    ) -> Iterator[Row]:
        """Rows of metrics.csv about the words of one generation, each value followed by its floor.

        Of its samples as words, int64[N, h, w] in random order, the first n count. `chance` has the
        band of the null model, by metric; its row follows the floor.
        """
        n = self.size(len(written))
        row = {"generation": generation, "class": "", "n": n, "reference_n": n}
        row["features"] = self.codebook.identity
        values = self.values(written[:n])
        yield from rows_of(row, WORD_METRICS, values, partial(self.floor, n), chance)

    def counts(self, written: Tensor) -> dict[str, Tensor]:
        """Word counts to keep of a generation: int64[N, h, w] => named tensors of V words.

        `counts` and `images`, int64: occurrences, and images with the word, of all N; `lost`,
        uint8: whether the first n call it lost.
        """
        n, whole = self.size(len(written)), WordCounts.of(per_image(written, len(self.codebook)))
        gone = lost(WordCounts.of(per_image(written[:n], len(self.codebook))), self._detectable(n))
        return {
            "counts": whole.counts.long(),
            "images": whole.images.long(),
            "lost": (gone if n else torch.zeros_like(gone)).to(torch.uint8),
        }

    def values(self, written: Tensor) -> Estimates:
        """Every metric of int64[n, h, w] words beside the first n of generation 0."""
        return WordMetrics(self.codebook).between(self.base[: len(written)], written)

    def floor(self, n: int, metric: str) -> Estimate | None:
        """A metric between two disjoint sets of n real images: mean, 2.5% and 97.5% points."""
        return self._floors.get((None, n), metric, lambda: self._halved(n))

    def load_cached(self, rows: Iterable[Row]) -> None:
        """Take over floors in rows that the same software gave on the same machine."""
        self._floors.load(rows, self.codebook.identity, {"": None})

    def _halved(self, n: int) -> Estimates:
        metric, pool = WordMetrics(self.codebook), torch.cat([self.held_out, self.base])
        return halvings([(metric, pool)], n, self.seed, self.splits)

    def by_chance(
        self, lineages: Iterable[NDArray[Any]], reserve: ImageSet, samples: int
    ) -> dict[str, Tensor]:
        """Metrics of words under the null model, which draws the words of an image together.

        Each of several `lineages` says how often each real image, R fresh ones of the `reserve`
        among them, is among the N samples of a generation: int64[S, G+1, L+R]. The first n count.

        Returns:
            By metric float64[G, 3], from generation 1 on: mean and central 95% over lineages;
            empty without lineages.
        """
        n, vocabulary = self.size(samples), len(self.codebook)
        each = per_image(self.base, vocabulary)
        base = WordCounts.of(per_image(self.base[:n], vocabulary))
        expected = self._detectable(n)
        found: dict[str, list[list[Tensor]]] = {}
        for batch, drawn in enumerate(lineages):
            if batch == 0 and len(reserve.labels):
                fresh = reserve.read(torch.arange(len(reserve.labels)))
                each = torch.cat([each, per_image(self.codebook.write(fresh), vocabulary)])
            for g in range(1, drawn.shape[1]):
                rng = (self.seed / "chance" / batch / g).numpy()
                times = drawn[:, g]
                if n < samples:
                    draw = partial(rng.multivariate_hypergeometric, nsample=n, method="marginals")
                    times = np.stack([draw(row) for row in times])
                counts = WordCounts.drawn(each, torch.from_numpy(times).double(), n)
                for metric, values in unigram_values(counts, base, expected, self.codebook).items():
                    of_metric = found.setdefault(metric, [[] for _ in range(1, drawn.shape[1])])
                    of_metric[g - 1].append(values)
        return {
            metric: torch.stack([_central(torch.cat(parts)) for parts in generations])
            for metric, generations in found.items()
        }

    def _detectable(self, n: int) -> Tensor:
        n = max(n, 1)
        return detectable(WordCounts.of(per_image(self.base[:n], len(self.codebook))), n)


def unigram_values(
    counts: WordCounts, base: WordCounts, expected: Tensor, codebook: Codebook
) -> dict[str, Tensor]:
    """Every value of `WORD_METRICS` but those of bigrams, float64[...] each, by name.

    `base` counts the real images; `expected`, bool[V], are words that they would have shown.
    """
    return {
        TAIL_MASS.name: statistics.mass(counts.counts)[..., codebook.common :].sum(-1),
        WORDS_LOST.name: lost(counts, expected).double().sum(-1),
        "vocab_entropy": statistics.entropy(counts.counts),
        "vocab_unseen_mass": statistics.unseen_mass(counts),
        "vocab_chao2": statistics.chao2(counts),
        "vocab_tv": statistics.total_variation(counts.counts, base.counts),
        "vocab_perplexity": statistics.perplexity(counts.counts, statistics.unigram(base.counts)),
        "vocab_perplexity_reverse": statistics.perplexity(
            base.counts, statistics.unigram(counts.counts)
        ),
    }


def _central(values: Tensor) -> Tensor:
    """float64[S] => float64[3]: mean and central 95%, whose ends some lineage had."""
    low = values.quantile(0.025, interpolation="lower")
    high = values.quantile(0.975, interpolation="higher")
    return torch.stack([values.mean(), low, high])
