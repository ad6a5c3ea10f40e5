"""Small patches as words (Sivic & Zisserman 2003, doi:10.1109/ICCV.2003.1238663).

The codebook is learned from the held-out reference, which no generator sees. Learned from the
training images, it would contain their rare patches, and fresh images of a faultless model
would seem to have lost words.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated

import torch
from pydantic import BaseModel, ConfigDict, Field, PositiveInt
from sklearn.cluster import MiniBatchKMeans
from threadpoolctl import threadpool_limits
from torch import Tensor

from imgcollapse.core.seeds import Seed

LEARNED_FROM = 20_000  # patches that a codebook is learned from at most
PATCHES_A_WORD = 10
"""Patches that a word stands for on average at least; of fewer images fewer words are learned."""

_BLOCK = 1 << 24


class Vocabulary(BaseModel):
    """Settings of the visual words."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    # Size of the codebook at most; ten patches are needed for each
    words: Annotated[int, Field(ge=1, le=4096)] = 256
    patch: PositiveInt = 4  # side of a patch in pixels; no larger than the image
    stride: PositiveInt = 2  # pixels from one patch to the next
    # Share of real occurrences that the rarest words, the tail, hold at most
    tail: Annotated[float, Field(gt=0, lt=1)] = 0.1

    def fit(self, pixels: Tensor, seed: Seed) -> Codebook:
        """Learn the words of uint8[M, C, H, W] held-out real images, M >= 1, by k-means on pixels.

        Centers are rounded to whole gray levels, so that the nearest one is found exactly.
        """
        side = min(self.patch, *pixels.shape[-2:])
        found = _patches(pixels, side, self.stride).flatten(0, 2)
        chosen = torch.randperm(len(found), generator=(seed / "patches").torch())[:LEARNED_FROM]
        patches, times = found[chosen].unique(dim=0, return_counts=True)
        words = min(self.words, max(1, len(found) // PATCHES_A_WORD), len(patches))
        state = int(seed / "k-means") % 2**32
        means = MiniBatchKMeans(words, max_iter=50, batch_size=2048, random_state=state)
        with threadpool_limits(1):  # several threads add up in any order
            means.fit(patches.double().numpy(), sample_weight=times.numpy())
        centres = torch.from_numpy(means.cluster_centers_).round().to(torch.uint8).unique(dim=0)
        centres = centres.unflatten(1, (pixels.shape[1], side, side))
        draft = Codebook(centres, torch.zeros(len(centres)).long(), self.stride, 0)
        occurrences = draft.write(pixels).flatten().bincount(minlength=len(centres))
        order = occurrences.argsort(descending=True, stable=True)
        order = order[occurrences[order] > 0]
        mass = occurrences[order].double().cumsum(0) / occurrences.sum()
        common = int((mass < 1 - self.tail).sum()) + 1
        return Codebook(centres[order], occurrences[order], self.stride, min(common, len(order)))


@dataclass(frozen=True)
class Codebook:
    """The words, from the commonest among held-out real images to the rarest."""

    patches: Tensor  # uint8[V, C, p, p]
    occurrences: Tensor  # int64[V], how often each occurs in the held-out real images
    stride: int  # pixels from one patch to the next
    common: int  # r, the number of words that are no part of the tail

    def __len__(self) -> int:
        return len(self.patches)

    @classmethod
    def of(cls, state: Mapping[str, Tensor]) -> Codebook:
        """The codebook whose `state` was saved."""
        numbers = int(state["stride"]), int(state["common"])
        return cls(state["patches"], state["occurrences"], *numbers)

    def state(self) -> dict[str, Tensor]:
        """Everything that is needed to restore it, as named tensors."""
        numbers = {"stride": torch.tensor(self.stride), "common": torch.tensor(self.common)}
        return {"patches": self.patches, "occurrences": self.occurrences, **numbers}

    @cached_property
    def identity(self) -> str:
        """Identity of the codebook, with a hash of its pixels."""
        digest = hashlib.sha256(self.patches.contiguous().numpy().data).hexdigest()[:12]
        return f"words {digest} {len(self)} of {self.patches.shape[-1]} px every {self.stride} px"

    def write(self, pixels: Tensor) -> Tensor:
        """Images as words: uint8[N, C, H, W] => int64[N, h, w], the nearest patch of each place.

        In units of 1/255 distances are whole numbers, so exact; of two as near, the commoner.
        """
        centres = self.patches.flatten(1)
        width = centres.shape[1]
        # |c|^2 - 2 x.c is at most 2 D 255^2, which float32 holds exactly below 2^24.
        exact = torch.float32 if 2 * width * 255**2 < 2**24 else torch.float64
        towards, size = -2 * centres.T.to(exact), centres.double().square().sum(1).to(exact)
        found = _patches(pixels, self.patches.shape[-1], self.stride)
        step = max(1, _BLOCK // (len(centres) + width))
        rows = found.flatten(0, 2).split(step)
        near = [torch.addmm(size, part.to(exact), towards).argmin(1) for part in rows]
        return torch.cat(near).view(found.shape[:3]) if len(pixels) else found[..., 0].long()


def _patches(pixels: Tensor, side: int, stride: int) -> Tensor:
    """uint8[N, C, H, W] => uint8[N, h, w, C side side]."""
    windows = pixels.unfold(2, side, stride).unfold(3, side, stride)
    return windows.permute(0, 2, 3, 1, 4, 5).flatten(3)
