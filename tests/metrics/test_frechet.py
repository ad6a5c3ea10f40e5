import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from torch import nn
from torchmetrics.image.fid import FrechetInceptionDistance

from imgcollapse.metrics import Estimate, FrechetDistance, fid, fid_infinity
from imgcollapse.metrics.frechet import Gaussian, distance

# (images, generated images, features): dense, low rank on one side or the other, on both, singular.
SHAPES = [(300, 250, 8), (300, 12, 40), (12, 300, 40), (20, 15, 40), (41, 41, 40)]


def theirs(real, generated):
    features = nn.Identity()
    features.num_features = real.shape[1]
    metric = FrechetInceptionDistance(feature=features).set_dtype(torch.float64)
    metric.update(real, real=True)
    metric.update(generated, real=False)
    return float(metric.compute())


def formula(real, generated):
    x, y = real.numpy(), generated.numpy()
    cx, cy = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    root = sqrtm(cx @ cy).real
    return ((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(cx + cy - 2 * root)


def fed(real, generated, batch, interval):
    metric = FrechetDistance()
    metric.interval = interval
    for features, whether in ((real, True), (generated, False)):
        for part in features.split(batch):
            metric.update(part, real=whether)
    return metric


def streamed(real, generated, batch=7):
    """From sums, without an interval."""
    return fed(real, generated, batch, interval=False).compute().value


@pytest.mark.parametrize("shape", SHAPES)
def test_equals_torchmetrics_and_scipy(normal, shape):
    m, n, width = shape
    real, generated = normal(0, m, width), normal(1, n, width, mean=0.5, scale=1.3)
    ours = fid(real, generated).value
    # Both references take roots of rounding errors where a covariance is singular: about
    # width x sqrt(2e-16) = 6e-7, against distances above 1.
    assert ours == pytest.approx(theirs(real, generated), rel=1e-6)
    assert ours == pytest.approx(formula(real, generated), rel=1e-6)
    assert ours == pytest.approx(distance(Gaussian.of(real), Gaussian.of(generated)), rel=1e-9)
    assert ours == pytest.approx(streamed(real, generated), rel=1e-9)
    assert ours == pytest.approx(fed(real, generated, 7, interval=True).compute().value, rel=1e-9)


@pytest.mark.parametrize("batch", [1, 7, 30])
def test_without_an_interval_memory_does_not_grow_with_images(normal, batch):
    """States hold (D + 1)^2 sums and at most max(D, batch) features a side, of any number."""
    width = 20
    for n in (200, 2000):
        metric = fed(normal(0, n, width), normal(1, n, width, mean=0.3), batch, interval=False)
        for rows in (metric.real, metric.generated):
            assert sum(map(len, rows)) <= max(width, batch)
        for moments in (metric.real_moments, metric.generated_moments):
            assert sum(part.numel() for part in moments) == (width + 1) ** 2
        expected = fid(normal(0, n, width), normal(1, n, width, mean=0.3))
        # Sums of n products of float64, which the distance sees the difference of.
        assert metric.compute().value == pytest.approx(expected.value, rel=1e-9)
        assert metric.compute().low is None


def test_a_batch_of_moments_may_hold_what_is_not_a_number(normal):
    real, generated = normal(0, 100), normal(1, 100)
    generated[50, 2] = torch.inf
    found = fed(real, generated, 7, interval=False).compute()
    assert found == Estimate(None, note="features are not finite")


def test_moments_of_several_processes_are_added(normal):
    """One has kept its few features, the other has summed its many."""
    real, generated = normal(0, 103), normal(1, 90, mean=0.4)
    few = fed(real[:3], generated[:5], 2, interval=False)
    many = fed(real[3:], generated[5:], 7, interval=False)

    def gathered(tensor, group=None):
        for side in ("real", "generated", "real_moments", "generated_moments"):
            if tensor is sent[side]:
                return [tensor, received[side]]
        raise AssertionError

    names = ("real", "generated", "real_moments", "generated_moments")
    sent, received = ({n: torch.cat(getattr(m, n)) for n in names} for m in (many, few))
    for name in names:
        setattr(many, name, [sent[name]])
    many.dist_sync_fn, many.distributed_available_fn = gathered, lambda: True
    expected = fid(real, generated).value
    assert many.compute().value == pytest.approx(expected, rel=1e-9)


def test_the_low_rank_path_equals_the_dense_one(normal):
    real, generated = normal(0, 30, 50), normal(1, 20, 50, mean=0.1)
    dense = [Gaussian(g.mean, full=g.covariance) for g in map(Gaussian.of, (real, generated))]
    low = distance(Gaussian.of(real), Gaussian.of(generated))
    assert low == pytest.approx(distance(*dense), rel=1e-9)
    assert low == pytest.approx(distance(dense[0], Gaussian.of(generated)), rel=1e-9)
    assert low == pytest.approx(distance(Gaussian.of(real), dense[1]), rel=1e-9)


def test_a_reference_of_identical_images_has_no_spread(normal):
    """Then the distance is |m_r - m_g|^2 + tr C_g, whatever path it takes."""
    generated = normal(1, 30)
    for n in (2, 8, 20):
        exact = float((generated.mean(0) - 0.7).square().sum() + generated.var(0).sum())
        real = torch.full((n, 8), 0.7, dtype=torch.float64)
        assert distance(Gaussian.of(real), Gaussian.of(generated)) == pytest.approx(exact, rel=1e-9)
        # From sums the variance is a difference of numbers near n / 2, so up to n x 2e-16 is left
        # of it in each of 8 dimensions, and the distance sees its root.
        slack = 8 * (n * 2.2e-16) ** 0.5
        assert streamed(real, generated) == pytest.approx(exact, abs=4 * slack)


def test_equals_the_closed_form_of_gaussians(normal):
    """Commuting covariances: |m_r - m_g|^2 + sum (s_r - s_g)^2."""
    s, t = torch.arange(1, 6).double(), torch.tensor([2.0, 2, 1, 5, 3]).double()
    means = normal(0, 2, 5)
    real = Gaussian(means[0], full=torch.diag(s**2))
    generated = Gaussian(means[1], full=torch.diag(t**2))
    exact = float((means[0] - means[1]).square().sum() + (s - t).square().sum())
    assert distance(real, generated) == pytest.approx(exact, rel=1e-12)


def test_a_dead_feature_changes_nothing(normal):
    real, generated = normal(0, 100), normal(1, 80, mean=0.3)
    dead = [torch.cat([side, torch.full((len(side), 2), 4.0)], 1) for side in (real, generated)]
    assert fid(*dead).value == pytest.approx(fid(real, generated).value, rel=1e-9)
    assert streamed(*dead) == pytest.approx(fid(real, generated).value, rel=1e-9)


@pytest.mark.parametrize(("n", "width"), [(200, 6), (30, 40)])
def test_the_interval_is_that_of_repetition(normal, n, width):
    """The mean squared error over repetitions against the variance that was seen."""
    real = normal("real", 200, width)
    answers = [fid(real, normal(i, n, width, mean=0.2, scale=1.1)) for i in range(300)]
    values = torch.tensor([a.value for a in answers], dtype=torch.float64)
    reach = torch.tensor([a.high - a.value for a in answers], dtype=torch.float64)
    covered = ((values - values.mean()).abs() <= reach).double().mean()
    # 95% within 4 standard errors of 300 repetitions; the infinitesimal jackknife is conservative.
    assert covered >= 0.95 - 4 * (0.95 * 0.05 / 300) ** 0.5
    assert reach.mean() / 1.96 < 1.35 * values.std()


def test_infinity_takes_off_the_bias(normal):
    """Distributions one apart in every mean: |m|^2 = 8 x 0.01; the bias at n = 200 is larger."""
    answers = [fid_infinity(normal(i, 200), normal(-1 - i, 200, mean=0.1)) for i in range(60)]
    values = torch.tensor([a.value for a in answers])
    assert abs(values.mean() - 0.08) < 4 * values.std() / 60**0.5
    biased = torch.tensor([fid(normal(i, 200), normal(-1 - i, 200)).value for i in range(20)])
    assert biased.min() > 0.08
    covered = sum(a.low <= 0.08 <= a.high for a in answers)
    assert covered / 60 >= 0.95 - 4 * (0.95 * 0.05 / 60) ** 0.5
