"""The words of a generation beside those of the real images, each value with its floor.

Every interval is by a jackknife over images, for words of one image depend on each other: leaving
out one image at a time, or for bigrams a tenth of the images. Of the Good-Turing mass that is
Esty's interval (1983, doi:10.1214/aos/1176346256), of a number of words that of Heltshe & Forrester
(1983, doi:10.2307/2530802). What compares with generation 0 carries the jackknife of both sides.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from imgcollapse.core.estimate import Estimate, percentile_interval, t_interval, undefined
from imgcollapse.core.images import ImageSet
from imgcollapse.core.seeds import Seed
from imgcollapse.metrics.base import MetricInfo
from imgcollapse.metrics.jackknife import BLOCKS, hash_order
from imgcollapse.metrics.vocabulary.codebook import Codebook
from imgcollapse.metrics.vocabulary.language import bigram_perplexity, perplexity, unigram
from imgcollapse.metrics.vocabulary.tally import (
    WordCounts,
    chao2,
    entropy,
    lost,
    mass,
    per_image,
    told,
    total_variation,
    unseen_mass,
)

AGAINST_REAL = "vocab_tv", "vocab_perplexity", "vocab_perplexity_reverse"
BIGRAMS = "vocab_bigram", "vocab_bigram_reverse"


def _info(name: str, label: str, has_chance: bool = True, **rest: Any) -> MetricInfo:
    return MetricInfo(name, label, has_chance=has_chance, section="vocabulary", **rest)


TAIL_MASS = _info(
    "vocab_tail_mass",
    "share of the rare words",
    title="Share of the rare words",
    limits=(0.0, 1.0),
    sentinel="outside-chance",
)
WORDS_LOST = _info(
    "vocab_words_lost",
    "words lost",
    title="Words lost",
    higher_is_better=False,
    limits=(0.0, math.inf),
)
WORD_METRICS = (
    TAIL_MASS,
    WORDS_LOST,
    _info("vocab_entropy", "entropy of the words"),
    _info("vocab_unseen_mass", "share of unseen words"),
    _info("vocab_chao2", "words seen and unseen"),
    _info("vocab_tv", "total variation of the words", higher_is_better=False),
    _info("vocab_perplexity", "perplexity of the words", higher_is_better=False),
    _info("vocab_perplexity_reverse", "perplexity of the real words", higher_is_better=False),
    _info("vocab_bigram", "bigram perplexity", False, higher_is_better=False),
    _info("vocab_bigram_reverse", "bigram perplexity, reverse", False, higher_is_better=False),
)
_FLOOR = "_floor"
_NOTHING = 1e-12
"""A standard error of rounding alone."""


@dataclass(frozen=True)
class WordReference:
    """What the words of generations are compared with, computed once for a study.

    Attributes:
        codebook: the words.
        base: int64[L, h, w], generation 0 as words, in random order.
        held_out: int64[M, h, w], the reference as words, in random order; with generation 0 it
            makes up the floors.
        seed: names the random halvings of the floors.
        splits: how many halvings.
    """

    codebook: Codebook
    base: Tensor
    held_out: Tensor
    seed: Seed
    splits: int = 20
    _floors: dict[int, dict[str, Estimate]] = field(default_factory=dict)

    def size(self, samples: int) -> int:
        """n, images on either side: the smallest of samples, generation 0 and reference."""
        return min(samples, len(self.base), len(self.held_out))

    def rows(
        self, generation: int, written: Tensor, chance: Mapping[str, Estimate] | None = None
    ) -> Iterator[dict[str, Any]]:
        """All that words say of one generation.

        Args:
            generation: its number.
            written: int64[N, h, w], its samples as words, in random order; the first n count.
            chance: what chance alone would give, by metric.

        Yields:
            Rows with the keys of metrics.csv. A metric that is defined is followed by its floor,
            `<metric>_floor`: mean and central 95% over random halvings of the real images; and by
            `<metric>_chance`, where that is known.
        """
        n = self.size(len(written))
        row = {"generation": generation, "class": "", "n": n, "reference_n": n}
        row["features"] = self.codebook.identity
        for metric, value in self.values(written[:n]).items():
            yield row | {"metric": metric} | value._asdict()
            if value.value is not None:
                yield row | {"metric": metric + _FLOOR} | self.floor(n, metric)._asdict()
                if chance and metric in chance:
                    yield row | {"metric": f"{metric}_chance"} | chance[metric]._asdict()

    def counts(self, written: Tensor) -> dict[str, Tensor]:
        """What a generation keeps of its words: int64[N, h, w] => named tensors of V words.

        `counts` and `images`, int64: occurrences, and images with the word, of all N; `lost`,
        uint8: whether the first n call it lost.
        """
        n, whole = self.size(len(written)), WordCounts.of(per_image(written, len(self.codebook)))
        gone = lost(WordCounts.of(per_image(written[:n], len(self.codebook))), self._told(n))
        return {
            "counts": whole.counts.long(),
            "images": whole.images.long(),
            "lost": (gone if n else torch.zeros_like(gone)).to(torch.uint8),
        }

    def values(self, written: Tensor) -> dict[str, Estimate]:
        """Every metric of int64[n, h, w] words beside the first n of generation 0."""
        n, vocabulary = len(written), len(self.codebook)
        if n == 0:
            nothing = torch.ones(1, vocabulary, dtype=torch.float64)
            names = self._readings(WordCounts.of(nothing), WordCounts.of(nothing), self._told(1))
            return dict.fromkeys([*names, *BIGRAMS], undefined("needs an image"))
        each, real = per_image(written, vocabulary), per_image(self.base[:n], vocabulary)
        tally, base, telling = WordCounts.of(each), WordCounts.of(real), self._told(n)
        found = self._readings(tally, base, telling)
        variance = dict.fromkeys(found, 0.0)
        if n > 1:
            for metric, without in self._readings(tally.without_one(each), base, telling).items():
                variance[metric] += _jackknife(without)
            other = self._readings(tally, base.without_one(real), telling)
            for metric in AGAINST_REAL:
                variance[metric] += _jackknife(other[metric])
        values = {
            metric: _about(float(value), variance[metric], n - 1, self._span(metric))
            for metric, value in found.items()
        }
        if self.codebook.common == vocabulary:
            values["vocab_tail_mass"] = undefined("no word is rare enough for a tail")
        return values | self._bigrams(written)

    def floor(self, n: int, metric: str) -> Estimate:
        """A metric between two disjoint sets of n real images: mean, 2.5% and 97.5% points."""
        if metric not in self._floors.get(n, {}):
            self._floors[n] = self._halved(n)
        return self._floors[n][metric]

    def load_cached(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Take over the floors in rows that this study has had before.

        Args:
            rows: what `rows` gave then, by the same software on the same machine.
        """
        for row in rows:
            if row["features"] == self.codebook.identity and row["metric"].endswith(_FLOOR):
                value = Estimate(*(row[name] for name in Estimate._fields))
                self._floors.setdefault(row["n"], {})[row["metric"].removesuffix(_FLOOR)] = value

    def _halved(self, n: int) -> dict[str, Estimate]:
        pool, vocabulary = torch.cat([self.held_out, self.base]), len(self.codebook)
        found: dict[str, list[float]] = {}
        for split in range(self.splits):
            chosen = torch.randperm(len(pool), generator=(self.seed / n / split).torch())
            real, other = pool[chosen[:n]], pool[chosen[n : 2 * n]]
            base = WordCounts.of(per_image(real, vocabulary))
            tally = WordCounts.of(per_image(other, vocabulary))
            readings = self._readings(tally, base, told(base, n))
            pairs = (other, real), (real, other)
            bigrams = [bigram_perplexity(*pair, vocabulary) for pair in pairs]
            for metric, value in [*readings.items(), *zip(BIGRAMS, bigrams, strict=True)]:
                found.setdefault(metric, []).append(float(value))
        return {
            metric: percentile_interval(torch.tensor(values, dtype=torch.float64))
            for metric, values in found.items()
        }

    def by_chance(
        self, lineages: Iterable[NDArray[Any]], reserve: ImageSet, samples: int
    ) -> dict[str, Tensor]:
        """What chance alone does to words: it draws images, and the words of an image together.

        Args:
            lineages: int64[S, G+1, L+R], how often each real image is among the samples of a
                generation of each of S lineages of a perfect learner; several such.
            reserve: R fresh real images, read if there is a lineage.
            samples: N, samples of a generation, of which the first n count.

        Returns:
            By metric float64[G, 3], from generation 1 on: mean and central 95% over lineages;
            empty without lineages.
        """
        n, vocabulary = self.size(samples), len(self.codebook)
        each = per_image(self.base, vocabulary)
        base, telling = WordCounts.of(per_image(self.base[:n], vocabulary)), self._told(n)
        found: dict[str, list[list[Tensor]]] = {}
        for batch, drawn in enumerate(lineages):
            if batch == 0 and len(reserve.labels):
                fresh = reserve.read(torch.arange(len(reserve.labels)))
                each = torch.cat([each, per_image(self.codebook.write(fresh), vocabulary)])
            for g in range(1, drawn.shape[1]):
                rng = (self.seed / "chance" / batch / g).numpy()
                times = [
                    rng.multivariate_hypergeometric(row, n, method="marginals")
                    if n < samples
                    else row
                    for row in drawn[:, g]
                ]
                tally = WordCounts.drawn(each, torch.from_numpy(np.stack(times)).double(), n)
                for metric, values in self._readings(tally, base, telling).items():
                    of_metric = found.setdefault(metric, [[] for _ in range(1, drawn.shape[1])])
                    of_metric[g - 1].append(values)
        return {
            metric: torch.stack([_central(torch.cat(parts)) for parts in generations])
            for metric, generations in found.items()
        }

    def _readings(self, tally: WordCounts, base: WordCounts, telling: Tensor) -> dict[str, Tensor]:
        """Every metric but those of bigrams: float64[...] each."""
        return {
            "vocab_tail_mass": mass(tally.counts)[..., self.codebook.common :].sum(-1),
            "vocab_words_lost": lost(tally, telling).double().sum(-1),
            "vocab_entropy": entropy(tally.counts),
            "vocab_unseen_mass": unseen_mass(tally),
            "vocab_chao2": chao2(tally),
            "vocab_tv": total_variation(tally.counts, base.counts),
            "vocab_perplexity": perplexity(tally.counts, unigram(base.counts)),
            "vocab_perplexity_reverse": perplexity(base.counts, unigram(tally.counts)),
        }

    def _bigrams(self, written: Tensor) -> dict[str, Estimate]:
        one, other = (
            hash_order(words.flatten(1).double()).long().view(words.shape)
            for words in (written, self.base[: len(written)])
        )
        found, vocabulary = {}, len(self.codebook)
        for metric, words, model in zip(BIGRAMS, (one, other), (other, one), strict=True):
            value, variance = bigram_perplexity(words, model, vocabulary), 0.0
            if len(words) >= BLOCKS:
                for pairs in (
                    [(words[kept], model) for kept in _tenths(words)],
                    [(words, model[kept]) for kept in _tenths(model)],
                ):
                    without = [bigram_perplexity(*pair, vocabulary) for pair in pairs]
                    variance += _jackknife(torch.tensor(without, dtype=torch.float64))
            found[metric] = _about(value, variance, BLOCKS - 1, self._span(metric))
        return found

    def _told(self, n: int) -> Tensor:
        return told(WordCounts.of(per_image(self.base[: max(n, 1)], len(self.codebook))), max(n, 1))

    def _span(self, metric: str) -> tuple[float, float]:
        vocabulary = float(len(self.codebook))
        return {
            "vocab_words_lost": (0.0, vocabulary),
            "vocab_entropy": (0.0, math.log(vocabulary)),
            "vocab_chao2": (1.0, vocabulary),
            "vocab_tail_mass": (0.0, 1.0),
            "vocab_unseen_mass": (0.0, 1.0),
            "vocab_tv": (0.0, 1.0),
        }.get(metric, (1.0, math.inf))


def _jackknife(without: Tensor) -> float:
    """Variance (m - 1)/m sum (t_i - mean t)^2 from m values that each leave out a part."""
    return float((len(without) - 1) * without.var(correction=0))


def _central(values: Tensor) -> Tensor:
    """float64[S] => float64[3]: mean and central 95%, whose ends some lineage had."""
    low = values.quantile(0.025, interpolation="lower")
    high = values.quantile(0.975, interpolation="higher")
    return torch.stack([values.mean(), low, high])


def _tenths(words: Tensor) -> list[Tensor]:
    """Rows that are left when each of `BLOCKS` blocks is taken out."""
    rows = torch.arange(len(words))
    return [rows[rows % BLOCKS != block] for block in range(BLOCKS)]


def _about(value: float, variance: float, freedom: int, span: tuple[float, float]) -> Estimate:
    error = math.sqrt(variance)
    return t_interval(value, error if error > _NOTHING else 0.0, freedom, span)
