"""The torch device and the precision of its matrix products."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.utils.deterministic

from imgcollapse.core.errors import UserError
from imgcollapse.core.sanitize import first_line

Precision = Literal["auto", "float32", "bfloat16"]

_WORKSPACE = "CUBLAS_WORKSPACE_CONFIG", ":4096:8"
# Products in a fixed order want it, and it is read once, before the first one of a process.
os.environ.setdefault(*_WORKSPACE)


@dataclass(frozen=True)
class Device:
    """A torch device and the type its matrix products are taken in."""

    torch: torch.device
    dtype: torch.dtype  # float32, or bfloat16 for mixed precision (weights, losses stay float32)

    def autocast(self) -> torch.autocast:
        """A block in which matrix products run in `dtype`."""
        return torch.autocast(
            self.torch.type, dtype=self.dtype, enabled=self.dtype != torch.float32
        )

    @contextmanager
    def full_precision(self) -> Iterator[None]:
        """A block in which a GPU's convolutions of float32 are taken in it, and not in TF32."""
        if self.torch.type != "cuda":
            yield
            return
        cudnn: Any = torch.backends.cudnn
        before, cudnn.conv.fp32_precision = cudnn.conv.fp32_precision, "ieee"
        try:
            yield
        finally:
            cudnn.conv.fp32_precision = before

    @contextmanager
    def deterministic(self) -> Iterator[None]:
        """A block in which a GPU adds numbers in the same order every time, as a CPU does.

        Raises:
            UserError: somebody has multiplied matrices there before this module was imported.
            RuntimeError: in the block, at an operation that torch has no such algorithm for.
        """
        if self.torch.type != "cuda":
            yield
            return
        filling: Any = torch.utils.deterministic
        filled = filling.fill_uninitialized_memory
        enabled = torch.are_deterministic_algorithms_enabled()
        warns = torch.is_deterministic_algorithms_warn_only_enabled()
        filling.fill_uninitialized_memory = False  # nothing here reads what it fills
        torch.use_deterministic_algorithms(True)
        try:
            self._check_products()
            yield
        finally:
            torch.use_deterministic_algorithms(enabled, warn_only=warns)
            filling.fill_uninitialized_memory = filled

    def _check_products(self) -> None:
        if torch.cuda.is_available():
            one = torch.ones(8, 8, device=self.torch)
            try:
                one @ one  # pyright: ignore[reportUnusedExpression]
            except RuntimeError:
                raise UserError(
                    "device: matrices were multiplied on the GPU before imgcollapse was imported, "
                    f"or {_WORKSPACE[0]} is not {_WORKSPACE[1]}; import it first, in a new process"
                ) from None


def choose_device(name: str = "auto", precision: Precision = "auto") -> Device:
    """Pick a device: "auto" is the first GPU where there is one, else the CPU.

    Precision "auto" is bfloat16 where the hardware computes it natively, else float32.

    Raises:
        UserError: the device is unknown or not there.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.empty(0, device=name).device
        if device.type == "meta":
            raise RuntimeError
    except (RuntimeError, AssertionError) as error:
        there = ["cpu", *(f"cuda:{gpu}" for gpu in range(torch.cuda.device_count()))]
        if torch.backends.mps.is_available():
            there.append("mps")
        why = f" ({first_line(error)})" if name.startswith("cuda") else ""
        raise UserError(
            f"device: {name!r} cannot be used here{why}; this machine has {', '.join(there)}; use "
            "one of them, or auto"
        ) from None
    if device.type == "cuda":  # kernels and graphs that name no device take this one
        torch.cuda.set_device(device)
    if precision == "auto":
        precision = "bfloat16" if _has_native_bfloat16(device) else "float32"
    return Device(device, getattr(torch, precision))


def _has_native_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    # Without these instructions bfloat16 is emulated, and slower than float32.
    return device.type == "cpu" and bool(
        torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    )


def share_gpus(share: float) -> None:
    """Hold this process to a share in (0, 1] of each GPU's memory, so that others fit beside it."""
    if share < 1 and torch.cuda.is_available():
        for gpu in range(torch.cuda.device_count()):
            torch.cuda.set_per_process_memory_fraction(share, gpu)
