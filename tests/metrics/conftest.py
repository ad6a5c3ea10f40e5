import pytest
import torch

from imgcollapse.core.seeds import Seed


@pytest.fixture
def normal():
    """float64[n, width] draws of N(mean, scale^2), one set for each seed."""

    def draw(seed, n, width=8, mean=0.0, scale=1.0):
        noise = torch.randn(n, width, generator=Seed((seed,)).torch(), dtype=torch.float64)
        return mean + scale * noise

    return draw
