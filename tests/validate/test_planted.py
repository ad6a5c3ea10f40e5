"""A program with an error in it fails: each law is shown one that it must not let pass.

Seeds are fixed, so a test cannot fail by chance from one day to the next. The scales are such that
the error lies some standard errors beyond what chance is allowed.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from imgcollapse.core.images import Images
from imgcollapse.core.lineage_images import Selection
from imgcollapse.curation import Detector
from imgcollapse.generators import Gaussian, Resample
from imgcollapse.generators.resample import StoredSet
from imgcollapse.regimes import Accumulate, RealFraction, first_rows
from imgcollapse.tools.validate.curation import DETECTION, PREFERENCE
from imgcollapse.tools.validate.drift import DRIFT, EFFECTIVE_SIZE, FIRST_EXTINCTION, SURVIVAL
from imgcollapse.tools.validate.generators import PUBLISHED, SPREAD, judge, variance_steps
from imgcollapse.tools.validate.regimes import ACCUMULATION, REAL_SHARE


class Prejudiced(Resample):
    """Draws images of class 0 with 2% less chance."""

    def fit(self, images, context, previous=None):
        return PrejudicedMemory(images)


class PrejudicedMemory(StoredSet):
    def sample(self, labels, context) -> Images:
        weights = torch.where(self.images.labels == 0, 0.98, 1.0)
        rows = torch.multinomial(weights, len(labels), True, generator=context.seed.torch())
        return self.images[rows]


class Forgetful(Resample):
    """Remembers nine images of ten, so that n is off by 10%."""

    def fit(self, images, context, previous=None):
        return StoredSet(images[: round(0.9 * len(images))])


class Shuffled(Resample):
    """Forgets a tenth at random: where images lie by class, the last class is not to suffer."""

    def fit(self, images, context, previous=None):
        rows = torch.randperm(len(images), generator=(context.seed / "memory").torch())
        return StoredSet(images[rows[: round(0.9 * len(images))]])


class BiasedVariance(Gaussian):
    """Divides by n where n - 1 is right."""

    def _components(self, axes, coordinates, seed):
        weights, means, factors = super()._components(axes, coordinates, seed)
        n = len(coordinates)
        return weights, means, factors * np.sqrt((n - 1) / n)


class WithoutTheFirst(Accumulate):
    """Loses the real images from the third model on."""

    def select_after_first(self, images, g, n, seed):
        return sum((first_rows(past, n) for past in range(2, g)), first_rows(1, n))


class NeverFresh(RealFraction):
    """Gives the same real images where fresh ones were asked for."""

    def select_after_first(self, images, g, n, seed):
        real = round(self.fraction * n)
        return first_rows(0, real) + first_rows(g - 1, n - real)


class Lenient(Detector):
    """Misses a tenth more of the samples than it was told to."""

    def null_selection(self, generation, n, seed):
        return Detector(tpr=0.9 * self.tpr, fpr=self.fpr).null_selection(generation, n, seed)


class Prejudging(Detector):
    """Takes every other sample of class 0 away that was not found."""

    def keep(self, seen, seed):
        kept = super().keep(seen, seed)
        if seen.generation == 0:
            return kept
        again = (kept.labels == 0) & (torch.rand(len(kept), generator=(seed / 1).torch()) < 0.5)
        return Selection(kept.rows[~again], kept.labels[~again])


def failures(outcome) -> list[str]:
    return [measurement.name for measurement in outcome.measurements if not measurement.holds]


def test_resampling_two_per_cent_against_one_class_fails_drift(context):
    failed = failures(DRIFT.test(context(0.3, resample=Prejudiced())))
    assert any("share of a class of 40%" in what for what in failed)


@pytest.mark.parametrize("generator", [Forgetful(), Shuffled()])
def test_n_off_by_ten_per_cent_fails_the_effective_size(context, generator):
    assert EFFECTIVE_SIZE.test(context(resample=generator)).verdict == "failed"


def test_n_off_by_ten_per_cent_fails_drift(context):
    failed = failures(DRIFT.test(context(0.3, resample=Shuffled())))
    assert "a single copy is lost in one generation, n = 200" in failed


def test_a_variance_divided_by_n_fails_the_gaussian(context):
    planted = {"gaussian": BiasedVariance}
    right, wrong = (variance_steps(context(0.3, **part)) for part in ({}, planted))
    assert all(measurement.holds for measurement in right.measurements)
    assert not any(measurement.holds for measurement in wrong.measurements)


def test_taking_the_best_for_sure_is_no_bradley_terry_choice(context):
    def greedy(rewards, seed):
        return rewards.argmax(axis=1)

    assert PREFERENCE.test(context(0.2, choose=greedy)).verdict == "failed"


def test_a_choice_by_half_the_reward_fails(context):
    right = context().parts.choose

    def timid(rewards, seed):
        return right(rewards / 2, seed)

    assert PREFERENCE.test(context(0.2, choose=timid)).verdict == "failed"


def test_a_detector_that_misses_a_tenth_more_fails(context):
    failed = failures(DETECTION.test(context(0.1, detector=Lenient)))
    assert any("samples in it" in what for what in failed)


@pytest.mark.slow
def test_a_detector_that_sees_classes_fails_and_so_does_one_that_misses_more(context):
    for planted in (Lenient, Prejudging):
        failed = failures(DETECTION.test(context(0.5, detector=planted)))
        assert any("drift" in what for what in failed)


@pytest.mark.parametrize("factor", [1.0, 0.97, 0.8])
def test_a_vae_that_falls_at_another_rate_fails(factor):
    chains = 0.7 * factor ** np.arange(5) * np.array([[1.0], [1.02]])
    noise = 1 + 0.01 * np.random.default_rng(0).standard_normal(chains.shape)
    assert judge(chains * noise, 12_000).verdict == "failed"


def test_a_vae_that_once_rises_fails():
    chain = np.array([[0.70, 0.63, 0.64, 0.50, 0.45]])
    assert "largest factor of a step: sigma falls in each" in failures(judge(chain, 12_000))


def test_runs_like_the_published_ones_pass():
    noise = np.random.default_rng(0).standard_normal((5, 5))
    assert judge(PUBLISHED + SPREAD * noise, 60_000).verdict == "passed"


@pytest.mark.slow
def test_n_off_by_ten_per_cent_fails_survival_and_first_extinction(context):
    assert SURVIVAL.test(context(0.3, resample=Shuffled())).verdict == "failed"
    assert FIRST_EXTINCTION.test(context(resample=Shuffled())).verdict == "failed"


@pytest.mark.slow
def test_real_images_that_are_never_fresh_fail(context):
    failed = failures(REAL_SHARE.test(context(0.3, real_fraction=NeverFresh)))
    assert any("a = 0.1" in what for what in failed)


@pytest.mark.slow
def test_accumulation_without_the_first_generation_fails(context):
    failed = failures(ACCUMULATION.test(context(0.2, accumulate=WithoutTheFirst())))
    assert any("H_39" in what for what in failed)
