from pathlib import Path

import pytest
import torch

from imgcollapse.core.images import Images
from imgcollapse.curation.base import FilterInput


@pytest.fixture
def shown():
    """Candidates whose classes are given: their oracle makes no mistakes."""

    def build(counted, generation=1, classes=("a", "b", "c"), **known) -> FilterInput:
        counted = torch.as_tensor(counted, dtype=torch.int16)
        n = len(counted)
        sure = torch.nn.functional.one_hot(counted.clamp(min=0).long(), len(classes)).float()
        given = {
            "rows": torch.arange(n, dtype=torch.int32),
            "images": Images(torch.zeros(n, 1, 2, 2, dtype=torch.uint8), counted),
            "probabilities": sure,
            "features": sure,
            "atypicality": torch.zeros(n, dtype=torch.float64),
            "held_out": torch.zeros(5, dtype=torch.float64),
            "folder": Path("nowhere"),
        } | known
        return FilterInput(generation=generation, classes=classes, counted=counted, **given)

    return build
