"""What chance alone does to images, and so to all that is in them."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import imgcollapse as ic
from imgcollapse.census import HeldOut
from imgcollapse.core.seeds import Seed
from imgcollapse.drift import relative_size, selection_coefficients
from imgcollapse.experiment import null_model
from imgcollapse.metrics import Vocabulary, WordReference
from imgcollapse.metrics.vocabulary.statistics import mass, per_image


def replayed(config, *overrides):
    """The study's real images and int64[S, G+1, n+R], how often each is drawn."""
    study = ic.load_study(config, overrides)
    real = study.real()
    labels = real.train.labels, real.reserve.labels
    return (
        study,
        real,
        np.concatenate([*null_model.simulate_images(study, *labels, study.generations)]),
    )


@pytest.mark.parametrize("regime", ["replace", "accumulate-subsample", "fresh"])
def test_a_generation_is_n_images(config, regime):
    study, real, drawn = replayed(config, f"regime={regime}", "samples=50")
    n, reserve = len(real.train), len(real.reserve.labels)
    assert drawn.shape == (null_model.LINEAGES, study.generations + 1, n + reserve)
    assert (drawn[:, 1:].sum(axis=2) == 50).all()
    assert (drawn[:, 0, :n] == 1).all()
    assert not drawn[:, :2, n:].any()
    # Of fresh images the g-th model has seen those of its own turn alone.
    if regime == "fresh":
        turns = drawn[:, 2:, n:].reshape(null_model.LINEAGES, 2, 2, n).sum(axis=(0, 3))
        assert (turns == np.eye(2) * 50 * null_model.LINEAGES).all()


def test_identity_is_lost_as_the_law_says(config):
    """T5: two images of a generation copy one real image, more often from step to step."""
    _, real, drawn = replayed(config, "generations=6")
    n = len(real.train)
    for t in (1, 3, 6):
        alike = 1 - ((drawn[:, t] / n) ** 2).sum(axis=1)
        law = (1 - 1 / n) ** (t + 1)  # H_0 = 1 - 1/n
        assert abs(alike.mean() - law) < 3 * alike.std() / len(drawn) ** 0.5


@pytest.mark.parametrize("labels", ["uniform", "real", "training"])
def test_a_conditional_learner_is_asked_for_classes_and_draws_images_of_them(config, labels):
    overrides = "generator={kind: ddpm, conditional: true}", f"labels={labels}", "generations=2"
    study, real, drawn = replayed(config, *overrides, "longtail.factor=2")
    classes = torch.nn.functional.one_hot(real.train.labels.long()).numpy()
    born = drawn[:, 1] @ classes / len(real.train)
    expected = study.labels.shares(real.shares, real.shares).numpy()
    error = np.sqrt(expected * (1 - expected) / born.size * born.shape[1] / len(real.train))
    # Ten classes are looked at, so 3.5 errors: 0.5% that one of them is beyond by chance.
    assert (np.abs(born.mean(axis=0) - expected) < 3.5 * error).all()


def test_the_band_of_words_is_that_of_their_images(config):
    _, real, drawn = replayed(config, "generations=4")
    codebook = Vocabulary().fit(real.reference.pixels, Seed((0,)))
    base = codebook.write(real.train.pixels)
    words = WordReference(codebook, base, base, Seed((1,)))
    batches = [drawn[:80], drawn[80:]]
    found = words.by_chance(batches, real.reserve, len(real.train))["vocab_tail_mass"]
    tail = mass(per_image(base, len(codebook)))[:, codebook.common :].sum(1).numpy()
    for g, (mean, low, high) in enumerate(found.tolist(), 1):
        masses = drawn[:, g] @ tail / len(tail)
        # The same sums in another order.
        assert mean == pytest.approx(masses.mean(), rel=1e-12)
        assert (masses < low - 1e-12).mean() <= 0.025
        assert (masses > high + 1e-12).mean() <= 0.025
        spread = tail.var() * (1 - (1 - 1 / len(tail)) ** g)
        squares = (masses - tail.mean()) ** 2
        assert abs(squares.mean() - spread) < 3 * squares.std() / len(drawn) ** 0.5


def test_fewer_images_are_counted_than_were_drawn(config):
    """The band is of the n images that a metric is taken of, not of all N samples."""
    _, real, drawn = replayed(config, "samples=400", "generations=1")
    codebook = Vocabulary().fit(real.reference.pixels, Seed((0,)))
    base = codebook.write(real.train.pixels)
    words = WordReference(codebook, base, base, Seed((1,)))
    few = WordReference(codebook, base, base[:10], Seed((1,)))
    of_all, of_few = (
        np.ptp(w.by_chance([drawn], real.reserve, 400)["vocab_tail_mass"][0, 1:].numpy())
        for w in (words, few)
    )
    assert of_few > 1.5 * of_all  # twice as wide at 10 as at 40


def test_a_misread_image_is_copied_with_its_misreading(config):
    """Lineages of a perfect learner are rejected at the nominal rate by an oracle of two in three.

    Beside labels alone the very same lineages seem to drift as a smaller population does.
    """
    study = ic.load_study(config, ["generations=6", "regime=replace"])
    real = study.real()
    labels, classes = (real.train.labels, real.reserve.labels), len(real.classes)
    rng = Seed(("misread",)).numpy()
    # Its answer to an image is wrong by the image's own luck, and it is much too sure.
    truth = np.concatenate([*(part.numpy() for part in labels), np.arange(classes).repeat(60)])
    scores = 2.5 * (1.6 * np.eye(classes)[truth] + rng.normal(size=(len(truth), classes)))
    p = torch.from_numpy(scores).softmax(1).float()
    counted, n = p.argmax(1).short(), len(labels[0]) + len(labels[1])
    held_out = HeldOut(torch.from_numpy(truth[n:]).short(), counted[n:], p[n:])
    assert 0.5 < float((held_out.counted == held_out.labels).double().mean()) < 0.8
    measured = null_model.measure_images(study, labels, 6, p[:n], counted[:n], held_out)
    assert measured.shape == (null_model.MEASURED, 7, classes)
    null = null_model.simulate_labels(study, *labels, 6)
    rejected, covered, alone = [], [], []
    for lineage in range(100):
        x, seed = measured[lineage].double().numpy(), Seed((lineage,))
        others = np.arange(len(measured)) != lineage
        copies = replace(null, shares=measured.double().numpy()[others])
        rejected.append(selection_coefficients(x, copies, seed).overall <= 0.05)
        size = relative_size(x, copies, seed).pooled
        covered.append(size.low <= 1 <= size.high)
        alone.append(relative_size(x, null, seed).pooled.value)
    # 5% of 100: three standard errors are 6.5 points.
    assert np.mean(rejected) < 0.05 + 0.065
    assert np.mean(covered) > 0.95 - 0.065
    assert np.mean(alone) < 0.7, "labels alone would do as well"
