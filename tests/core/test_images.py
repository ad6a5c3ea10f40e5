import pytest
import torch

from imgcollapse.core.images import (
    UNKNOWN,
    Images,
    cat,
    class_shares,
    to_float,
    to_uint8,
    unlabeled,
)


def test_bytes_survive_the_way_to_floats_and_back():
    pixels = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    floats = to_float(pixels)
    assert floats.min() == -1
    assert floats.max() == 1
    assert torch.equal(to_uint8(floats), pixels)


def test_floats_outside_the_range_are_clipped():
    assert to_uint8(torch.tensor([-3.0, 3.0])).tolist() == [0, 255]


def test_wrong_types_are_refused():
    with pytest.raises(ValueError, match="uint8"):
        Images(torch.zeros(2, 1, 4, 4), torch.zeros(2, dtype=torch.int16))
    with pytest.raises(ValueError, match="int16"):
        Images(torch.zeros(2, 1, 4, 4, dtype=torch.uint8), torch.zeros(2))


def test_shares_leave_out_the_unknown():
    labels = torch.tensor([0, 0, 1, UNKNOWN], dtype=torch.int16)
    assert class_shares(labels, 3).tolist() == pytest.approx([2 / 3, 1 / 3, 0])
    assert class_shares(labels[3:], 3).tolist() == [0, 0, 0]


def test_cat_and_rows_keep_pixels_with_their_labels():
    one = unlabeled(torch.zeros(2, 1, 2, 2, dtype=torch.uint8))
    two = Images(torch.ones(3, 1, 2, 2, dtype=torch.uint8), torch.tensor([1, 2, 3]).short())
    both = cat([one, two])
    assert both.labels.tolist() == [UNKNOWN, UNKNOWN, 1, 2, 3]
    assert both[torch.tensor([4, 0])].pixels[:, 0, 0, 0].tolist() == [1, 0]
    assert both.shape == (1, 2, 2)
