"""The machine: each check is of one thing, and none takes longer than a second or two."""

from __future__ import annotations

import locale
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from imgcollapse.tools.doctor.findings import Problem

_TRIAL = 16 * 2**20
"""Bytes that are written to see how fast a disk is."""

_GB = 10**9
_BROWSERS = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "firefox",
    "safari",
    "xdg-open",
    "open",
)


def devices(facts: dict[str, Any]) -> Iterator[Problem]:
    """GPUs, or why there are none."""
    if "devices" not in facts:
        return
    if error := facts.get("cuda_error"):
        first = error.splitlines()[0]
        yield Problem("device", "broken", f"a GPU is there and fails: {first}", "set device: cpu")
    for index, device in enumerate(facts["devices"]):
        said = (
            f"cuda:{index} {device['name']}, {device['free'] / _GB:.0f} of "
            f"{device['memory'] / _GB:.0f} GB free"
        )
        kind = "bfloat16" if device["bfloat16"] else "float32 (it has no native bfloat16)"
        yield Problem("device", "ok", f"{said}, precision {kind}")
    if not facts["devices"] and not facts.get("cuda_error"):
        kind = "bfloat16" if facts["cpu_bfloat16"] else "float32 (no native bfloat16)"
        said = f"cpu, precision {kind}"
        if shutil.which("nvidia-smi") or Path("/proc/driver/nvidia").exists():
            built = facts["cuda_built"]
            why = f"torch was built for CUDA {built}" if built else "torch was built without CUDA"
            yield Problem(
                "device",
                "remark",
                f"{said}; there is an NVIDIA driver, and {why}",
                "install the torch that fits the driver: pytorch.org/get-started",
            )
        else:
            yield Problem("device", "ok", said)


def threads(facts: dict[str, Any]) -> Iterator[Problem]:
    """Processors, and how many torch would use."""
    cores = _cores()
    threads = facts.get("threads")
    said = f"{cores} core{'s' * (cores > 1)} for this process"
    if threads is None:
        yield Problem("threads", "ok", said)
    elif threads > cores:
        mend = f"set threads: {cores} in the study, or OMP_NUM_THREADS={cores}"
        yield Problem("threads", "remark", f"{said}, and torch would use {threads}", mend)
    else:
        yield Problem("threads", "ok", f"{said}, torch uses {threads}")


def _cores() -> int:
    """Processors that this process may use; a container's share of time counts."""
    there = getattr(os, "process_cpu_count", os.cpu_count)() or 1
    if hasattr(os, "sched_getaffinity"):
        there = len(os.sched_getaffinity(0))
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return there if quota == "max" else max(1, min(there, round(int(quota) / int(period))))
    except (OSError, ValueError):
        return there


def disk(folder: Path) -> Iterator[Problem]:
    """Whether runs can be written, how much of them, and how fast."""
    there = next(place for place in (folder, *folder.absolute().parents) if place.is_dir())
    free = shutil.disk_usage(there).free
    mend = "free some, or choose another place with --out"
    try:
        with tempfile.NamedTemporaryFile(dir=there, prefix=".imgcollapse-") as file:
            began = time.perf_counter()
            file.write(os.urandom(_TRIAL))
            file.flush()
            os.fsync(file.fileno())
            speed = _TRIAL / max(time.perf_counter() - began, 1e-9)
    except OSError as error:
        where = "choose another place with --out"
        said = f"{there} cannot be written to ({error.strerror})"
        yield Problem("disk", "remark", said, where)
        return
    said = f"{there}: {free / _GB:,.1f} GB free, written and flushed at {speed / 1e6:,.0f} MB/s"
    if free < 10**8:
        yield Problem("disk", "broken", said, mend)
    elif free < 2 * _GB:
        yield Problem("disk", "remark", said, mend)
    elif speed < 5e6:
        yield Problem(
            "disk", "remark", f"{said}, which is slow", "write runs to a local disk: --out"
        )
    else:
        yield Problem("disk", "ok", said)


def temporary() -> Iterator[Problem]:
    """The folder for temporary files."""
    try:
        with tempfile.TemporaryFile() as file:
            file.write(b"x")
        yield Problem("temp folder", "ok", tempfile.gettempdir())
    except OSError as error:
        said = f"no temporary file can be written ({error.strerror or error})"
        yield Problem(
            "temp folder", "broken", said, "set TMPDIR to a folder that can be written to"
        )


def shared_memory() -> Iterator[Problem]:
    """Where worker processes share tensors."""
    place = Path("/dev/shm")  # noqa: S108 (it is looked at, nothing is kept there)
    if not place.is_dir():
        return
    free = shutil.disk_usage(place).free
    said = f"{free / _GB:,.2f} GB free in {place}"
    if not os.access(place, os.W_OK):
        mend = "mount it writable; worker processes share tensors there"
        yield Problem("shared mem", "remark", f"{place} cannot be written to", mend)
    elif free < 2**27:
        mend = "of a container, start it with --shm-size=1g; worker processes share tensors there"
        yield Problem("shared mem", "remark", said, mend)
    else:
        yield Problem("shared mem", "ok", said)


def home() -> Iterator[Problem]:
    """Where caches go."""
    try:
        home = Path.home()
    except RuntimeError:
        yield Problem("home", "remark", "nobody knows where it is", "set HOME")
        return
    caches = Path(os.environ.get("MPLCONFIGDIR") or os.environ.get("XDG_CACHE_HOME") or home)
    place = next((each for each in (caches, *caches.parents) if each.exists()), home)
    if os.access(place, os.W_OK):
        yield Problem("home", "ok", str(home))
    else:
        said = f"{place} cannot be written to: matplotlib looks for fonts anew each time"
        yield Problem("home", "remark", said, "set MPLCONFIGDIR to a folder that can be")


def text() -> Iterator[Problem]:
    """Whether names can be printed."""
    kind = (sys.stdout.encoding or locale.getpreferredencoding(False)).lower()
    if "utf" in kind:
        yield Problem("text", "ok", kind)
    else:
        said = f"the terminal takes {kind}: names in other letters are spelt out as \\u escapes"
        yield Problem("text", "remark", said, "set LC_ALL=C.UTF-8")


def browser() -> Iterator[Problem]:
    """What opens reports and the review page."""
    found = next((name for name in _BROWSERS if shutil.which(name)), None)
    mac = Path("/Applications/Safari.app").exists()
    if found or mac:
        yield Problem("browser", "ok", f"{found or 'Safari'}, for reports and review")
    else:
        mend = "reports are files to copy; for review use ssh -L, or review --export"
        yield Problem("browser", "remark", "none on this machine", mend)
