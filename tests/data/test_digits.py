from __future__ import annotations

import torch
from sklearn.datasets import load_digits

from imgcollapse.core.seeds import Seed
from imgcollapse.data import Digits, Exponential, Splits, split


def test_digits_are_the_scanned_ones_at_full_contrast():
    pool = Digits().load()
    pixels = pool.train.read(torch.arange(1797))
    assert pool.classes == tuple("0123456789")
    assert pool.test is None
    assert pixels.shape == (1797, 1, 8, 8)
    assert pixels.dtype == torch.uint8
    assert pixels.max() == 255
    levels = torch.from_numpy(load_digits(return_X_y=True)[0]).reshape(-1, 1, 8, 8)
    assert torch.equal((pixels.double() * 16 / 255).round(), levels)


def test_digits_split_into_a_long_tail_by_default():
    data = split(Digits().load(), Exponential(factor=20), Splits(), Seed((0,)))
    assert len(data.train) > 100
    assert data.train.labels.long().bincount().min() >= 1
