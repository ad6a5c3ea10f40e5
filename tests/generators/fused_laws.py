"""What the kernels for a GPU compute, against torch, with triton's interpreter in a GPU's place.

It must be asked for before triton is loaded, so test_fused.py runs this in a process of its own.
"""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from imgcollapse.core.seeds import Seed
from imgcollapse.generators import fused
from imgcollapse.generators.unet import unet


def of(answer: Tensor, seen: list[Tensor], dy: Tensor) -> list[Tensor]:
    return [answer.detach(), *torch.autograd.grad(answer, seen, dy)]


# Of places that are masked out numpy, which a GPU is not, has an opinion.
@pytest.mark.filterwarnings("ignore:overflow encountered in exp")
# One program or several to an image; groups that are no power of two; more lanes than channels.
@pytest.mark.parametrize(
    ("channels", "groups", "height", "width"), [(8, 2, 8, 8), (12, 4, 5, 7), (96, 8, 4, 4)]
)
@pytest.mark.parametrize("shifted", [True, False])
@pytest.mark.parametrize("mean", [1, 300])
def test_a_norm_is_that_of_torch(
    seed: Seed,
    channels: int,
    groups: int,
    height: int,
    width: int,
    shifted: bool,
    mean: float,
) -> None:
    draw = seed.torch()
    x, dy = (torch.randn(3, channels, height, width, generator=draw) for _ in range(2))
    shift, plain = torch.randn(3, channels, generator=draw), nn.GroupNorm(groups, channels)
    for weight in plain.parameters():
        nn.init.normal_(weight, generator=draw)
    seen = [t.requires_grad_() for t in ((3 * x + mean), *([shift] if shifted else []))]
    seen += plain.parameters()
    moved = seen[0] + shift[:, :, None, None] if shifted else seen[0]
    expected = of(F.silu(plain(moved)), seen, dy)
    found = of(fused.Norm(plain)(seen[0], shift if shifted else None), seen, dy)
    # Sums of some hundred float32 numbers, in another order.
    for one, other in zip(found, expected, strict=True):
        assert torch.allclose(one, other, rtol=1e-4, atol=1e-5 * float(other.abs().max()))


def test_a_network_answers_and_learns_as_before(seed: Seed) -> None:
    with seed.seed_torch():
        plain = unet((3, 8, 8), (8, 24), 1, True, 3).eval()
    other = copy.deepcopy(plain)
    fused.fuse(other)
    assert list(other.state_dict()) == list(plain.state_dict())
    assert not any(isinstance(layer, fused.ResnetBlock2D) for layer in other.modules())
    draw = seed.torch()
    x, dy = (torch.randn(2, 3, 8, 8, generator=draw) for _ in range(2))
    t, label = torch.tensor([3, 700]), torch.tensor([0, 2])
    answers = [
        of(network(x, t, label, return_dict=False)[0], [*network.parameters()], dy)
        for network in (plain, other)
    ]
    # What the keys' biases do to attention cancels out: their gradients are rounding alone.
    scale = max(float(t.abs().max()) for t in answers[0][1:])
    for one, same in zip(*answers, strict=True):
        assert torch.allclose(same, one, rtol=1e-3, atol=1e-6 * scale)
