"""The census on real images: known mixtures are found again, and mush is no class.

The images here were neither trained on nor calibrated with. A mixture's truth is the distribution
it is drawn from, so that the interval has the luck of the draw to cover too.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from contexts import run_context
from scipy.stats import beta
from torchvision.transforms.functional import gaussian_blur

from imgcollapse.census import HeldOut, prevalence
from imgcollapse.core import device
from imgcollapse.core.images import UNKNOWN, Images
from imgcollapse.core.seeds import Seed
from imgcollapse.data import Folder, PaperDogs, TorchvisionSet
from imgcollapse.generators import VAE
from imgcollapse.oracle import CNN, FrozenOracle

CPU = device.choose_device("cpu", "auto")
MIXTURES = 200


@dataclass
class Bench:
    """A trained oracle and images it has not seen, with its answers to them."""

    oracle: FrozenOracle
    images: Images
    counted: torch.Tensor
    probabilities: torch.Tensor

    @property
    def held_out(self):
        record = self.oracle.held_out
        return HeldOut(self.oracle.labels, record.counted, record.probabilities)


def bench(pool, learn, calibrate, rest, **settings: Any):
    """Deal out each class's images: to learn from, to calibrate with, to test on."""
    stocks = [pool.train] if pool.test is None else [pool.train, pool.test]
    labels = torch.cat([torch.as_tensor(stock.labels) for stock in stocks])
    offsets = [0, len(stocks[0].labels)]
    dealt: list[list[torch.Tensor]] = [[], [], []]
    for k in range(len(pool.classes)):
        rows = (labels == k).nonzero().flatten()
        rows = rows[torch.randperm(len(rows), generator=Seed(("deal", k)).torch())]
        parts = rows[: learn + calibrate + rest].split([learn, calibrate, rest][: 3 if rest else 2])
        for pile, part in zip(dealt, parts, strict=False):
            pile.append(part)

    def images(piles):
        rows = torch.cat(piles).sort().values
        here = [rows[rows < offsets[1]], rows[rows >= offsets[1]] - offsets[1]]
        pixels = [stock.read(r) for stock, r in zip(stocks, here, strict=False) if len(r)]
        return Images(torch.cat(pixels), labels[rows].short())

    learned, held_out, unseen = map(images, dealt)
    oracle = CNN(**settings).fit(
        learned,
        held_out,
        run_context(Seed(("real",)), shape=learned.shape, classes=len(pool.classes)),
    )
    answers = oracle.predict(unseen.pixels)
    return Bench(oracle, unseen, answers.counted, answers.probabilities)


@pytest.fixture(scope="module")
def dogs():
    return bench(PaperDogs(size=16, variety=0.5).load(), 300, 500, 2500, width=16, steps=300)


@pytest.fixture(scope="module")
def digits(shared_data):
    pool = TorchvisionSet(name="MNIST", root=shared_data).load()
    return bench(pool, 2000, 500, 3800, width=16, steps=600)


@pytest.fixture(scope="module")
def photographs(shared_data):
    pool = Folder(path=shared_data / "cifar10-jpg.zip").load()
    return bench(pool, 3500, 500, 2000, width=32, steps=2500, flip=True)


def mixtures(bench, n):
    """Random long-tailed mixtures with one to five classes absent: shares, counts, answers."""
    rng = Seed(("mixtures", n)).numpy()
    labels, classes = bench.images.labels.numpy(), bench.probabilities.shape[1]
    piles = [np.flatnonzero(labels == k) for k in range(classes)]
    for _ in range(MIXTURES):
        shares = 10.0 ** (-rng.uniform(0.5, 3) * np.arange(classes) / (classes - 1))
        shares = rng.permutation(shares)
        shares[rng.choice(classes, rng.integers(1, min(6, classes - 1)), replace=False)] = 0
        shares /= shares.sum()
        counts = rng.multinomial(n, shares)
        rows = np.concatenate(
            [
                rng.choice(pile, m, replace=m > len(pile))
                for pile, m in zip(piles, counts, strict=True)
            ]
        )
        kept = torch.from_numpy(rows)
        kept = kept[bench.counted[kept] != UNKNOWN]
        yield shares, counts, bench.probabilities[kept], bench.counted[kept]


def exact_interval(counts, n):
    """Clopper & Pearson's, of a perfect oracle's counts."""
    low = np.where(counts > 0, beta.ppf(0.025, np.maximum(counts, 1), n - counts + 1), 0)
    high = np.where(counts < n, beta.ppf(0.975, counts + 1, np.maximum(n - counts, 1)), 1)
    return low, high


def check_mixtures(bench, n, widest=None):
    present, absent, below, errors, raw_errors, width, exact = [], [], [], [], [], 0.0, 0.0
    for shares, counts, probabilities, counted in mixtures(bench, n):
        found = prevalence(probabilities, counted, bench.held_out)
        inside = (found.low <= shares + 1e-12) & (shares <= found.high + 1e-12)
        present += inside[shares > 0].tolist()
        absent += inside[shares == 0].tolist()
        below += (found.frequency < found.detection_limit)[shares == 0].tolist()
        raw = np.bincount(counted.numpy(), minlength=len(shares)) / len(counted)
        errors += (found.frequency - shares).tolist()
        raw_errors += (raw - shares).tolist()
        low, high = exact_interval(counts, n)
        width, exact = width + (found.high - found.low).sum(), exact + (high - low).sum()
    assert 0.92 <= np.mean(present) <= 0.98, np.mean(present)
    assert np.mean(absent) >= 0.92, np.mean(absent)
    assert np.mean(below) >= 0.95, np.mean(below)
    assert np.square(errors).mean() < np.square(raw_errors).mean(), "the raw count is better"
    if widest:
        assert width / exact <= widest, width / exact


@pytest.mark.parametrize("n", [1000, 5000])
def test_mixtures_of_paper_dogs_are_found_again(dogs, n):
    check_mixtures(dogs, n)


@pytest.mark.parametrize("n", [1000, 5000])
def test_mixtures_of_digits_are_found_again(digits, n):
    check_mixtures(digits, n, widest=1.5)


@pytest.mark.slow
@pytest.mark.parametrize("n", [1000, 5000])
def test_mixtures_of_photographs_are_found_again(photographs, n):
    check_mixtures(photographs, n)


def test_a_class_at_half_a_percent_is_found_to_a_fifth_of_a_point(digits):
    rng, labels, n = Seed(("rare",)).numpy(), digits.images.labels.numpy(), 5000
    errors = []
    for trial in range(50):
        shares = np.full(10, 0.995 / 9)
        shares[rare := trial % 10] = 0.005
        counts = rng.multinomial(n, shares)
        rows = np.concatenate(
            [
                rng.choice(np.flatnonzero(labels == k), m, replace=False)
                for k, m in enumerate(counts)
            ]
        )
        kept = torch.from_numpy(rows)
        kept = kept[digits.counted[kept] != UNKNOWN]
        found = prevalence(digits.probabilities[kept], digits.counted[kept], digits.held_out)
        errors.append(found.frequency[rare] - 0.005)
    assert np.square(errors).mean() ** 0.5 <= 0.002


def mush_of(bench, others):
    """Images that are no image of any class, as one would meet them."""
    pixels, n = bench.images.pixels[::7][:300], 300
    channels, height, width = bench.images.shape
    draw = Seed(("mush",)).torch()
    grey = torch.randint(0, 256, (n, channels, 1, 1), generator=draw)
    sigma = height / 8
    edge = int(4 * sigma) // 2 * 2 + 1
    yield "noise", torch.randint(0, 256, (n, channels, height, width), generator=draw).byte()
    yield "constant", grey.expand(-1, -1, height, width).byte()
    yield "the mean image", bench.images.pixels.float().mean(0, keepdim=True).round().byte()
    yield "strongly blurred", gaussian_blur(pixels, [edge, edge], [sigma, sigma])
    for name, images in others.items():
        shown = images.float()
        shown = shown.mean(1, keepdim=True) if channels == 1 else shown.expand(-1, 3, -1, -1)
        shown = F.interpolate(shown, (height, width), mode="bilinear", antialias=True)
        yield name, shown.round().clamp(0, 255).byte()


def check_mush(bench, others):
    false_rejects = (bench.counted == UNKNOWN).double().mean()
    assert false_rejects <= 0.05, false_rejects
    for name, pixels in mush_of(bench, others):
        unrecognised = (bench.oracle.predict(pixels).counted == UNKNOWN).double().mean()
        assert unrecognised >= 0.95, (name, float(unrecognised))


def others(shared_data):
    """Three hundred photographs of dogs, and three hundred of CIFAR-10."""
    folders = {"dogs": "stanford-dogs-12x64px.zip", "CIFAR-10": "cifar10-jpg.zip"}
    pools = {name: Folder(path=shared_data / zipped).load() for name, zipped in folders.items()}
    rows = {name: torch.arange(0, 300 * 7, 7) for name in pools}
    return {name: pool.train.read(rows[name]) for name, pool in pools.items()}


def test_mush_is_no_paper_dog(dogs):
    check_mush(dogs, {})


def test_mush_is_no_digit(digits, shared_data):
    check_mush(digits, others(shared_data))


@pytest.mark.slow
def test_mush_is_no_photograph(photographs, shared_data):
    mnist = TorchvisionSet(name="MNIST", root=shared_data).load()
    check_mush(photographs, {"MNIST": mnist.train.read(torch.arange(300))})


def test_a_vae_that_fell_to_mush_has_no_class(digits):
    """A plain count says that one class took over; it is mush (a prototype's failure)."""
    long_tailed = torch.cat(
        [(digits.images.labels == k).nonzero().flatten()[: int(300 * 0.72**k)] for k in range(10)]
    )
    images = digits.images[long_tailed]
    for generation in range(5):
        seed = Seed(("over-recursed", generation))
        model = VAE(epochs=12, width=32).fit(images, run_context(seed / "fit", classes=10))
        images = model.sample(torch.zeros(len(images)), run_context(seed / "sample"))
    answers = digits.oracle.predict(images.pixels)
    named = answers.probabilities.argmax(1).bincount(minlength=10) / len(images)
    assert named.max() > 0.5, "a plain count says that a class took over"
    assert (answers.counted == UNKNOWN).double().mean() >= 0.95
