"""T5 of the laws: what chance alone does, exactly."""

from __future__ import annotations

import torch
from contexts import run_context
from torch import Tensor

from imgcollapse.core.device import Device
from imgcollapse.core.images import Images
from imgcollapse.core.seeds import Seed
from imgcollapse.generators import Resample

from .conftest import Watcher


def pixels_of(labels: Tensor) -> Images:
    return Images(labels.to(torch.uint8).view(-1, 1, 1, 1), labels)


def next_generation(images: Images, seed: Seed, cpu: Device, reporter: Watcher) -> Images:
    model = Resample().fit(images, run_context(seed / "fit", progress=reporter))
    return model.sample(images.labels, run_context(seed / "sample", progress=reporter))


def test_a_label_travels_with_its_image(cpu: Device, seed: Seed, reporter: Watcher) -> None:
    drawn = next_generation(pixels_of(torch.arange(40, dtype=torch.int16)), seed, cpu, reporter)
    assert drawn.pixels.flatten().to(torch.int16).equal(drawn.labels)


def test_a_singleton_is_lost_with_probability_1_minus_1_over_n_to_the_n(
    cpu: Device, seed: Seed, reporter: Watcher
) -> None:
    n, trials = 12, 3000
    founders = pixels_of(torch.arange(n, dtype=torch.int16))
    lost = sum(
        not (next_generation(founders, seed / trial, cpu, reporter).labels == 0).any()
        for trial in range(trials)
    )
    expected = (1 - 1 / n) ** n
    standard_error = (expected * (1 - expected) / trials) ** 0.5
    assert abs(lost / trials - expected) < 3 * standard_error


def test_heterozygosity_of_200_lineages_falls_by_1_minus_1_over_n_a_generation(
    cpu: Device, seed: Seed, reporter: Watcher
) -> None:
    n, generations, lineages = 30, 20, 200
    start = torch.tensor([0] * 18 + [1] * 9 + [2] * 3, dtype=torch.int16)

    def heterozygosity(labels: Tensor) -> float:
        return float(1 - (labels.long().bincount() / len(labels)).square().sum())

    ends = []
    for lineage in range(lineages):
        images = pixels_of(start)
        for g in range(generations):
            images = next_generation(images, seed / lineage / g, cpu, reporter)
        ends.append(heterozygosity(images.labels))
    ends = torch.tensor(ends)
    expected = heterozygosity(start) * (1 - 1 / n) ** generations
    assert abs(ends.mean() - expected) < 3 * ends.std() / lineages**0.5
