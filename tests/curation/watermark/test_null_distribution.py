"""The law of a sum of cosines: against other derivations, and against draws."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.fft import irfft, next_fast_len, rfft

from imgcollapse.core.seeds import Seed
from imgcollapse.curation.watermark.spread_transform import tail_probability


@pytest.mark.parametrize("m", [8, 16, 32])
def test_it_agrees_with_the_convolution_of_its_terms(m):
    # cos U has P(cos U <= x) = 1 - arccos(x)/pi; m of them on a grid of 2^16 cells, by Fourier.
    edges = np.linspace(-1, 1, 2**16 // m + 1)
    term = np.diff(1 - np.arccos(edges) / np.pi)
    size = m * (len(term) - 1) + 1
    room = next_fast_len(size, real=True)
    total = irfft(rfft(term, room) ** m, room)[:size]
    tail = total[::-1].cumsum()[::-1]
    width = edges[1] - edges[0]
    start_of_cell = -m + width * (np.arange(size) + m / 2 - 0.5)
    chosen = np.flatnonzero((tail > 1e-6) & (tail < 1 - 1e-6))[:: size // 50]
    # Each term is off by up to width / 2, m/2^17, which moves the total's spread by less than 1e-4
    # of itself and a tail of six of them by 36 times that at most.
    np.testing.assert_allclose(tail_probability(start_of_cell[chosen], m), tail[chosen], rtol=4e-3)


def test_it_is_the_share_of_draws():
    drawn = np.cos(Seed(("phases",)).numpy().uniform(0, 2 * np.pi, (100_000, 8))).sum(axis=1)
    for total in (0.0, 2.0, 4.0, 5.0):
        p = float(tail_probability(total, 8))
        error = np.sqrt(p * (1 - p) / len(drawn))
        assert abs((drawn >= total).mean() - p) < 4 * error


@pytest.mark.parametrize("m", [8, 32])
def test_it_falls_from_one_to_nothing_and_is_even(m):
    # The Fourier series is cut off below 1e-9 with 8 terms.
    s = np.linspace(-m, m, 201)
    tail = tail_probability(s, m)
    assert (np.diff(tail) <= 2e-9).all()
    np.testing.assert_allclose(tail + tail[::-1], 1, atol=2e-9)
    assert (tail[0], tail[-1]) == pytest.approx((1, 0), abs=2e-9)
