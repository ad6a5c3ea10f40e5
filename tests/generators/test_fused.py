"""The kernels for a GPU compute what torch does, and are what a GPU's compiler takes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

pytest.importorskip("triton", reason="triton is not for this system")

import triton
from triton.backends.compiler import GPUTarget

from imgcollapse.generators import fused, kernels

LAWS = Path(__file__).with_name("fused_laws.py")


@pytest.mark.skipif(
    triton.__version__.startswith("3.6."), reason="its interpreter does not know this numpy"
)
def test_they_compute_what_torch_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", str(LAWS)]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout
    assert "13 passed" in found.stdout


@pytest.mark.parametrize("kind", ["*bf16", "*fp32"])
@pytest.mark.parametrize("shift", ["*bf16", "*fp32", None])
@pytest.mark.parametrize("channels", [128, 384, 8192])
def test_kernels_are_what_a_compiler_takes(
    kind: str, shift: str | None, channels: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For compute capability 9.0, on a machine that need not have it."""
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    images = torch.empty(2, channels, 16, 16, device="meta")
    grid, sizes = fused._divided(images, 32)
    assert grid[1] * sizes["TOGETHER"] >= 32
    pixels = dict.fromkeys(("x_at", "dy_at", "dx_at", "y_at", "one_at", "other_at"), kind)
    whole = dict.fromkeys(("places", "groups", "pixels", "channels", "numbers"), "i32")
    constants = {
        "CHANNELS": channels,
        "SPAN": fused.SPAN,
        "STRETCH": fused.STRETCH,
        "LANES": fused.LANES,
        **{name: size for name, size in sizes.items() if name.isupper()},
        **({} if shift else {"shift_at": None}),
    }
    for kernel in (kernels.norm, kernels.norm_backward, kernels.add, kernels.channel_sums):
        names = kernel.arg_names
        types = {**pixels, **whole, "shift_at": shift, "eps": "fp32"}
        signature = {
            name: "constexpr" if name in constants else types.get(name, "*fp32") for name in names
        }
        source = triton.compiler.ASTSource(
            fn=kernel,
            signature=signature,
            constexprs={(i,): constants[name] for i, name in enumerate(names) if name in constants},
        )
        made = triton.compile(source, GPUTarget("cuda", 90, 32), options=fused.FUSION)
        assert made.asm["cubin"]
