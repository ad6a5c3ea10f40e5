"""Distortions: each leaves bytes of the same shape, and does what it says."""

from __future__ import annotations

import pytest
import torch

from imgcollapse.core.errors import UserError
from imgcollapse.core.seeds import Seed
from imgcollapse.curation.watermark.attacks import ATTACKS, crop, jpeg, noise, resize

SEED = Seed(("attack",))
RAMP = (torch.arange(12)[:, None] * 12 + torch.arange(12)).byte().expand(40, 1, 12, 12)


@pytest.mark.parametrize("name", ATTACKS)
@pytest.mark.parametrize("shape", [(5, 1, 28, 28), (3, 3, 16, 12), (0, 1, 8, 8), (2, 1, 1, 1)])
def test_bytes_of_the_same_shape_come_out_and_the_same_again(name, shape):
    pixels = torch.randint(0, 256, shape, generator=SEED.torch()).byte()
    one, two = (ATTACKS[name](pixels, SEED) for _ in range(2))
    assert (one.shape, one.dtype) == (pixels.shape, torch.uint8)
    assert torch.equal(one, two)


def test_a_crop_moves_the_image_by_two_and_repeats_the_border():
    seen = {tuple(map(int, image[0, 5:7, 5].diff())) for image in crop(RAMP, SEED)}
    assert seen == {(12,)}
    corners = {int(image[0, 5, 5]) - int(RAMP[0, 0, 5, 5]) for image in crop(RAMP, SEED)}
    assert corners == {24 + 2, 24 - 2, -24 + 2, -24 - 2}
    down = next(i for i in crop(RAMP, SEED) if int(i[0, 5, 5]) - int(RAMP[0, 0, 5, 5]) == 26)
    assert (down[0, -1] == down[0, -3]).all()


def test_noise_is_one_per_cent_of_the_scale():
    gray = torch.full((50, 1, 20, 20), 128, dtype=torch.uint8)
    moved = (noise(gray, SEED).double() - 128).flatten()
    # Rounding adds 1/12 of a squared level; a variance has relative error sqrt(2 / n).
    expected = 2.55**2 + 1 / 12
    assert abs(moved.var() - expected) < 4 * expected * (2 / len(moved)) ** 0.5
    assert abs(moved.mean()) < 4 * (expected / len(moved)) ** 0.5


def test_a_flat_image_stays_what_it_is_when_resized_or_compressed():
    gray = torch.full((2, 1, 20, 20), 77, dtype=torch.uint8)
    for factor in (0.75, 1.5):
        assert torch.equal(resize(factor)(gray, SEED), gray)
    # JPEG rounds the mean of a block to a step of 8/8 gray levels at this quality.
    assert (jpeg(gray, SEED).int() - 77).abs().max() <= 1


def test_jpeg_needs_one_or_three_channels():
    with pytest.raises(UserError, match=r"^JPEG does not support images of 4 channels$"):
        jpeg(torch.zeros(1, 4, 8, 8, dtype=torch.uint8), SEED)
