"""A keyed mark that nobody sees: spread-transform dither modulation (Chen & Wornell 2001).

An image's luma is projected on m secret carriers, each a random sum of middle frequencies. Marking
moves every projection to the nearest point of a lattice whose offset, the dither, is secret too;
detection asks how near to that lattice the projections lie. The image itself does not disturb the
mark, as it does where a pattern is added, and unlike there it says nothing about what a detector
will find in unmarked images either: their projections lie anywhere between lattice points.

Chen & Wornell, doi:10.1109/18.923725.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.fft import dctn, idctn
from scipy.optimize import brentq
from torch import Tensor

from imgcollapse.core.errors import UserError
from imgcollapse.core.seeds import Seed
from imgcollapse.curation.watermark.null_distribution import exceeds

Array = NDArray[np.float64]
CARRIERS = 32
"""More make detection surer and the lattice finer, which makes it easier to disturb."""
FEWEST = 8
BAND = (0.1, 0.5)
"""Frequencies of the carriers over Nyquist's: lower ones show, JPEG takes higher ones."""
LOAD = 0.5
"""Share of the allowed squared error that the lattice asks for on average; clipping wants more."""
STEPS = 60
BLURS = (1.0, 1.75, 2.5, 3.25)
"""Gains exp(-b f^2), f over Nyquist's, that are undone in search of a resized image's mark."""
GAINS_END = 0.6
"""The frequency above which they grow no more: what lies there, resizing has taken."""
BATCH = 512


@dataclass(frozen=True)
class SpreadTransformMark:
    """One key's mark on images of one size.

    Attributes:
        carriers: float64[m, H, W], orthonormal, zero within `margin` of the border.
        dither: float64[m] in [0, 1), offsets of the lattice in steps.
        step: of the lattice, in gray levels.
        error: the mean squared error that no image exceeds, in squared gray levels.
        margin: pixels that may be cropped from any side, and the largest shift searched for.
        search: whether detection also looks for the mark shifted or blurred.
    """

    carriers: Array
    dither: Array
    step: float
    error: float
    margin: int
    search: bool

    @classmethod
    def of(
        cls, key: int | str, shape: tuple[int, int, int], psnr: float, margin: int
    ) -> SpreadTransformMark:
        """The mark of a key.

        The m dithers are evenly spaced, in keyed order and with a keyed offset: a flat image, all
        of whose phases are the same, then scores exactly 0 under every key.

        Args:
            key: whoever has it can find the mark, or remove it.
            shape: C, H, W.
            psnr: that every marked image keeps, in dB.
            margin: as above, but an eighth of the shorter side at most; 0 for no search.

        Raises:
            UserError: the images are too small.
        """
        _, height, width = shape
        rng = Seed(("watermark", key)).numpy()
        edge = min(margin, min(height, width) // 8)
        carriers = _carriers(height, width, edge, rng)
        m, error = len(carriers), 255**2 / 10 ** (psnr / 10)
        # The error of rounding to a lattice is uniform: step^2 / 12 for each carrier.
        step = float(np.sqrt(12 * LOAD * error * height * width / m))
        dither = (rng.permutation(m) + rng.random()) / m
        return cls(carriers, dither, step, error, edge, margin > 0)

    def embed(self, pixels: Tensor) -> Tensor:
        """Mark images: uint8[N, C, H, W] => the same.

        By turns each projection is moved to the lattice point next to where it is, pixels are
        clipped, and the change is cut down to the error that is allowed (projection onto convex
        sets): black backgrounds can only get brighter, and take other points than gray ones.
        """
        return torch.cat([self._embedded(part.numpy()) for part in pixels.split(BATCH)])

    def statistic(self, pixels: Tensor, dithers: Array | None = None) -> Array:
        """sqrt(2/m) sum_j cos(phase_j), unshifted, of uint8[N, C, H, W]: float64[K, N].

        Mean 0 and variance 1 in unmarked images; sqrt(2 m) where every projection is a lattice
        point.

        Args:
            pixels: the images.
            dithers: float64[K, m], of other keys; none means this one's, and K = 1.
        """
        scale, views = np.sqrt(2 / len(self.carriers)), [self.carriers]
        return scale * self._largest(pixels, views, dithers)

    def found(self, pixels: Tensor, fpr: float, dithers: Array | None = None) -> NDArray[np.bool_]:
        """Which of the images bear the mark, at a false-positive rate: bool[K, N].

        Args:
            pixels: uint8[N, C, H, W].
            fpr: the share of unmarked images that are found.
            dithers: float64[K, m], of other keys; none means this one's, and K = 1.
        """
        views, m = list(self._views()), len(self.carriers)
        single = -np.expm1(np.log1p(-fpr) / len(views))
        least: Any = brentq(lambda total: exceeds(total, m) - single, -m, m)
        return self._largest(pixels, views, dithers) >= least

    def p_values(self, pixels: Tensor) -> Array:
        """The chance that an unmarked image looks at least as marked: uint8[N, C, H, W] => [N].

        Over keys each phase of an unmarked image is uniform, whatever the image shows. That gives
        the law of one look at it: exact where the projections lie anywhere between lattice points,
        and an upper bound for an image so flat that they lie close together, since the dithers are
        evenly spaced. The best of V looks is priced 1 - (1 - p)^V (Šidák 1967), as if they were
        independent.
        """
        views = list(self._views())
        p = exceeds(self._largest(pixels, views)[0], len(self.carriers))
        with np.errstate(divide="ignore"):  # the log of 0 where p is 1, which stays 1
            return -np.expm1(len(views) * np.log1p(-p))

    def others(self, keys: int, seed: Seed) -> Array:
        """Dithers of keys that nobody has marked anything with: float64[K, m]."""
        rng, m = seed.numpy(), len(self.dither)
        return np.stack([(rng.permutation(m) + rng.random()) / m for _ in range(keys)])

    def _embedded(self, original: NDArray[np.uint8]) -> Tensor:
        pixels = original.astype(np.float64)
        moved, going = pixels.copy(), np.arange(len(pixels))
        for _ in range(STEPS):
            before = moved[going]
            place = self._project(_luma(before), self.carriers) / self.step - self.dither
            # The luma's weights sum to 1, so all channels move alike and no colour changes.
            change = np.tensordot(self.step * (np.round(place) - place), self.carriers, axes=1)
            after = np.clip(before + change[:, None], 0, 255)
            moved[going], _ = self._within(pixels[going], after)
            # What moves by a tenth of a gray level will not be seen in bytes.
            still = np.abs(moved[going] - before).max(axis=(1, 2, 3), initial=0) < 0.1
            going = going[~still]
        while True:
            marked = np.round(moved)
            over = self._within(pixels, marked)[1]
            if not over.any():
                return torch.from_numpy(marked.astype(np.uint8))
            moved[over] = pixels[over] + 0.99 * (moved[over] - pixels[over])

    def _within(self, pixels: Array, moved: Array) -> tuple[Array, NDArray[np.bool_]]:
        """What is changed too much, changed as much as is allowed; and which that was."""
        error = np.square(moved - pixels).mean(axis=(1, 2, 3), keepdims=True)
        over = error > self.error
        share = np.sqrt(self.error / np.where(over, error, self.error))
        return pixels + share * (moved - pixels), over.ravel()

    def _project(self, luma: Array, carriers: Array) -> Array:
        return np.tensordot(luma, carriers, axes=((1, 2), (1, 2)))

    def _largest(
        self, pixels: Tensor, views: Sequence[Array], dithers: Array | None = None
    ) -> Array:
        """The largest of the views' sums of cosines for each key and image: float64[K, N]."""
        keys = 2 * np.pi * (self.dither[None] if dithers is None else dithers)
        parts = []
        for luma in (_luma(part.numpy()) for part in pixels.split(BATCH)):
            sums = np.full((len(keys), len(luma)), -np.inf)
            for view in views:
                phases = 2 * np.pi * self._project(luma, view) / self.step
                # cos(a - b) = cos a cos b + sin a sin b, for all keys and images at once.
                cosines = np.cos(keys) @ np.cos(phases).T + np.sin(keys) @ np.sin(phases).T
                np.maximum(sums, cosines, out=sums)
            parts.append(sums)
        return np.concatenate(parts, axis=1)

    def _views(self) -> Iterator[Array]:
        """The carriers as they would find the mark in an image shifted, or blurred."""
        if not self.search:
            yield self.carriers
            return
        reach = range(-self.margin, self.margin + 1)
        for shift in ((dy, dx) for dy in reach for dx in reach):
            yield np.roll(self.carriers, shift, axis=(1, 2))
        spectrum: Any = dctn(self.carriers, axes=(1, 2), norm="ortho")
        frequency = np.minimum(_frequency(*self.carriers.shape[1:]), GAINS_END)
        for blur in BLURS:
            yield _waves(spectrum * np.exp(blur * frequency**2))


def _carriers(height: int, width: int, edge: int, rng: np.random.Generator) -> Array:
    """Random signs over disjoint random sets of the band's frequencies: float64[m, H, W]."""
    inner = height - 2 * edge, width - 2 * edge
    frequency = _frequency(*inner).ravel() if min(inner) > 0 else np.empty(0)
    order = frequency.argsort(kind="stable")
    order = order[frequency[order] >= BAND[0]]
    # Small images have few middle frequencies: they get as many carriers, of higher ones.
    size = max(CARRIERS, int((frequency[order] <= BAND[1]).sum()))
    band = rng.permutation(order[:size])
    m = min(CARRIERS, len(band))
    if m < FEWEST:
        raise UserError(
            f"curation: images of {height}x{width} pixels are too small for a watermark; "
            "use at least 4x4"
        )
    spectrum = np.zeros((m, inner[0] * inner[1]))
    spectrum[np.arange(len(band)) % m, band] = rng.choice((-1.0, 1.0), size=len(band))
    spectrum /= np.linalg.norm(spectrum, axis=1, keepdims=True)
    waves = _waves(spectrum.reshape(m, *inner))
    return np.pad(waves, ((0, 0), (edge, edge), (edge, edge)))


def _waves(spectrum: Array) -> Array:
    """The images whose cosine transforms these are: float64[m, H, W]."""
    waves: Any = idctn(spectrum, axes=(1, 2), norm="ortho")
    return waves


def _frequency(height: int, width: int) -> Array:
    """Of each coefficient of a discrete cosine transform, over Nyquist's: float64[H, W]."""
    return np.hypot(np.arange(height)[:, None] / height, np.arange(width) / width)


def _luma(pixels: NDArray[np.uint8] | Array) -> Array:
    """[N, C, H, W] => float64[N, H, W]: ITU-R BT.601 for three channels, else their mean."""
    channels = pixels.shape[1]
    weights = (0.299, 0.587, 0.114) if channels == 3 else (1 / channels,) * channels
    return np.tensordot(pixels, weights, axes=(1, 0))
