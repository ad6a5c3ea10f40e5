"""The watermark as a filter, and a detector that errs at given rates."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from contexts import run_context
from scipy.stats import binom

from imgcollapse import run
from imgcollapse.core.errors import UserError
from imgcollapse.core.images import Images
from imgcollapse.core.lineage_images import REMOVED, LineageImages
from imgcollapse.core.seeds import Seed
from imgcollapse.curation import Detector, Watermark, curate
from imgcollapse.curation.watermark.attacks import ATTACKS
from imgcollapse.data import Digits, PaperDogs
from imgcollapse.generators import Resample
from imgcollapse.regimes import RealPlusSynthetic
from imgcollapse.theory import detection_variance
from imgcollapse.tools.validate.lineages import NO_RESERVE, counts

SEED = Seed(("watermark",))
FOUR_SE = 4.0


def images(source, n):
    stock = source.load().train
    return Images(stock.read(torch.arange(n)), stock.labels[:n].to(torch.int16))


DOGS = images(PaperDogs(size=16), 400)
MARKED = Watermark().mark(DOGS, SEED)


def test_what_is_marked_is_removed_and_real_images_pay_for_few_mistakes(shown):
    part = Watermark(fpr=0.05)
    kept = part.keep(shown(DOGS.labels, images=MARKED, classes="abcdefgh"), SEED)
    assert len(kept) <= 0.05 * len(DOGS)
    real = part.keep(shown(DOGS.labels, 0, images=DOGS, classes="abcdefgh"), SEED)
    assert binom.ppf(0.001, 400, 0.05) <= 400 - len(real) <= binom.ppf(0.999, 400, 0.05)
    assert (real.labels == DOGS.labels[real.rows.long()]).all()


@pytest.mark.parametrize("weight", [0.3, 1.0])
def test_a_weight_keeps_that_share_of_what_is_found(shown, weight):
    part = Watermark(weight=weight)
    kept = part.keep(shown(DOGS.labels, images=MARKED, classes="abcdefgh"), SEED)
    assert abs(len(kept) / 400 - weight) <= FOUR_SE * (weight * (1 - weight) / 400) ** 0.5
    again = part.keep(shown(DOGS.labels, images=MARKED, classes="abcdefgh"), SEED)
    assert torch.equal(kept.rows, again.rows)


def test_labels_stay_and_marking_is_deterministic():
    assert torch.equal(MARKED.labels, DOGS.labels)
    assert torch.equal(Watermark().mark(DOGS, SEED / 1).pixels, MARKED.pixels)
    assert not torch.equal(Watermark(key="other").mark(DOGS, SEED).pixels, MARKED.pixels)


def test_chance_sees_no_pixels_and_keeps_what_a_sure_detector_would():
    part = Watermark(fpr=0.1, weight=0.25)
    n = 4000
    for generation, share in ((0, 1 - 0.1 * 0.75), (1, 0.25)):
        kept = part.null_selection(generation, n, SEED / generation)
        assert abs(len(kept) / n - share) <= FOUR_SE * (share * (1 - share) / n) ** 0.5


@pytest.mark.parametrize(("generation", "share"), [(0, 1 - 0.2 * 0.9), (3, 1 - 0.7 * 0.9)])
def test_a_detector_errs_at_its_rates(shown, generation, share):
    n = 4000
    seen = shown(torch.zeros(n), generation)
    kept = Detector(tpr=0.7, fpr=0.2, weight=0.1).keep(seen, SEED / generation)
    assert abs(len(kept) / n - share) <= FOUR_SE * (share * (1 - share) / n) ** 0.5


def test_a_perfect_detector_lets_all_real_images_and_no_sample_in(shown):
    perfect = Detector(tpr=1, fpr=0)
    assert len(perfect.keep(shown([0, 1, 2], 0), SEED)) == 3
    assert len(perfect.keep(shown([0, 1, 2], 1), SEED)) == 0
    # A screen leaves gaps: a regime finds nothing there.
    assert curate([perfect], shown([0, 1, 2], 1), SEED).rows.tolist() == [REMOVED] * 3


def found(part, unmarked, samples, real=DOGS):
    return {name: (value, n) for name, value, n in part.metrics(unmarked, samples, real, SEED)}


def test_findings_say_how_sure_and_how_visible_the_mark_is():
    said = found(Watermark(), DOGS, MARKED)
    assert said["watermark_tpr"][0].value >= 0.99
    assert said["watermark_fpr"][0].low <= 0.01 <= said["watermark_fpr"][0].high
    assert said["watermark_psnr"][0].value >= 35
    assert 0.5 < said["watermark_ssim"][0].value < 1
    assert {f"watermark_tpr_{attack}" for attack in ATTACKS} <= set(said)
    assert said["watermark_tpr_jpeg75"][0].value >= 0.8
    assert all(n == 400 for _, n in said.values())


def test_a_model_that_never_saw_the_mark_is_not_radioactive_and_a_copy_is():
    fresh, copied = (found(Watermark(), before, MARKED) for before in (DOGS, MARKED))
    assert fresh["watermark_radioactivity_p"][0].value > 0.01
    low, high = fresh["watermark_radioactivity_z_floor"][0][1:3]
    assert low <= fresh["watermark_radioactivity_z"][0].value <= high
    assert copied["watermark_radioactivity"][0].value >= 0.99
    # Better than all of 199 unused keys.
    assert copied["watermark_radioactivity_p"][0].value == 1 / 200
    assert copied["watermark_radioactivity_floor"][0].value < 0.05


def test_what_cannot_be_measured_is_empty_and_says_why():
    same = found(Watermark(weight=1), MARKED, MARKED)
    assert same["watermark_psnr"][0] == (None, None, None, "marking changed no image")
    four = Images(DOGS.pixels.repeat(1, 2, 1, 1)[:9, :4], DOGS.labels[:9])
    said = found(Watermark(), four, Watermark().mark(four, SEED), four[:0])
    assert said["watermark_tpr_jpeg75"][0].note == "JPEG does not support images of 4 channels"
    assert said["watermark_fpr"][0].note == "no images"
    tiny = Images(DOGS.pixels[:9, :, :5, :5], DOGS.labels[:9])
    said = found(Watermark(), tiny, Watermark().mark(tiny, SEED), tiny)
    assert said["watermark_ssim"][0].note == "needs more than 5 pixels a side"
    assert found(Watermark(), DOGS[:0], MARKED[:0]) == {}
    one = found(Watermark(), DOGS[:1], MARKED[:1])
    assert one["watermark_radioactivity_z"][0].low is None


def test_images_that_hold_no_mark_are_refused():
    small = Images(DOGS.pixels[:, :, :2, :3], DOGS.labels)
    with pytest.raises(UserError, match=r"^curation: images of 2x3 pixels are too small [^\n]+$"):
        Watermark().mark(small, SEED)


def test_a_study_marks_its_samples_and_trains_on_none(config, tmp_path):
    ran = run(
        config,
        tmp_path / "run",
        ["curation.kind=watermark", "regime.kind=real-plus-synthetic", "generations=2"],
    )
    metrics = pd.read_csv(tmp_path / "run" / "metrics.csv")
    rates = metrics[metrics["metric"] == "watermark_tpr"]
    assert rates["generation"].tolist() == [1, 2]
    assert (rates["value"] >= 0.9).all()
    assert ran is not None
    account = pd.read_csv(tmp_path / "run" / "curation.csv")
    born = account[account["generation"] > 0]
    assert born["kept"].sum() <= 0.1 * born["n"].sum()


def drift(shown, filters, real, ratio, generations, seed):
    """Mean of sum_k (x_k - p_k)^2 / sum_k p_k (1 - p_k) over later training sets."""
    archive, n, seen = LineageImages(real, NO_RESERVE), len(real), []
    regime, p = RealPlusSynthetic(ratio=ratio), counts(real.labels, 10) / n
    for g in range(1, generations + 1):
        born = archive.generations[-1]
        offered = shown(born.labels, g - 1, classes="0123456789", images=born)
        archive.restrict(g - 1, curate(filters, offered, seed / g / "curate"))
        training = archive.gather(regime.select(archive, g, seed / g / "select"))
        model = Resample().fit(training, run_context(seed / g / "fit", classes=10))
        drawn = model.sample(torch.zeros(ratio * n), run_context(seed / g / "sample"))
        for part in filters:
            drawn = part.mark(drawn, seed / g / "mark")
        archive.append(drawn)
        x = counts(training.labels, 10) / len(training)
        seen.append(np.square(x - p).sum() / (1 - p @ p))
    return np.mean(seen[3:])


def drifts(shown, filters, real, lineages=12, ratio=2, generations=8):
    return np.array(
        [
            drift(shown, filters, real, ratio, generations, SEED / "drift" / i)
            for i in range(lineages)
        ]
    )


def test_with_the_filter_the_real_images_hold_the_shares_in_place(shown):
    real = images(Digits(), 60)
    plain, filtered = (drifts(shown, filters, real) for filters in ((), (Watermark(),)))
    error = plain.std(ddof=1) / 12**0.5
    law = detection_variance(60, 120, 0.0, 0.0, 8)[3:].mean()
    assert abs(plain.mean() - law) < FOUR_SE * error
    assert filtered.mean() < plain.mean() - FOUR_SE * error
    # One real image in a hundred is gone for good: a hypergeometric draw of the shares.
    assert filtered.max() < 1 / 60


@pytest.mark.slow
def test_a_mark_too_weak_for_some_images_selects_for_them(shown):
    """Misses that are inherited are worse than no filter: resistance evolves (docs/log.md)."""
    real = images(Digits(), 100)
    plain = drifts(shown, (), real, ratio=4, generations=10)
    weak = drifts(shown, (Watermark(psnr=50),), real, ratio=4, generations=10)
    error = np.hypot(plain.std(ddof=1), weak.std(ddof=1)) / 12**0.5
    assert weak.mean() > plain.mean() + FOUR_SE * error
