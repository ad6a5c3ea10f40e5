"""T1 and T2: a VAE on MNIST and a Gaussian, each refitted to its own samples.

The program's Gaussian samples 8-bit images, and rounding to whole levels would add a twelfth of a
squared level to every variance. So a value is not one pixel but the coefficient of a pattern over
all pixels: an image is mid-gray plus sum_j v_j pattern_j, with orthonormal patterns. Rounding adds
1/12 to the variance of a coefficient, which is `SIGMA`^2: four parts in 100,000. The fitted mean
and deviation of every coefficient are read from the model itself, which has them in float64.
"""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import torch
from torch import Tensor

from imgcollapse.core.errors import UserError
from imgcollapse.core.images import UNKNOWN, Images, unlabeled
from imgcollapse.core.lineage_images import LineageImages, training_sets
from imgcollapse.core.seeds import Seed
from imgcollapse.data.torchvision_sets import TorchvisionSet
from imgcollapse.generators.base import Generator
from imgcollapse.theory import gaussian_mean_variance, gaussian_sigma, gaussian_tail_bound
from imgcollapse.tools.validate.laws import (
    Array,
    Curve,
    Law,
    LawContext,
    Measurement,
    Outcome,
    Plot,
    compare,
)
from imgcollapse.tools.validate.lineages import CPU, NO_RESERVE
from imgcollapse.training.context import RunContext

SIDE, PATTERNS = 16, 4
SIGMA = 48.0
"""Standard deviation of a coefficient, in gray levels: 6 a pixel, so that no pixel is clipped where
variances grow fivefold and means move as far."""
LEVELS = 127.5
"""Gray levels in a unit of the range [-1, 1] that generators work in."""


def _self_fitted(context: LawContext) -> Outcome:
    n, last = 100, 100
    means, sigmas = _chains(context, 1.0, n, last, 60)
    # A sample is its model's mean plus a draw, so its variance follows from mean and deviation.
    variances = (means**2 + sigmas**2).mean(axis=2)
    shrunk, above = sigmas.mean(axis=2), (sigmas > 1).mean(axis=2)
    k = np.arange(1, last + 1)
    theory = [gaussian_sigma(int(each), n) for each in k]
    grown = [gaussian_mean_variance(int(each), n) for each in k]
    bound = (0.0, gaussian_tail_bound(last, n, 1.0))
    measurements = [
        compare(f"variance of a sample, k = {t}, n = {n}", variances[:, t - 1], grown[t - 1])
        for t in (10, 30)  # later a few chains with large variances dominate the mean
    ]
    measurements += [
        compare(f"E[sigma_k], k = 10, n = {n}", shrunk[:, 9], theory[9]),
        compare(f"E[sigma_k], k = {last}, n = {n}", shrunk[:, -1], theory[-1], "0.777"),
        compare(f"Pr(sigma_k > sigma_0), k = {last}, n = {n}", above[:, -1], bound),
    ]
    x = slice(4, None, 5)
    sigma = Curve.of("E[sigma]", k[x], theory[x], shrunk[:, x])
    variance = Curve.of("1 + k/n", k[x], grown[x], variances[:, x])
    plots = [
        Plot("Deviation of the k-th model, of the first's", "generation", [sigma]),
        Plot("Variance of a sample of the k-th model", "generation", [variance]),
    ]
    return Outcome(measurements, plots)


def variance_steps(context: LawContext) -> Outcome:
    """The mean factor of a variance from one generation to the next, with and without bias."""
    n, last, measurements = 20, 10, []
    for bias in (1.0, 0.9):
        _, sigmas = _chains(context, bias, n, last, 160)
        factors = (sigmas[:, 1:] / sigmas[:, :-1]) ** 2
        name = f"Sigma_t / Sigma_(t-1), sampling bias {bias:g}, n = {n}"
        measurements.append(compare(name, factors.mean(axis=(1, 2)), bias))
    return Outcome(measurements)


def _chains(
    context: LawContext, bias: float, n: int, last: int, replicates: int
) -> tuple[Array, Array]:
    """Fitted means and deviations in units of the first sigma: float64[S, G, J] each."""
    generator = context.parts.gaussian(pca=PATTERNS, temperature=bias)
    run = partial(_chain, generator, n, last)
    means, sigmas = zip(*context.replicate(replicates, run, n, str(bias)), strict=True)
    return np.stack(means), np.stack(sigmas)


def patterns() -> Array:
    """Orthonormal cosines over the pixels, float64[J, D] (DCT-II, without its constant)."""
    pixels = SIDE * SIDE
    frequency = np.arange(1, PATTERNS + 1)[:, None]
    waves = np.cos(np.pi * frequency * (np.arange(pixels) + 0.5) / pixels)
    return waves * np.sqrt(2 / pixels)


def _chain(generator: Generator, n: int, last: int, seed: Seed) -> tuple[Array, Array]:
    """Means and deviations of every coefficient for models 1..last: float64[G, J] each."""
    waves = patterns()
    coefficients = seed.numpy().normal(0, SIGMA, (n, PATTERNS))
    levels = torch.from_numpy(LEVELS + coefficients @ waves).round().clamp(0, 255)
    images: Images = unlabeled(levels.to(torch.uint8).view(n, 1, SIDE, SIDE))
    asked = torch.full((n,), UNKNOWN, dtype=torch.int16)
    means, sigmas = [], []
    for k in range(1, last + 1):
        context = RunContext(seed / k / "fit", CPU, images.shape, 0)
        model = generator.fit(images, context)
        state: dict[str, Tensor] = model.state()
        means.append(waves @ state["means"][0].numpy() * LEVELS / SIGMA)
        factors = state["factors"][0].numpy() @ waves.T
        sigmas.append(np.sqrt((factors**2).sum(axis=0)) * LEVELS / SIGMA)
        images = model.sample(asked, context.with_seed(seed / k / "sample"))
    return np.array(means), np.array(sigmas)


GAUSSIAN = Law(
    "T2",
    "A Gaussian refitted to itself",
    "Shumailov et al. 2024: the variance of a sample of the k-th model is sigma^2 (1 + k/n). "
    "E[sigma_k] = a^k sigma_0, a = E[chi_{n-1}]/sqrt(n-1). Suresh et al. 2024: "
    "Pr(sigma_k > e) <= (sigma_0/e) exp(-k/(4n-1)). Alemohammad et al. 2023: with sampling "
    "bias lambda, E[Sigma_t | Sigma_{t-1}] = lambda Sigma_{t-1}.",
    (_self_fitted, variance_steps),
)


PUBLISHED = np.array([0.688, 0.603, 0.534, 0.483, 0.443])
SPREAD = np.array([0.011, 0.006, 0.012, 0.009, 0.018])
"""Mean and standard deviation over the five published runs, generations 0 to 4."""
RUNS = 5


def _mnist_vae(context: LawContext) -> Outcome:
    try:
        digits = TorchvisionSet(name="MNIST", root=context.data).load().train
    except UserError:
        return Outcome(
            skipped=f"{context.data} holds no MNIST; put it there (MNIST/raw/...), or name the "
            "folder that holds it: --data PATH"
        )
    chains = []
    for i in range(context.mnist.seeds):
        draw = (context.seed / "mnist" / i / "digits").torch()
        rows = torch.randperm(len(digits.labels), generator=draw)[: context.mnist.images]
        chains.append(_vae_chain(context, Images(digits.read(rows), digits.labels[rows]), i))
    return judge(np.array(chains), context.mnist.images)


def _vae_chain(context: LawContext, real: Images, number: int) -> list[float]:
    """sigma of published generations 0, 1, ...: one chain of VAEs.

    Published generation 0 is the first retrained model: model 2 here, whose original is model 1.
    """
    seed = context.seed / "mnist" / number
    generator = context.parts.vae(epochs=context.mnist.epochs, batch=context.mnist.batch)
    images, asked = LineageImages(real, NO_RESERVE), torch.full((len(real),), UNKNOWN).short()
    original, sigmas = None, []
    for g, seed_g, chosen in training_sets(
        context.parts.replace, images, lambda g: seed / g, last=len(PUBLISHED) + 1
    ):
        training = images.gather(chosen)
        run = RunContext(seed_g / "fit", context.device, training.shape, 0)
        model = generator.fit(training, run)
        original = original or model
        samples = model.sample(asked, run.with_seed(seed_g / "sample"))
        images.append(samples)
        if g > 1:
            sigmas.append(float(original.encode(samples.pixels).std(dim=0).mean()))
            context.log(f"T1: seed {number}, generation {g - 2}: sigma {sigmas[-1]:.3f}")
    return sigmas


def judge(sigmas: Array, images: int) -> Outcome:
    """Compares chains of sigma, float64[seeds, 5] over so many images, with the published ones.

    The factors of all seeds and steps are taken as independent replicates. They must agree with a
    factor that one of the published runs may have had: the outermost of five normal draws are 1.16
    standard deviations from their mean.
    """
    steps = len(PUBLISHED) - 1
    factor = float((PUBLISHED[-1] / PUBLISHED[0]) ** (1 / steps))
    relative = np.hypot(*(SPREAD / PUBLISHED)[[0, -1]]) / steps
    reach = 1.163 * factor * float(relative)
    factors = sigmas[:, 1:] / sigmas[:, :-1]
    mean = sigmas.mean(axis=0)
    slowest = float((mean[1:] / mean[:-1]).max())
    # A deviation of N normal draws has relative error 1/sqrt(2N), here in 20 dimensions.
    noise = slowest / math.sqrt(len(sigmas) * images * 20)
    within = "sigma's factor a generation, within the published runs' spread"
    falls = "largest factor of a step: sigma falls in each"
    measurements = [
        compare(within, factors.ravel(), (factor - reach, factor + reach), f"{factor:.3f}"),
        Measurement(falls, 0, 1, slowest, noise, images - 1),
    ]
    x = np.arange(len(PUBLISHED))
    spread = sigmas.std(axis=0, ddof=1) / math.sqrt(len(sigmas)) if len(sigmas) > 1 else 0 * mean
    curves = [
        Curve("here", x.astype(float), None, mean, spread),
        Curve("published", x.astype(float), None, PUBLISHED, SPREAD / math.sqrt(RUNS)),
    ]
    return Outcome(measurements, [Plot("Mean sigma of the latent means", "generation", curves)])


SHUMAILOV_VAE = Law(
    "T1",
    "A VAE on its own MNIST",
    "Shumailov et al., Nature 2024: mean over latent dimensions of the standard deviation of "
    "the original encoder's means, over generated images. Five published runs give .688 .603 "
    ".534 .483 .443, about x0.896 a generation. Levels depend on how long the VAEs learn; what "
    "is tested is the factor, which must lie within the published runs' spread, and the fall.",
    (_mnist_vae,),
    threads=None,
)
