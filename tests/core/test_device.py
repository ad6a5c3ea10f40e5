from contextlib import suppress

import pytest
import torch

from imgcollapse.core import device
from imgcollapse.core.errors import UserError


def test_auto_finds_a_device_and_precision_is_kept():
    chosen = device.choose_device("auto", "float32")
    assert chosen.dtype == torch.float32
    with device.choose_device("cpu", "bfloat16").autocast():
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16
    with device.choose_device("cpu", "float32").autocast():
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32


@pytest.mark.parametrize("name", ["mps", "gpu", "meta", "cuda:99", "cpux", ""])
def test_a_device_that_is_not_there_is_one_line_with_what_is(name):
    if name == "mps" and torch.backends.mps.is_available():
        pytest.skip("this machine has one")
    with pytest.raises(UserError) as raised:
        device.choose_device(name)
    said = str(raised.value)
    assert said.startswith(f"device: {name!r} cannot be used here")
    assert "; this machine has cpu" in said
    assert said.endswith("; use one of them, or auto")
    assert len(said) < 400
    assert ("cuda:0" in said) == torch.cuda.is_available()


def test_a_gpus_order_is_held_to_for_a_block_alone():
    """The switches are torch's own, and there without a GPU."""
    before = torch.backends.cudnn.conv.fp32_precision
    gpu = device.Device(torch.device("cuda"), torch.float32)
    with suppress(ZeroDivisionError), gpu.deterministic(), gpu.full_precision():
        assert torch.are_deterministic_algorithms_enabled()
        assert torch.backends.cudnn.conv.fp32_precision == "ieee"
        raise ZeroDivisionError
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.backends.cudnn.conv.fp32_precision == before
    cpu = device.choose_device("cpu")
    with cpu.deterministic(), cpu.full_precision():
        assert not torch.are_deterministic_algorithms_enabled()
