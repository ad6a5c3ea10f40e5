"""The most memory that was held at a time: of the GPU where there is one, else of the process."""

from __future__ import annotations

from pathlib import Path

import torch

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_MIB = 2**20


def reset(device: torch.device) -> None:
    """Forget the peak so far."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    elif _CLEAR.exists():
        _CLEAR.write_text("5")  # proc(5): resets the peak resident set size


def peak(device: torch.device) -> float | None:
    """MiB since `reset`; None where the system does not say."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / _MIB
    if not (_STATUS.exists() and _CLEAR.exists()):
        return None
    found = [line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM")]
    return int(found[0].split()[1]) / 1024 if found else None
