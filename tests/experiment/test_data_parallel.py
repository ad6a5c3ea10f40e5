"""Answers of a user's own generator are checked: fewer images would look like collapse."""

import pytest
import torch
from contexts import run_context

from imgcollapse.core.errors import UserError
from imgcollapse.core.images import Images
from imgcollapse.core.seeds import Seed
from imgcollapse.experiment import data_parallel
from imgcollapse.generators import Resample


class Model:
    def __init__(self, pixels):
        self.pixels = pixels

    def sample(self, labels, context):
        return Images(self.pixels, labels[: len(self.pixels)])


@pytest.mark.parametrize(
    ("pixels", "found"),
    [
        (torch.zeros(7, 1, 4, 4, dtype=torch.uint8), r"\[7, 1, 4, 4\]"),
        (torch.zeros(10, 3, 4, 4, dtype=torch.uint8), r"\[10, 3, 4, 4\]"),
    ],
)
def test_other_images_than_were_asked_for_are_refused(pixels, found):
    labels = torch.zeros(10, dtype=torch.int16)
    message = rf"generator resample: sample returned {found}; let it return \[10, 1, 4, 4\]"
    with pytest.raises(UserError, match=message):
        data_parallel.sample(
            Resample(), Model(pixels), labels, run_context(Seed(()), shape=(1, 4, 4))
        )
    whole = Model(torch.zeros(10, 1, 4, 4, dtype=torch.uint8))
    assert (
        len(data_parallel.sample(Resample(), whole, labels, run_context(Seed(()), shape=(1, 4, 4))))
        == 10
    )
