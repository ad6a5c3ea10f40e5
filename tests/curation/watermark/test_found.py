"""The watermark on MNIST, CIFAR-10 and photographs of dogs: found when there, and only then."""

from __future__ import annotations

from functools import cache
from zipfile import ZipFile

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from scipy.stats import binom

from imgcollapse.core.seeds import Seed
from imgcollapse.curation.watermark.attacks import ATTACKS
from imgcollapse.curation.watermark.spread_transform import SpreadTransformMark
from imgcollapse.data import TorchvisionSet

SEED = Seed(("real",))
FPR = 0.01
ARCHIVES = {"CIFAR-10": "cifar10-jpg.zip", "dogs": "stanford-dogs-12x64px.zip"}


@cache
def everything(name, root, most):
    """Some images of a set; its archive is read here, for a source would first look at them all."""
    if name == "MNIST":
        stock = TorchvisionSet(name="MNIST", root=root).load().train
        return stock.read(chosen(len(stock.labels), name)[:most])
    with ZipFile(root / ARCHIVES[name]) as archive:
        names = sorted(n for n in archive.namelist() if n.endswith((".jpg", ".png")))
        rows = chosen(len(names), name)[:most].tolist()
        shown = [np.array(Image.open(archive.open(names[row])).convert("RGB")) for row in rows]
    return torch.from_numpy(np.stack(shown)).permute(0, 3, 1, 2).contiguous()


def chosen(n, name):
    return torch.randperm(n, generator=(SEED / name).torch())


def drawn(name, root, most, size=None):
    pixels = everything(name, root, max(most, 1200))[:most]
    if size is None:
        return pixels
    small = F.interpolate(pixels.float(), (size, size), mode="bilinear", antialias=True)
    return small.round().clamp(0, 255).byte()


def mark(pixels, key=0):
    return SpreadTransformMark.of(key, tuple(pixels.shape[1:]), 35.0, 2)


@pytest.mark.parametrize("name", ["MNIST", "CIFAR-10", "dogs"])
def test_marked_images_are_found_also_after_jpeg_and_never_with_another_key(name, shared_data):
    hosts = drawn(name, shared_data, 250)
    marked = mark(hosts).embed(hosts)
    error = (marked.double() - hosts.double()).square().mean((1, 2, 3))
    assert (10 * torch.log10(255**2 / error)).min() >= 35
    assert mark(hosts).detect(marked, FPR).mean() >= 0.95
    assert mark(hosts).detect(ATTACKS["jpeg75"](marked, SEED), FPR).mean() >= 0.8
    assert mark(hosts, 1).detect(marked, FPR).sum() <= binom.ppf(0.975, len(hosts), FPR)


@pytest.mark.parametrize("name", ["MNIST", "CIFAR-10", "dogs"])
def test_one_unmarked_image_in_a_hundred_is_found(name, shared_data):
    pixels = drawn(name, shared_data, 1200)
    low, high = binom.interval(0.95, len(pixels), FPR)
    assert low <= mark(pixels).detect(pixels, FPR).sum() <= high


@pytest.mark.slow
@pytest.mark.parametrize("name", ["MNIST", "CIFAR-10", "dogs"])
@pytest.mark.parametrize("attack", ["crop2", "resize75", "resize150", "noise1"])
def test_marked_images_are_found_after_every_attack(name, attack, shared_data):
    hosts = drawn(name, shared_data, 1000)
    marked = ATTACKS[attack](mark(hosts).embed(hosts), SEED)
    assert mark(hosts).detect(marked, FPR).mean() >= 0.95


@pytest.mark.slow
@pytest.mark.parametrize("name", ["MNIST", "CIFAR-10"])
def test_at_16_pixels_the_mark_survives_all_but_being_made_smaller(name, shared_data):
    hosts = drawn(name, shared_data, 1000, size=16)
    marked = mark(hosts).embed(hosts)
    assert mark(hosts).detect(marked, FPR).mean() >= 0.99
    for attack in ("jpeg75", "crop2", "resize150", "noise1"):
        assert mark(hosts).detect(ATTACKS[attack](marked, SEED), FPR).mean() >= 0.9


@pytest.mark.slow
@pytest.mark.parametrize("name", ["MNIST", "CIFAR-10", "dogs"])
def test_over_many_images_and_keys_the_rate_is_one_per_cent(name, shared_data):
    pixels = drawn(name, shared_data, 10_000)
    found = [int(mark(pixels, key).detect(pixels, FPR).sum()) for key in range(20)]
    n = len(pixels)
    # Images are alike, so that under one key they are found a little more together than alone; the
    # price of the search is exact where looks are independent, and an upper bound where not.
    assert 0.75 * FPR <= sum(found) / (20 * n) <= 1.1 * FPR
    inside = [binom.ppf(0.025, n, FPR) <= k <= binom.ppf(0.975, n, FPR) for k in found]
    assert sum(inside) >= 12
