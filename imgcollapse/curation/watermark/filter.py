"""Every sample is marked as it leaves its model; what bears the mark stays out of the pool.

The remedy of those who own the generator. It has three prices, and findings show all of them: the
mark changes the images that do get learned from, it is lost where images were changed on their way,
and some real images are taken for marked ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

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
from imgcollapse.curation.base import Filter, FilterInput
from imgcollapse.curation.thinning import thin
from imgcollapse.curation.watermark.attacks import ATTACKS
from imgcollapse.curation.watermark.radioactivity import radioactivity
from imgcollapse.curation.watermark.spread_transform import SpreadTransformMark

Said = tuple[str, Estimate, int]
MOST = 1000
"""Images that each finding is over at most."""
SSIM_WINDOW = 11


class Watermark(Filter):
    """Marks samples with a key, finds the mark again, and takes out what bears it.

    Attributes:
        key: whoever has it can find the mark.
        psnr: peak signal-to-noise ratio, in dB, that no marked image falls below.
        fpr: the share of unmarked images that are taken for marked ones.
        weight: of what is found: 0 removes it, 0.5 keeps about half, by lot, 1 only marks.
        search: pixels by which the mark may have been shifted; 0 looks at images as they are, and
            not for blurred ones either.
    """

    filters_real: ClassVar[bool] = True
    leaves_gaps: ClassVar[bool] = True
    kind: Literal["watermark"] = "watermark"
    key: Annotated[int, Field(ge=0)] | str = 0
    psnr: Annotated[float, Field(ge=20, le=60)] = 35.0
    fpr: Annotated[float, Field(gt=0, lt=1)] = 0.01
    weight: Annotated[float, Field(ge=0, le=1)] = 0.0
    search: Annotated[int, Field(ge=0, le=8)] = 2

    def mark(self, samples: Images, seed: Seed) -> Images:
        """All samples, marked.

        Raises:
            UserError: they are too small.
        """
        return Images(self._mark(samples).embed(samples.pixels), samples.labels)

    def keep(self, seen: FilterInput, seed: Seed) -> Selection:
        """What bears no mark, and of the rest a share of `weight`, drawn one by one."""
        found = torch.from_numpy(self._mark(seen.images).found(seen.images.pixels, self.fpr)[0])
        return seen.select(thin(found, self.weight, seed))

    def null_selection(self, generation: int, n: int, seed: Seed) -> Tensor:
        """As if every sample were found, and of real images a share of `fpr`."""
        found = torch.ones(n, dtype=torch.bool)
        if generation == 0:
            found = torch.rand(n, generator=(seed / "found").torch()) < self.fpr
        return thin(found, self.weight, seed)

    def metrics(self, unmarked: Images, samples: Images, real: Images, seed: Seed) -> list[Said]:
        """How sure the mark is, how visible, and whether models learn it.

        watermark_tpr, and watermark_tpr_<attack> after each distortion of `ATTACKS`; watermark_fpr
        on real images; watermark_psnr in dB and watermark_ssim, means over images; and what
        `radioactivity` says of the model's output before it was marked.
        """
        if not len(samples):
            return []
        unmarked, samples, real = unmarked[:MOST], samples[:MOST], real[:MOST]
        mark = self._mark(samples)
        said = [self._share("tpr", mark, samples.pixels), self._share("fpr", mark, real.pixels)]
        for name, attack in ATTACKS.items():
            try:
                pixels = attack(samples.pixels, seed / name)
                said.append(self._share(f"tpr_{name}", mark, pixels))
            except UserError as error:
                said.append((f"watermark_tpr_{name}", undefined(str(error)), 0))
        said += _visibility(unmarked.pixels.float(), samples.pixels.float())
        return said + radioactivity(mark, unmarked.pixels, self.fpr, seed / "radioactivity")

    def _mark(self, images: Images) -> SpreadTransformMark:
        return SpreadTransformMark.of(self.key, images.shape, self.psnr, self.search)

    def _share(self, name: str, mark: SpreadTransformMark, pixels: Tensor) -> Said:
        n = len(pixels)
        value = (
            wilson_interval(int(mark.found(pixels, self.fpr).sum()), n)
            if n
            else undefined("no images")
        )
        return f"watermark_{name}", value, n


def _visibility(before: Tensor, after: Tensor) -> Iterator[Said]:
    changed = (before != after).flatten(1).any(1)
    if not changed.any():
        # A copy of a marked image is marked already.
        for name in ("psnr", "ssim"):
            yield f"watermark_{name}", undefined("marking changed no image"), 0
        return
    before, after = before[changed], after[changed]
    yield (
        "watermark_psnr",
        _mean(
            peak_signal_noise_ratio(
                after, before, data_range=255.0, dim=(1, 2, 3), reduction="none"
            )
        ),
        len(after),
    )
    if min(after.shape[2:]) <= SSIM_WINDOW // 2:
        yield "watermark_ssim", undefined(f"needs more than {SSIM_WINDOW // 2} pixels a side"), 0
        return
    alike = structural_similarity_index_measure(
        after, before, data_range=255.0, kernel_size=SSIM_WINDOW, reduction="none"
    )
    assert isinstance(alike, Tensor)
    yield "watermark_ssim", _mean(alike), len(after)


def _mean(of_images: Tensor) -> Estimate:
    n = len(of_images)
    error = float(of_images.double().std() / n**0.5) if n > 1 else 0.0
    return t_interval(float(of_images.double().mean()), error, n - 1)
