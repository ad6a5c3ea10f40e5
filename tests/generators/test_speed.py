"""What is chosen for speed changes no result but by rounding, and is chosen by rule."""

from __future__ import annotations

import pytest
import torch

from imgcollapse.core.device import Device
from imgcollapse.core.seeds import Seed
from imgcollapse.generators.speed import PAYS_BACK, compiles, failure, quicken
from imgcollapse.generators.unet import unet

GPU = Device(torch.device("cuda"), torch.bfloat16)


def test_plain_attention_answers_as_fused_attention_does(cpu: Device, seed: Seed) -> None:
    with seed.lent_to_torch():
        network = unet((1, 8, 8), (8, 16), 1, True, None).eval()
    x = torch.randn(4, 1, 8, 8, generator=seed.torch())
    t = torch.tensor([0, 10, 500, 999])
    answers = []
    for _ in range(2):
        x.requires_grad_()
        answer = network(x, t, return_dict=False)[0]
        (gradient,) = torch.autograd.grad(answer.square().sum(), x)
        answers.append((answer.detach(), gradient))
        quicken(network, 16, cpu)
    # Sums of some hundred float32 products, in another order.
    for fused, plain in zip(*answers, strict=True):
        assert torch.allclose(fused, plain, rtol=1e-4, atol=1e-4 * float(fused.abs().max()))


def test_compiles_by_itself_only_where_it_pays_back(cpu: Device) -> None:
    assert not compiles("auto", 10**6, cpu)
    assert compiles("auto", PAYS_BACK, GPU)
    assert not compiles("auto", PAYS_BACK - 1, GPU)
    assert compiles("on", 1, cpu)
    assert not compiles("off", 10**6, GPU)


def test_what_cannot_be_compiled_is_said_and_leaves_no_gradient() -> None:
    layer = torch.nn.Linear(2, 1)

    def broken() -> torch.Tensor:
        raise RuntimeError("no compiler here\nand a long trace")

    assert failure(broken, layer) == "no compiler here"
    assert failure(lambda: layer(torch.ones(1, 2)).sum(), layer) == ""
    assert layer.weight.grad is None


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_the_channels_come_last() -> None:
    network = unet((1, 8, 8), (8,), 1, False, None).to("cuda")
    quicken(network, 64, GPU)
    assert network.conv_in.weight.is_contiguous(memory_format=torch.channels_last)
