"""An invisible watermark with a key: spread-transform dither modulation (Chen & Wornell 2001).

An image's luma is projected on m secret carriers, each a random sum of middle frequencies. Marking
moves every projection to the nearest point of a lattice whose offset, the dither, is secret too;
detection measures how near the projections are to that lattice. Unlike an added pattern, the mark
is not disturbed by the image itself, and false positives do not depend on the image: projections of
unmarked images are anywhere between lattice points.

Chen & Wornell, doi:10.1109/18.923725.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.fft import dctn, idctn
from scipy.optimize import brentq
from scipy.special import j0
from torch import Tensor

from imgcollapse.core.errors import UserError
from imgcollapse.core.seeds import Seed

Array = NDArray[np.float64]
CARRIERS = 32
"""More carriers make detection more certain, but the lattice finer and easier to disturb."""
MIN_CARRIERS = 8
BAND = (0.1, 0.5)
"""Frequencies of the carriers over Nyquist's: lower ones are visible, JPEG removes higher ones."""
LOAD = 0.5
"""Share of the allowed squared error that the lattice takes on average; clipping adds to it."""
STEPS = 60
BLURS = (1.0, 1.75, 2.5, 3.25)
"""Gains exp(-b f^2), f over Nyquist's, that are inverted in search of a resized image's mark."""
MAX_GAIN_FREQUENCY = 0.6
"""Frequency above which the gains are constant: resizing removes what is there."""
BATCH = 512
_TERMS = 40
"""Fourier terms per phase; the truncation error is below 1e-9 for 8 phases, 1e-30 for 32."""


@dataclass(frozen=True)
class SpreadTransformMark:
    """The mark of one key on images of one size."""

    carriers: Array  # float64[m, H, W], orthonormal, zero within `margin` of the border
    dither: Array  # float64[m] in [0, 1), offsets of the lattice in steps
    step: float  # of the lattice, in gray levels
    error: float  # largest mean squared error of a marked image, in squared gray levels
    margin: int  # pixels that may be cropped from any side, and the largest shift searched
    search: bool  # whether detection also searches the mark shifted or blurred

    @classmethod
    def of(
        cls, key: int | str, shape: tuple[int, int, int], psnr: float, margin: int
    ) -> SpreadTransformMark:
        """Build the mark of a key on images of a shape C, H, W, with at least this PSNR in dB.

        The m dithers are evenly spaced, in keyed order and with a keyed offset: a flat image, whose
        phases are all equal, then scores exactly 0 under every key. The margin is at most an eighth
        of the shorter side; 0 is no search.

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
        """Mark images: uint8[N, C, H, W] => uint8[N, C, H, W].

        In turn each projection is moved to the nearest lattice point, pixels are clipped, and the
        change is reduced to the allowed error (projection onto convex sets): black backgrounds can
        only get brighter, and reach other lattice points than gray ones.
        """
        return torch.cat([self._embed_batch(part.numpy()) for part in pixels.split(BATCH)])

    def statistic(self, pixels: Tensor, dithers: Array | None = None) -> Array:
        """sqrt(2/m) sum_j cos(phase_j), without search, of uint8[N, C, H, W]: float64[K, N].

        Mean 0 and variance 1 over unmarked images; sqrt(2 m) if all projections are lattice points.
        `dithers` float64[K, m] are those of other keys; None for this key, K = 1.
        """
        scale, views = np.sqrt(2 / len(self.carriers)), [self.carriers]
        return scale * self._largest(pixels, views, dithers)

    def detect(self, pixels: Tensor, fpr: float, dithers: Array | None = None) -> NDArray[np.bool_]:
        """Detect the mark of one or K keys (as `statistic`) in uint8[N, C, H, W]: bool[K, N].

        `fpr` is the share of unmarked images that are detected. Over keys each phase of an unmarked
        image is uniform, whatever the image shows. That gives the distribution of one view's score:
        exact if the projections are anywhere between lattice points, and an upper bound for an
        image so flat that they are close together, since the dithers are evenly spaced. The best of
        V views has the p-value 1 - (1 - p)^V (Šidák 1967), as if they were independent.
        """
        views, m = list(self._views()), len(self.carriers)
        single = -np.expm1(np.log1p(-fpr) / len(views))
        threshold: Any = brentq(lambda total: tail_probability(total, m) - single, -m, m)
        return self._largest(pixels, views, dithers) >= threshold

    def unused_dithers(self, keys: int, seed: Seed) -> Array:
        """Dithers of keys that marked nothing: float64[K, m]."""
        rng, m = seed.numpy(), len(self.dither)
        return np.stack([(rng.permutation(m) + rng.random()) / m for _ in range(keys)])

    def _embed_batch(self, original: NDArray[np.uint8]) -> Tensor:
        pixels = original.astype(np.float64)
        moved, active = pixels.copy(), np.arange(len(pixels))
        for _ in range(STEPS):
            before = moved[active]
            position = _project(_luma(before), self.carriers) / self.step - self.dither
            moves = self.step * (np.round(position) - position)
            # The luma's weights sum to 1, so all channels change alike and colors stay.
            change = np.tensordot(moves, self.carriers, axes=1)
            after = np.clip(before + change[:, None], 0, 255)
            moved[active], _ = self._limit(pixels[active], after)
            # Changes below a tenth of a gray level are lost in rounding.
            still = np.abs(moved[active] - before).max(axis=(1, 2, 3), initial=0) < 0.1
            active = active[~still]
        while True:
            marked = np.round(moved)
            over = self._limit(pixels, marked)[1]
            if not over.any():
                return torch.from_numpy(marked.astype(np.uint8))
            moved[over] = pixels[over] + 0.99 * (moved[over] - pixels[over])

    def _limit(self, pixels: Array, moved: Array) -> tuple[Array, NDArray[np.bool_]]:
        """Reduce changes to the allowed error; also returns which images exceeded it."""
        error = np.square(moved - pixels).mean(axis=(1, 2, 3), keepdims=True)
        over = error > self.error
        share = np.sqrt(self.error / np.where(over, error, self.error))
        return pixels + share * (moved - pixels), over.ravel()

    def _largest(
        self, pixels: Tensor, views: Sequence[Array], dithers: Array | None = None
    ) -> Array:
        """The largest of the views' sums of cosines for each key and image: float64[K, N]."""
        keys = 2 * np.pi * (self.dither[None] if dithers is None else dithers)
        parts = []
        for luma in (_luma(part.numpy()) for part in pixels.split(BATCH)):
            sums = np.full((len(keys), len(luma)), -np.inf)
            for view in views:
                phases = 2 * np.pi * _project(luma, view) / self.step
                # cos(a - b) = cos a cos b + sin a sin b, for all keys and images at once.
                cosines = np.cos(keys) @ np.cos(phases).T + np.sin(keys) @ np.sin(phases).T
                np.maximum(sums, cosines, out=sums)
            parts.append(sums)
        return np.concatenate(parts, axis=1)

    def _views(self) -> Iterator[Array]:
        """The carriers that match the mark in a shifted or blurred image."""
        if not self.search:
            yield self.carriers
            return
        reach = range(-self.margin, self.margin + 1)
        for shift in ((dy, dx) for dy in reach for dx in reach):
            yield np.roll(self.carriers, shift, axis=(1, 2))
        spectrum: Any = dctn(self.carriers, axes=(1, 2), norm="ortho")
        frequency = np.minimum(_frequency(*self.carriers.shape[1:]), MAX_GAIN_FREQUENCY)
        for blur in BLURS:
            yield _inverse_dct(spectrum * np.exp(blur * frequency**2))


def tail_probability(total: ArrayLike, phases: int) -> NDArray[np.float64]:
    """P(cos U_1 + ... + cos U_m >= total) of m >= 8 independent phases U, uniform on a circle.

    The characteristic function is J_0(t)^m, and a sum bounded to [-m, m] has an exact Fourier
    series there (Bennett 1948, Quarterly of Applied Mathematics 5). float64[N] => float64[N].
    """
    s = np.asarray(total, dtype=np.float64)
    k = np.arange(1, _TERMS * phases + 1)
    weights = j0(np.pi * k / phases) ** phases / (np.pi * k)
    tail = (1 - s / phases) / 2 - np.sin(np.multiply.outer(s, np.pi * k / phases)) @ weights
    return np.clip(tail, 0.0, 1.0)


def _carriers(height: int, width: int, edge: int, rng: np.random.Generator) -> Array:
    """Random signs over disjoint random sets of the band's frequencies: float64[m, H, W]."""
    inner = height - 2 * edge, width - 2 * edge
    frequency = _frequency(*inner).ravel() if min(inner) > 0 else np.empty(0)
    order = frequency.argsort(kind="stable")
    order = order[frequency[order] >= BAND[0]]
    # Small images have few middle frequencies: higher ones fill up the carriers.
    size = max(CARRIERS, int((frequency[order] <= BAND[1]).sum()))
    band = rng.permutation(order[:size])
    m = min(CARRIERS, len(band))
    if m < MIN_CARRIERS:
        raise UserError(
            f"curation: images of {height}x{width} pixels are too small for a watermark; "
            "use at least 4x4"
        )
    spectrum = np.zeros((m, inner[0] * inner[1]))
    spectrum[np.arange(len(band)) % m, band] = rng.choice((-1.0, 1.0), size=len(band))
    spectrum /= np.linalg.norm(spectrum, axis=1, keepdims=True)
    waves = _inverse_dct(spectrum.reshape(m, *inner))
    return np.pad(waves, ((0, 0), (edge, edge), (edge, edge)))


def _project(luma: Array, carriers: Array) -> Array:
    return np.tensordot(luma, carriers, axes=((1, 2), (1, 2)))


def _inverse_dct(spectrum: Array) -> Array:
    waves: Any = idctn(spectrum, axes=(1, 2), norm="ortho")
    return waves


def _frequency(height: int, width: int) -> Array:
    """Frequency of each cosine coefficient, over Nyquist's: float64[H, W]."""
    return np.hypot(np.arange(height)[:, None] / height, np.arange(width) / width)


def _luma(pixels: NDArray[np.uint8] | Array) -> Array:
    """[N, C, H, W] => float64[N, H, W]: ITU-R BT.601 for three channels, else their mean."""
    channels = pixels.shape[1]
    weights = (0.299, 0.587, 0.114) if channels == 3 else (1 / channels,) * channels
    return np.tensordot(pixels, weights, axes=(1, 0))
