"""Filter: marks every sample when it is drawn, and removes images that bear the mark.

The remedy for the owner of a generator. It has three costs, all of which are measured: the mark
changes the images, it can be lost where images are distorted, and some real images are detected.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torchmetrics.functional.image import (
    peak_signal_noise_ratio,
    structural_similarity_index_measure,
)

from imgcollapse.core.errors import UserError
from imgcollapse.core.estimate import Estimate, t_interval, undefined, wilson_interval
from imgcollapse.core.images import Images
from imgcollapse.core.lineage_images import Selection
from imgcollapse.core.seeds import Seed
from imgcollapse.curation.base import Filter, FilterInput, FilterMetric, thin
from imgcollapse.curation.watermark.attacks import ATTACKS
from imgcollapse.curation.watermark.spread_transform import Array, SpreadTransformMark

Measured = tuple[str, Estimate, int]
MAX_IMAGES = 1000
"""Most images that a metric is measured on."""
SSIM_WINDOW = 11
UNUSED_KEYS = 199
"""Keys that marked nothing; the same images are scored with them as the null distribution."""


class Watermark(Filter):
    """Marks samples with a key, and removes images in which the mark is detected."""

    filters_real: ClassVar[bool] = True
    leaves_gaps: ClassVar[bool] = True
    shown_metrics: ClassVar[tuple[FilterMetric, ...]] = (
        FilterMetric("watermark_tpr", "marked samples found", "percent"),
        FilterMetric("watermark_fpr", "real images found", "percent"),
        FilterMetric("watermark_psnr", "PSNR, dB", ".1f"),
        FilterMetric("watermark_radioactivity", "found before marking", "percent"),
        FilterMetric("watermark_radioactivity_p", "p of its key", ".2g"),
    )
    kind: Literal["watermark"] = "watermark"
    key: Annotated[int, Field(ge=0)] | str = 0  # needed to detect the mark, or to remove it
    psnr: Annotated[float, Field(ge=20, le=60)] = 35.0  # of a marked image at least, in dB
    fpr: Annotated[float, Field(gt=0, lt=1)] = 0.01  # share of unmarked images that are detected
    weight: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Probability that a detected image is kept all the same; 1 only marks."""
    search: Annotated[int, Field(ge=0, le=8)] = 2
    """Largest shift in pixels that detection searches; 0 searches no shifts or blurs."""

    def mark(self, samples: Images, seed: Seed) -> Images:
        """Mark all samples; a UserError if the images are too small."""
        return Images(self._key_mark(samples).embed(samples.pixels), samples.labels)

    def keep(self, inputs: FilterInput, seed: Seed) -> Selection:
        """Keep images without the mark, and each marked one with probability `weight`."""
        pixels = inputs.images.pixels
        found = torch.from_numpy(self._key_mark(inputs.images).detect(pixels, self.fpr)[0])
        return inputs.select(thin(found, self.weight, seed))

    def null_selection(self, generation: int, n: int, seed: Seed) -> Tensor:
        """Detect every sample, and real images with probability `fpr`."""
        found = torch.ones(n, dtype=torch.bool)
        if generation == 0:
            found = torch.rand(n, generator=(seed / "found").torch()) < self.fpr
        return thin(found, self.weight, seed)

    def metrics(
        self, unmarked: Images, samples: Images, real: Images, seed: Seed
    ) -> list[Measured]:
        """Measure detection, visibility, and whether models learn the mark.

        watermark_tpr, and watermark_tpr_<attack> after each distortion of `ATTACKS`; watermark_fpr
        on real images; watermark_psnr in dB and watermark_ssim, means over images; and
        `radioactivity` of the model's output before it was marked.
        """
        if not len(samples):
            return []
        unmarked, samples, real = unmarked[:MAX_IMAGES], samples[:MAX_IMAGES], real[:MAX_IMAGES]
        mark = self._key_mark(samples)
        rows = [self._share("tpr", mark, samples.pixels), self._share("fpr", mark, real.pixels)]
        for name, attack in ATTACKS.items():
            try:
                pixels = attack(samples.pixels, seed / name)
                rows.append(self._share(f"tpr_{name}", mark, pixels))
            except UserError as error:
                rows.append((f"watermark_tpr_{name}", undefined(str(error)), 0))
        rows += _visibility(unmarked.pixels.float(), samples.pixels.float())
        return rows + radioactivity(mark, unmarked.pixels, self.fpr, seed / "radioactivity")

    def _key_mark(self, images: Images) -> SpreadTransformMark:
        return SpreadTransformMark.of(self.key, images.shape, self.psnr, self.search)

    def _share(self, name: str, mark: SpreadTransformMark, pixels: Tensor) -> Measured:
        n, found = len(pixels), int(mark.detect(pixels, self.fpr).sum())
        return f"watermark_{name}", wilson_interval(found, n) if n else undefined("no images"), n


def radioactivity(
    mark: SpreadTransformMark, pixels: Tensor, fpr: float, seed: Seed
) -> list[Measured]:
    """Measure how much of the mark a model has learned, from its output before marking.

    Sander et al. 2024, arXiv:2402.14904. Images of one model are alike, and so are their scores
    under one key: a share detected above the false-positive rate, or a mean statistic above 0
    (`_z`, in standard deviations of an unmarked image), does not show that the model learned the
    key. So both have a floor, mean and central 95% over unused keys, and the p-value is the rank of
    the key's mean score among theirs, which is exact.
    """
    n, unused = len(pixels), mark.unused_dithers(UNUSED_KEYS, seed)
    shares = mark.detect(pixels, fpr, unused).mean(axis=1)
    scores = mark.statistic(pixels)[0]
    null = mark.statistic(pixels, unused).mean(axis=1)
    error = float(scores.std(ddof=1) / n**0.5) if n > 1 else 0.0
    rank = (1 + int((null >= scores.mean()).sum())) / (UNUSED_KEYS + 1)
    rows = {
        "": wilson_interval(int(mark.detect(pixels, fpr).sum()), n),
        "_floor": _floor(shares),
        "_z": t_interval(float(scores.mean()), error, n - 1),
        "_z_floor": _floor(null),
        "_p": Estimate(rank),
    }
    return [(f"watermark_radioactivity{name}", value, n) for name, value in rows.items()]


def _floor(over_keys: Array) -> Estimate:
    low, high = np.quantile(over_keys, [0.025, 0.975]).tolist()
    return Estimate(float(over_keys.mean()), low, high)


def _visibility(before: Tensor, after: Tensor) -> Iterator[Measured]:
    changed = (before != after).flatten(1).any(1)
    if not changed.any():
        # Copies of marked images are marked already.
        for name in ("psnr", "ssim"):
            yield f"watermark_{name}", undefined("marking changed no image"), 0
        return
    before, after = before[changed], after[changed]
    each: Any = {"data_range": 255.0, "reduction": "none"}
    psnr = peak_signal_noise_ratio(after, before, dim=(1, 2, 3), **each)
    yield "watermark_psnr", _mean(psnr), len(after)
    if min(after.shape[2:]) <= SSIM_WINDOW // 2:
        yield "watermark_ssim", undefined(f"needs more than {SSIM_WINDOW // 2} pixels a side"), 0
        return
    ssim: Any = structural_similarity_index_measure(after, before, kernel_size=SSIM_WINDOW, **each)
    yield "watermark_ssim", _mean(ssim), len(after)


def _mean(values: Tensor) -> Estimate:
    n = len(values)
    error = float(values.double().std() / n**0.5) if n > 1 else 0.0
    return t_interval(float(values.double().mean()), error, n - 1)
