import math

import numpy as np
import pytest
import torch
from contexts import run_context

from imgcollapse import metrics
from imgcollapse.core.images import unlabeled
from imgcollapse.core.seeds import Seed
from imgcollapse.data import Digits
from imgcollapse.generators import Resample
from imgcollapse.metrics import Codebook, Vocabulary, WordReference
from imgcollapse.metrics.vocabulary.statistics import (
    WordCounts,
    bigram_perplexity,
    chao2,
    detectable,
    entropy,
    lost,
    mass,
    per_image,
    perplexity,
    total_variation,
    unigram,
    unseen_mass,
)
from imgcollapse.metrics.vocabulary.words import unigram_values

SEED = Seed(("words",))
METRICS = (
    "vocab_tail_mass",
    "vocab_words_lost",
    "vocab_entropy",
    "vocab_unseen_mass",
    "vocab_chao2",
    "vocab_tv",
    "vocab_perplexity",
    "vocab_perplexity_reverse",
    "vocab_bigram",
    "vocab_bigram_reverse",
)


@pytest.fixture(scope="module")
def digits():
    """All 1,797 real digits in random order: uint8[N, 1, 8, 8]."""
    stock = Digits().load().train
    return stock.read(torch.randperm(len(stock.labels), generator=SEED.torch()))


@pytest.fixture(scope="module")
def codebook(digits):
    return Vocabulary(words=40).fit(digits[:300], SEED)


@pytest.fixture(scope="module")
def real(digits, codebook):
    """The words of 120 digits as generation 0 and of 150 as the reference."""
    return WordReference(
        codebook, codebook.write(digits[300:420]), codebook.write(digits[:150]), SEED, 5
    )


def sentences(counts):
    """One-word images: word w so many times."""
    return torch.arange(len(counts)).repeat_interleave(torch.tensor(counts)).view(-1, 1, 1)


def zipf(vocabulary):
    return mass(1 / torch.arange(1, vocabulary + 1, dtype=torch.float64))


def standard_errors(values):
    """How far a mean is from 0."""
    return abs(float(values.mean() / (values.std() / len(values) ** 0.5)))


# The codebook


def test_a_word_is_the_nearest_patch_and_words_are_ranked(digits, codebook):
    images = digits[300:350]
    patches = codebook.patches.flatten(1).double()
    written = codebook.write(images)
    for (row, column), x, y in (((0, 0), 0, 0), ((1, 2), 4, 2)):
        seen = images[:, :, y : y + 4, x : x + 4].flatten(1).double()
        away = torch.cdist(seen, patches, compute_mode="donot_use_mm_for_euclid_dist").square()
        chosen = away.gather(1, written[:, row, column, None])
        assert chosen.flatten().equal(away.min(1).values)
    assert written.shape == (50, 3, 3)
    used = codebook.write(digits[:300]).flatten().bincount(minlength=len(codebook))
    assert used.equal(codebook.occurrences)
    assert used.equal(used.sort(descending=True).values)
    assert used.min() > 0
    tail = codebook.occurrences[codebook.common :].sum() / codebook.occurrences.sum()
    assert tail <= 0.1 < tail + codebook.occurrences[codebook.common - 1] / used.sum()


def test_the_same_seed_gives_the_same_words_and_they_can_be_kept(digits, codebook):
    again = Vocabulary(words=40).fit(digits[:300], SEED)
    kept = Codebook.of(codebook.state())
    for other in (again, kept):
        assert other.identity == codebook.identity
        assert other.write(digits[:9]).equal(codebook.write(digits[:9]))
        assert (other.stride, other.common) == (2, codebook.common)


@pytest.mark.parametrize(("size", "channels"), [(3, 1), (8, 3), (33, 4), (64, 3)])
def test_images_of_any_size_are_written(size, channels):
    draw = torch.randint(256, (12, channels, size, size), generator=SEED.torch())
    images = draw.to(torch.uint8)
    codebook = Vocabulary().fit(images, SEED)
    written = codebook.write(images)
    assert written.shape[0] == 12
    assert codebook.patches.shape[1:] == (channels, min(size, 4), min(size, 4))
    assert len(codebook) == int(written.max()) + 1
    parts = [codebook.write(part) for part in images.split(5)]  # no batch changes a word
    assert torch.cat(parts).equal(written)
    assert codebook.write(images[:0]).shape == (0, *written.shape[1:])


def test_blank_images_are_one_word():
    codebook = Vocabulary().fit(torch.full((20, 1, 8, 8), 7, dtype=torch.uint8), SEED)
    assert len(codebook) == 1
    assert codebook.patches.unique().tolist() == [7]


# What is read off counts


def test_counts_by_hand():
    words = torch.tensor([[[0, 0], [1, 3]], [[0, 2], [2, 2]]])
    each = per_image(words, 5)
    assert each.tolist() == [[2, 1, 0, 1, 0], [1, 0, 3, 0, 0]]
    tally = WordCounts.of(each)
    assert tally.counts.tolist() == [3, 1, 3, 1, 0]
    assert tally.images.tolist() == [2, 1, 1, 1, 0]
    assert float(unseen_mass(tally)) == 5 / 8
    # S = 4, Q1 = 3, Q2 = 1, n = 2: 4 + 1/2 x 3 x 2 / (2 x 2), and no more than 5.
    assert float(chao2(tally)) == 4.75
    assert tally.without_one(each).counts.tolist() == [[1, 0, 3, 0, 0], [2, 1, 0, 1, 0]]
    assert tally.without_one(each).images.tolist() == [[1, 0, 1, 0, 0], [1, 1, 0, 1, 0]]
    twice = WordCounts.drawn(each, torch.tensor([[2.0, 0.0]]).double(), 2)
    assert twice.counts.tolist() == [[4, 2, 0, 2, 0]]
    assert twice.images.tolist() == [[2, 2, 0, 2, 0]]
    even = torch.tensor([1.0, 1, 1, 1]).double()
    assert float(entropy(even)) == pytest.approx(math.log(4), abs=1e-15)
    assert float(total_variation(even, torch.tensor([1.0, 1, 0, 0]).double())) == 0.5


def test_a_word_that_could_be_missed_by_bad_luck_is_not_lost():
    # Of 100 real images 50 hold word 0, eleven word 1, one word 2.
    base = WordCounts(torch.ones(4).double(), torch.tensor([50.0, 11, 1, 0]).double(), 100)
    # Wilson's lower ends are 0.404, 0.0625 and 0.0018: (1 - q)^n at n = 100 is 0, 0.0016, 0.84.
    assert detectable(base, 100).tolist() == [True, True, False, False]
    assert detectable(base, 20).tolist() == [True, False, False, False]
    gone = WordCounts(torch.zeros(4).double(), torch.tensor([0.0, 1, 0, 0]).double(), 100)
    assert lost(gone, detectable(base, 100)).tolist() == [True, False, False, False]


@pytest.mark.parametrize("topics", [0, 12])
def test_good_turing_agrees_with_the_exact_unseen_mass_of_a_zipf_source(topics):
    """E of the estimate is E of the unseen mass of n - 1 images, though words come in topics."""
    n, vocabulary, trials, rng = 60, 400, 400, SEED.numpy()
    p = zipf(vocabulary).numpy()
    apart, naive = [], []
    for _ in range(trials):
        if topics:  # an image is nine words of one topic, neighbours in rank
            first = rng.choice(vocabulary, n, p=p)[:, None]
            words = (first + rng.integers(topics, size=(n, 9))) % vocabulary
            q = sum(np.roll(p, shift) for shift in range(topics)) / topics
        else:
            words, q = rng.choice(vocabulary, (n, 1), p=p), p
        exact = q[~np.isin(np.arange(vocabulary), words[:-1])].sum()
        tally = WordCounts.of(per_image(torch.from_numpy(words).unsqueeze(1), vocabulary))
        apart.append(float(unseen_mass(tally)) - exact)
        naive.append(float((tally.counts == 1).sum() / tally.counts.sum()) - exact)
    assert standard_errors(torch.tensor(apart)) < 3
    if topics:  # what takes words for independent is wrong
        assert standard_errors(torch.tensor(naive)) > 10


def test_chao_is_a_lower_bound():
    """Below the truth under Zipf and above what is seen; for words equally likely the truth."""
    vocabulary, rng = 200, SEED.numpy()
    for p, n, even in (
        (zipf(vocabulary).numpy(), 150, False),
        (np.full(vocabulary, 1 / vocabulary), 300, True),
    ):
        found, seen = [], []
        for _ in range(200):
            counts = torch.from_numpy(rng.multinomial(n, p)).double()
            # Places beside the source's words, so that nothing is cut off at V.
            counts = torch.cat([counts, torch.zeros(1000).double()])
            found.append(float(chao2(WordCounts(counts, counts, n))))
            seen.append(float((counts > 0).sum()))
        found = torch.tensor(found)
        error = float(found.std()) / len(found) ** 0.5
        assert min(f - s for f, s in zip(found.tolist(), seen, strict=True)) >= 0
        if even:
            # The bias of the bias-corrected form is of second order: a tenth of a word here.
            assert abs(float(found.mean()) - vocabulary) < 3 * error + 0.1
        else:
            assert float(found.mean()) + 3 * error < vocabulary


# Language


def test_a_set_is_as_surprising_to_itself_as_its_entropy_says(real):
    counts = WordCounts.of(per_image(real.base, len(real.codebook))).counts
    own = perplexity(counts, mass(counts))
    assert float(own) == pytest.approx(float(entropy(counts).exp()), rel=1e-14)
    # Gibbs: any other model is more surprised, a smoothed one too.
    assert float(perplexity(counts, unigram(counts))) > float(own)
    assert float(perplexity(counts, unigram(counts.flip(0)))) > float(own)


def test_smoothing_by_hand():
    # N = 3, T = 2 of V = 3: (c + 2/3) / 5.
    found = unigram(torch.tensor([2.0, 1.0, 0.0]).double())
    assert found.tolist() == pytest.approx([8 / 15, 5 / 15, 2 / 15], abs=1e-15)
    assert unigram(torch.zeros(4).double()).tolist() == [0.25] * 4


def test_bigrams_by_hand():
    # p(0) = (1 + 2/2)/5 = .4; after 0 comes 1 once: p(1|0) = (1 + .6)/2; after 1 comes 1 once:
    # p(0|1) = .4/2.
    model, words = torch.tensor([[[0, 1, 1]]]), torch.tensor([[[0, 1, 0]]])
    expected = (0.4 * 0.8 * 0.2) ** (-1 / 3)
    assert bigram_perplexity(words, model, 2) == pytest.approx(expected, rel=1e-14)
    # Without neighbours it is the unigram's.
    column = torch.tensor([[[0], [1], [1]]])
    alone = perplexity(torch.tensor([1.0, 2]).double(), unigram(torch.tensor([1.0, 2]).double()))
    assert bigram_perplexity(column, column, 2) == pytest.approx(float(alone), rel=1e-14)


# Laws of drift


def test_words_drift_as_their_images_do(digits, codebook):
    """T5 on images. What differs within an image stays: E[H_t] = H_w + (H_0 - H_w)(1 - 1/n)^t, H_w
    the mean heterozygosity within an image; and a tail mass of variance s^2 over images keeps its
    mean and has the variance s^2 (1 - (1 - 1/n)^t) over lineages.
    """
    n, lineages, steps = 30, 250, 8
    each = per_image(codebook.write(digits[400 : 400 + n]), len(codebook))
    # An image's number is its only pixel: its words are looked up, not computed again.
    numbers = unlabeled(torch.arange(n, dtype=torch.uint8).view(n, 1, 1, 1))
    found = []
    for lineage in range(lineages):
        images, course = numbers, []
        for t in range(steps):
            seed = SEED / lineage / t
            model = Resample().fit(images, run_context(seed / "fit", classes=1))
            images = model.sample(images.labels, run_context(seed / "sample"))
            course.append(mass(each[images.pixels.flatten().long()].sum(0)))
        found.append(torch.stack(course))
    shares = torch.stack(found)
    start, within = mass(each.sum(0)), 1 - mass(each).square().sum(1).mean()
    h_0, tail = 1 - start.square().sum(), mass(each)[:, codebook.common :].sum(1)
    spread = tail.var(correction=0)
    for t in (1, 4, steps):
        h = 1 - shares[:, t - 1].square().sum(1)
        law = within + (h_0 - within) * (1 - 1 / n) ** t
        assert standard_errors(h - law) < 3
        assert standard_errors(h - h_0 * (1 - 1 / n) ** t) > 10, "words are not drawn one by one"
        masses = shares[:, t - 1, codebook.common :].sum(1)
        assert standard_errors(masses - tail.mean()) < 3
        squares = (masses - tail.mean()).square()
        assert standard_errors(squares - spread * (1 - (1 - 1 / n) ** t)) < 3


def test_the_interval_knows_that_words_come_in_images(real):
    """The jackknife's variance is that over samples, within 3 standard errors of the latter.

    Too small it never is (Efron & Stein 1981); too large it is for what is near its extreme among
    real images: entropy, and what is least between equals.
    """
    n, trials, rng = 200, 200, SEED.numpy()
    each = per_image(real.base, len(real.codebook))
    base, expected = WordCounts.of(each), torch.ones(len(real.codebook)).bool()
    values, errors = {}, {}
    for _ in range(trials):
        sample = each[torch.from_numpy(rng.integers(len(each), size=n))]
        tally = WordCounts.of(sample)
        without = unigram_values(tally.without_one(sample), base, expected, real.codebook)
        for metric, value in unigram_values(tally, base, expected, real.codebook).items():
            values.setdefault(metric, []).append(value)
            errors.setdefault(metric, []).append((n - 1) * without[metric].var(correction=0))
    near_extreme = "vocab_entropy", "vocab_tv", "vocab_perplexity_reverse"
    for metric in ("vocab_tail_mass", "vocab_perplexity", *near_extreme):
        variance = torch.stack(values[metric]).var()
        # A variance from R normal values has a relative standard error of sqrt(2 / R).
        ratio = float(torch.stack(errors[metric]).mean() / variance)
        noise = 3 * (2 / trials) ** 0.5
        assert ratio > 1 - noise, metric
        assert ratio < 1 + noise or metric in near_extreme, metric


def test_the_interval_of_the_unseen_mass_is_estys():
    counts = [1] * 7 + [2] * 4 + [3, 3, 9]
    each = per_image(sentences(counts), len(counts))
    n, once, twice = len(each), 7, 4
    without = unseen_mass(WordCounts.of(each).without_one(each))
    found = float((n - 1) * without.var(correction=0))
    law = (once + 2 * twice - (2 * twice - once) ** 2 / n) / (n * (n - 1))
    assert found == pytest.approx(law, rel=1e-12)


# Generations


def rows_by(rows):
    return {row["metric"]: row for row in rows}


def test_every_value_is_followed_by_its_floor_and_chance(real, digits, codebook):
    chance = {metric: metrics.Estimate(0.5, 0.4, 0.6) for metric in METRICS[:8]}
    rows = list(real.rows(3, codebook.write(digits[500:900]), chance))
    assert all(set(row) == set(metrics.COLUMNS) for row in rows)
    kinds = ("", "_floor", "_chance")
    expected = [m + kind for m in METRICS for kind in kinds[: 2 + (m in chance)]]
    assert [row["metric"] for row in rows] == expected
    assert {row["n"] for row in rows} == {120}
    assert {row["features"] for row in rows} == {codebook.identity}
    found = rows_by(rows)
    for metric in METRICS:
        value, floor = found[metric], found[f"{metric}_floor"]
        assert value["low"] is None or value["low"] <= value["value"] <= value["high"]
        # Real digits too, so near what real digits give.
        ends = [
            value[end] if value["low"] is not None else value["value"] for end in ("low", "high")
        ]
        assert ends[0] <= floor["high"], metric
        assert ends[1] >= floor["low"], metric


def test_a_generation_that_repeats_a_few_images_has_lost_words(real, digits, codebook):
    few = codebook.write(digits[500:508])[torch.arange(120) % 8]
    found, kept = rows_by(real.rows(2, few)), real.counts(few)
    for metric in (
        "vocab_words_lost",
        "vocab_tv",
        "vocab_perplexity_reverse",
        "vocab_bigram_reverse",
    ):
        assert found[metric]["value"] > found[f"{metric}_floor"]["high"], metric
    assert found["vocab_entropy"]["high"] < found["vocab_entropy_floor"]["low"]
    # It looks complete to itself: the unseen are lost, not overlooked.
    assert found["vocab_unseen_mass"]["value"] == 0
    assert int(kept["lost"].sum()) == found["vocab_words_lost"]["value"]
    assert int(kept["counts"].sum()) == few.numel()
    assert int(kept["images"].max()) <= 120


def test_the_order_of_images_does_not_matter(real, digits, codebook):
    written = codebook.write(digits[500:620])
    once, again = real.values(written), real.values(written.flip(0))
    for metric in METRICS:
        for one, other in zip(once[metric][:3], again[metric][:3], strict=True):
            # Sums of 120 terms in another order; those of bigrams are put in order first.
            assert (
                one == other if one is None else one == pytest.approx(other, rel=1e-10, abs=1e-12)
            )


@pytest.mark.parametrize("images", [0, 1, 2, 30])
@pytest.mark.parametrize("kind", ["identical", "blank", "real"])
def test_degenerate_generations_are_finite_or_say_why_not(real, digits, codebook, images, kind):
    pixels = {
        "identical": digits[500:501].expand(images, -1, -1, -1),
        "blank": torch.zeros(images, 1, 8, 8, dtype=torch.uint8),
        "real": digits[500 : 500 + images],
    }[kind]
    rows = list(real.rows(1, codebook.write(pixels)))
    assert {row["metric"] for row in rows} >= set(METRICS)
    for row in rows:
        assert row["note"] if row["value"] is None else math.isfinite(row["value"])
    assert {len(values) for values in real.counts(codebook.write(pixels)).values()} == {
        len(codebook)
    }


def test_one_word_says_nothing_and_says_so():
    images = torch.full((20, 1, 8, 8), 7, dtype=torch.uint8)
    codebook = Vocabulary().fit(images, SEED)
    written = codebook.write(images)
    real = WordReference(codebook, written, written, SEED, 2)
    found = rows_by(real.rows(1, written))
    assert found["vocab_tail_mass"]["note"] == "no word is rare enough for a tail"
    assert found["vocab_entropy"]["value"] == 0
    assert found["vocab_perplexity"]["value"] == found["vocab_bigram"]["value"] == 1
    assert found["vocab_entropy"]["low"] is None
