from __future__ import annotations

import math

import pytest
import torch
from contexts import run_context

from imgcollapse.core.device import Device
from imgcollapse.core.errors import UserError
from imgcollapse.core.images import Images, to_float, unlabeled
from imgcollapse.core.seeds import Seed
from imgcollapse.generators import FittedMixture, Gaussian, Mixture

from .conftest import Watcher, two_colours

MANY = torch.zeros(20_000, dtype=torch.int16)


def correlated(n: int, seed: Seed) -> Images:
    """Images of 2x2 pixels about 128 with a covariance of full rank, far from the clipping."""
    mixing = torch.tensor([[20.0, 5, 0, 0], [0, 15, 9, 0], [0, 0, 10, 3], [1, 0, 0, 12]])
    pixels = 128 + torch.randn(n, 4, generator=seed.torch()) @ mixing
    return unlabeled(pixels.round().clamp(0, 255).to(torch.uint8).view(n, 1, 2, 2))


def points(images: Images) -> torch.Tensor:
    return to_float(images.pixels).flatten(1).double()


def test_fits_the_mean_and_the_unbiased_covariance(
    cpu: Device, seed: Seed, reporter: Watcher
) -> None:
    images = correlated(50, seed)
    model = Gaussian().fit(images, run_context(seed, progress=reporter, classes=1))
    torch.testing.assert_close(model.means[0], points(images).mean(0))
    covariance = model.factors[0].T @ model.factors[0]
    torch.testing.assert_close(covariance, points(images).T.cov())


@pytest.mark.parametrize("temperature", [1.0, 0.25])
def test_draws_have_the_covariance_times_lambda(
    temperature: float, cpu: Device, seed: Seed, reporter: Watcher
) -> None:
    images = correlated(400, seed)
    model = Gaussian(temperature=temperature).fit(
        images, run_context(seed / "fit", progress=reporter, classes=1)
    )
    drawn = points(model.sample(MANY, run_context(seed / "sample", progress=reporter)))
    # Rounding to whole grey levels adds the variance of a uniform of that width.
    expected = temperature * points(images).T.cov() + torch.eye(4) / 127.5**2 / 12
    variance = expected.diag()
    standard_error = ((expected.square() + variance[:, None] * variance) / len(MANY)).sqrt()
    # 10 covariances: four standard errors hold all of them but once in a thousand seeds.
    assert ((drawn.T.cov() - expected).abs() < 4 * standard_error).all()


def test_a_lineage_of_gaussians_wanders_and_narrows(
    cpu: Device, seed: Seed, reporter: Watcher
) -> None:
    """T2: Var(mean_k) = sigma^2 k/n, E[sigma_k^2] = sigma^2 and E[sigma_k] = a^k sigma."""
    n, k, lineages, sigma = 50, 8, 150, 12.0
    means, deviations = torch.empty(lineages), torch.empty(lineages)
    for lineage in range(lineages):
        here = seed / lineage
        first = 128 + sigma * torch.randn(n, generator=here.torch())
        images = unlabeled(first.round().to(torch.uint8).view(n, 1, 1, 1))
        for g in range(k):
            model = Gaussian().fit(
                images, run_context(here / g / "fit", progress=reporter, classes=1)
            )
            images = model.sample(
                torch.zeros(n), run_context(here / g / "sample", progress=reporter)
            )
        means[lineage] = (model.means.item() + 1) * 127.5
        deviations[lineage] = model.factors.item() * 127.5

    def agrees(values: torch.Tensor, expected: float) -> bool:
        return bool((values.mean() - expected).abs() < 3 * values.std() / lineages**0.5)

    # Each generation's rounding to grey levels adds 1/12 to the variance.
    variance = sigma**2 + k / 12
    a = math.exp(math.lgamma(n / 2) - math.lgamma((n - 1) / 2)) * math.sqrt(2 / (n - 1))
    assert agrees((means - 128).square(), sigma**2 * k / n)
    assert agrees(deviations.square(), variance)
    assert agrees(deviations, a**k * math.sqrt(variance))


def test_pca_keeps_the_leading_directions(cpu: Device, seed: Seed, reporter: Watcher) -> None:
    images = correlated(200, seed)
    model = Gaussian(pca=2).fit(images, run_context(seed, progress=reporter, classes=1))
    covariance = model.factors[0].T @ model.factors[0]
    kept = torch.linalg.eigvalsh(covariance)
    full = torch.linalg.eigvalsh(points(images).T.cov())
    torch.testing.assert_close(kept[2:], full[2:])
    torch.testing.assert_close(kept[:2], torch.zeros(2, dtype=torch.float64), atol=1e-12, rtol=0)


@pytest.mark.parametrize("generator", [Gaussian(), Mixture(components=3)], ids=lambda g: g.kind)
def test_a_collapsed_training_set_is_learned_without_a_word(
    generator: Gaussian | Mixture, cpu: Device, seed: Seed, reporter: Watcher
) -> None:
    grey = unlabeled(torch.full((20, 1, 4, 4), 90, dtype=torch.uint8))
    model = generator.fit(grey, run_context(seed / "fit", progress=reporter, classes=1))
    drawn = model.sample(MANY[:50], run_context(seed / "sample", progress=reporter)).pixels
    assert (drawn.int() - 90).abs().max() <= 1  # the mixture's ridge is an eighth of a grey level


def test_a_mixture_finds_two_clusters_and_their_shares(
    cpu: Device, seed: Seed, reporter: Watcher
) -> None:
    dark, light = two_colours(2).pixels.float()
    clean = torch.stack([dark] * 150 + [light] * 50)
    noise = 4 * torch.randn(clean.shape, generator=seed.torch())
    images = unlabeled((clean + noise).round().to(torch.uint8))
    model = Mixture(components=2).fit(
        images, run_context(seed / "fit", progress=reporter, classes=1)
    )
    torch.testing.assert_close(
        model.weights.sort().values, torch.tensor([0.25, 0.75], dtype=torch.float64)
    )
    drawn = (
        model.sample(MANY, run_context(seed / "sample", progress=reporter))
        .pixels.float()
        .mean((1, 2, 3))
    )
    share = float((drawn > 128).float().mean())
    assert abs(share - 0.25) < 3 * (0.25 * 0.75 / len(MANY)) ** 0.5
    assert ((drawn - 50).abs().minimum((drawn - 205).abs()) < 20).all()


def test_too_few_images_are_one_line(cpu: Device, seed: Seed, reporter: Watcher) -> None:
    with pytest.raises(UserError, match="at least 2 images"):
        Gaussian().fit(two_colours(1), run_context(seed, progress=reporter, classes=1))
    with pytest.raises(UserError, match="5 Gaussians need as many training images, and there are"):
        Mixture(components=5).fit(two_colours(4), run_context(seed, progress=reporter, classes=1))


def test_no_batch_boundary_shows(seed: Seed, reporter: Watcher) -> None:
    one, zero = torch.ones(1, dtype=torch.float64), torch.zeros(1, 1, dtype=torch.float64)
    flat = FittedMixture((1, 1, 1), 1.0, one, zero, zero[None])
    assert len(flat.sample(MANY[:5000], run_context(seed, progress=reporter))) == 5000
    assert [seen[1] for seen in reporter.seen] == [4096, 5000]
