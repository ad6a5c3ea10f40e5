"""Compares the speed of this program with the loops that a user would write.

    training.py     training of VAEs and diffusion models against plain loops; bfloat16
    sampling.py     few steps against ancestral sampling in 1,000; quality against steps
    generations.py  classifying and one metric against torchmetrics; generations, stage by stage
    references.py   the loops of the other side, from the libraries' documentation
    harness.py      settings and images that all parts share; times, memory, operations
    result.py       the results, as JSON

A ratio is the median over pairs measured in turns, never of two runs at different times. Beside it
stands the quality of both results, for doing less is an easy way to be faster.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast, get_args

import joblib
import torch

from imgcollapse.core.device import Precision, choose_device
from imgcollapse.core.errors import UserError
from imgcollapse.experiment.setup import environment
from imgcollapse.io.atomic import make_folder, write_bytes
from imgcollapse.tools.bench import generations, sampling, training
from imgcollapse.tools.bench.harness import BenchSettings, Size
from imgcollapse.tools.bench.result import Check, Comparison, Generation, Report, Solver

__all__ = ["PARTS", "BenchSettings", "Report", "bench", "write"]

Part = Callable[[BenchSettings], Any]

PARTS: dict[str, Part] = {
    "vae": training.compare_vaes,
    "ddpm": training.compare_ddpms,
    "sampling": sampling.compare,
    "measuring": generations.compare,
    "generations": generations.measure_stages,
    "precision": training.compare_precisions,
    "solvers": sampling.solvers,
}
OPTIONAL = ("precision", "solvers")
"""Parts that run only if they are named."""

_FIELDS = {Comparison: "comparisons", Generation: "generations", Solver: "solvers", Check: "checks"}


def bench(
    only: Sequence[str] = (),
    size: str = "real",
    repeats: int = 3,
    device: str = "auto",
    dtype: str = "auto",
    command: str = "",
    log: Callable[[str], Any] = print,
) -> Report:
    """Runs the parts of the bench that are named, or all but `OPTIONAL`.

    `repeats` are the pairs of every comparison; `device` and `dtype` are as in a study, for this
    program's side; `command` is for the record; `log` is called with a line when a part begins.

    Raises:
        UserError: there is no such part, size, precision or device.
    """
    if unknown := [name for name in only if name not in PARTS]:
        raise UserError(f"--only: there is no part {unknown[0]}; choose from {', '.join(PARTS)}")
    for option, value, known in (("size", size, Size), ("precision", dtype, Precision)):
        if value not in get_args(known):
            raise UserError(f"--{option}: {value} is none of {', '.join(get_args(known))}")
    where = choose_device(device, cast(Precision, dtype))
    settings = BenchSettings(cast(Size, size), repeats, where, log=log)
    chosen = only or [name for name in PARTS if name not in OPTIONAL]
    found: dict[str, list[Any]] = {field: [] for field in _FIELDS.values()}
    for name, part in PARTS.items():
        if name in chosen:
            log(f"bench: {name}")
            for item in part(settings):
                found[_FIELDS[type(item)]].append(item)
    settings.peak(torch.float32)
    settings.peak()
    return Report(
        command=command,
        date=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        size=size,
        machine={"cpu": _processor(), "cores": joblib.cpu_count(), **environment(where)},
        peak=settings.peaks,
        **found,  # pyright: ignore[reportArgumentType]
    )


def write(report: Report, out: Path) -> Path:
    """Writes the JSON file; `UserError` if it cannot be written."""
    make_folder(out.absolute().parent)
    write_bytes(out, (report.model_dump_json(indent=1) + "\n").encode())
    return out


def _processor() -> str:
    """The processor's name, or its architecture where the system does not give one."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
