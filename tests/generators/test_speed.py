"""What is chosen for speed changes no result but by rounding, and is chosen by rule."""

from __future__ import annotations

import pytest
import torch
from contexts import run_context

from imgcollapse.core.device import Device
from imgcollapse.core.errors import UserError
from imgcollapse.core.seeds import Seed
from imgcollapse.generators import DDPM, ddpm
from imgcollapse.generators.unet import compile_error, optimize_network, unet
from imgcollapse.io.checkpoints import CheckpointManager
from imgcollapse.training.train_state import pack_tensors, unpack_tensors

from .conftest import noise_images

GPU = Device(torch.device("cuda"), torch.bfloat16)


def test_plain_attention_answers_as_fused_attention_does(cpu: Device, seed: Seed) -> None:
    with seed.seed_torch():
        network = unet((1, 8, 8), (8, 16), 1, True, None).eval()
    x = torch.randn(4, 1, 8, 8, generator=seed.torch())
    t = torch.tensor([0, 10, 500, 999])
    answers = []
    for _ in range(2):
        x.requires_grad_()
        answer = network(x, t, return_dict=False)[0]
        (gradient,) = torch.autograd.grad(answer.square().sum(), x)
        answers.append((answer.detach(), gradient))
        optimize_network(network, 16, cpu)
    # Sums of some hundred float32 products, in another order.
    for fused, plain in zip(*answers, strict=True):
        assert torch.allclose(fused, plain, rtol=1e-4, atol=1e-4 * float(fused.abs().max()))


def test_what_cannot_be_compiled_is_said_and_leaves_no_gradient() -> None:
    layer = torch.nn.Linear(2, 1)

    def broken() -> torch.Tensor:
        raise RuntimeError("no compiler here\nand a long trace")

    assert compile_error(broken, layer) == "no compiler here"
    assert compile_error(lambda: layer(torch.ones(1, 2)).sum(), layer) == ""
    assert layer.weight.grad is None


TINY = DDPM(channels=(8,), steps=3, batch=4, attention=False, compile="on")


def trained(
    part: DDPM, cpu: Device, seed: Seed, checkpoints: CheckpointManager
) -> list[torch.Tensor]:
    images = noise_images(8, (1, 8, 8), seed)
    model = part.fit(images, run_context(seed, checkpoints=checkpoints))
    return list(model.state().values())


def test_a_compiled_network_is_trained_on_the_same_draws_and_gives_its_weights_back(
    cpu: Device, seed: Seed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a backend that translates nothing the bits are the same."""
    monkeypatch.setattr(ddpm, "compiled", lambda net: torch.compile(net, backend="eager"))
    kept = CheckpointManager()
    plain = trained(TINY.model_copy(update={"compile": "off"}), cpu, seed, CheckpointManager())
    for one, other in zip(plain, trained(TINY, cpu, seed, kept), strict=True):
        assert torch.equal(one, other)
    assert kept.metadata["compiled"] == "yes"


def test_where_it_cannot_be_compiled_that_is_said(
    cpu: Device, seed: Seed, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("no compiler here")

    monkeypatch.setattr(ddpm, "compiled", lambda _: broken)
    with pytest.raises(UserError, match=r"generator.compile: .*no compiler here.*use auto or off"):
        trained(TINY, cpu, seed, CheckpointManager())


def test_a_training_whose_channels_come_last_is_taken_up_with_the_same_bits(seed: Seed) -> None:
    def begin() -> tuple[torch.nn.Module, torch.optim.Optimizer]:
        with seed.seed_torch():
            network = torch.nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
        return network, torch.optim.Adam(network.parameters(), fused=True)

    def step(network: torch.nn.Module, optimizer: torch.optim.Optimizer, number: int) -> None:
        x = torch.randn(2, 3, 5, 5, generator=(seed / number).torch())
        optimizer.zero_grad()
        network(x.contiguous(memory_format=torch.channels_last)).square().sum().backward()
        optimizer.step()

    unbroken, other = begin(), begin()
    step(*unbroken, 0)
    kept = {
        name: t.contiguous() for name, t in pack_tensors(*unbroken).items()
    }  # as a file holds them
    unpack_tensors(kept, *other)
    for training in (unbroken, other):
        step(*training, 1)
    for one, same in zip(unbroken[0].parameters(), other[0].parameters(), strict=True):
        assert torch.equal(one, same)
        assert same.stride() == one.stride()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_the_channels_come_last() -> None:
    network = unet((1, 8, 8), (8,), 1, False, None).to("cuda")
    optimize_network(network, 64, GPU)
    assert network.conv_in.weight.is_contiguous(memory_format=torch.channels_last)
