"""How fast this program is, against what a user would otherwise run.

    plan.py         what all parts share
    vae.py          a VAE's training against a plain float32 loop
    ddpm.py         a diffusion model's training against diffusers' documented loop
    sampling.py     few steps against ancestral sampling in 1,000; quality against steps
    measuring.py    naming, census and FID against torchmetrics' FID
    generations.py  whole generations of the demo's study, stage by stage
    precision.py    bfloat16 against float32
    references/     what a user would run, written from the libraries' documentation
    pictures.py     what both sides are given
    pace.py         a training's steps alone, without what comes before them
    pairs.py        two ways of doing the same work, measured in turns
    peak.py         the machine's matrix-product peak; operations of a piece of work
    memory.py       the most memory held at a time
    result.py       what is found, as JSON;  table.py  as a table

A ratio is the median over pairs measured in turns, never of two runs at different times. Beside it
stands what came out, for it is easy to be fast by doing less.
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
from imgcollapse.io.atomic import check_writable, write_bytes
from imgcollapse.tools.bench import ddpm, generations, measuring, precision, sampling, vae
from imgcollapse.tools.bench.plan import BenchSettings, Size
from imgcollapse.tools.bench.result import Check, Comparison, Generation, Report, Solver
from imgcollapse.tools.bench.table import tables

__all__ = ["PARTS", "BenchSettings", "Report", "bench", "tables", "write"]

Part = Callable[[BenchSettings], Any]

PARTS: dict[str, Part] = {
    "vae": vae.compare,
    "ddpm": ddpm.compare,
    "sampling": sampling.compare,
    "measuring": measuring.compare,
    "generations": generations.take_times,
    "precision": precision.compare,
    "solvers": sampling.solvers,
}
ASKED_FOR = ("precision", "solvers")
"""Parts that run only when they are named."""

_PLACE = {
    Comparison: "comparisons",
    Generation: "generations",
    Solver: "solvers",
    Check: "checks",
}


def bench(
    only: Sequence[str] = (),
    size: str = "real",
    repeats: int = 3,
    device: str = "auto",
    dtype: str = "auto",
    command: str = "",
    say: Callable[[str], Any] = print,
) -> Report:
    """Measure.

    Args:
        only: parts by name; none means all but those that have to be asked for.
        size: of the work.
        repeats: pairs of every comparison, 1 or more.
        device: as in a study.
        dtype: the precision of a study, for this program's side.
        command: what was typed, for the record.
        say: is told a line when a part begins.

    Raises:
        UserError: there is no such part, size, precision or device.
    """
    if strange := [name for name in only if name not in PARTS]:
        raise UserError(f"--only: there is no part {strange[0]}; choose from {', '.join(PARTS)}")
    for option, value, known in (("size", size, Size), ("precision", dtype, Precision)):
        if value not in get_args(known):
            raise UserError(f"--{option}: {value} is none of {', '.join(get_args(known))}")
    where = choose_device(device, cast(Precision, dtype))
    frame = BenchSettings(cast(Size, size), repeats, where, say=say)
    asked = only or [name for name in PARTS if name not in ASKED_FOR]
    found: dict[str, list[Any]] = {place: [] for place in _PLACE.values()}
    for name, part in PARTS.items():
        if name in asked:
            say(f"bench: {name}")
            for item in part(frame):
                found[_PLACE[type(item)]].append(item)
    frame.peak(torch.float32)
    frame.peak()
    return Report.model_validate(
        found
        | {
            "command": command,
            "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "size": size,
            "machine": {
                "cpu": _processor(),
                "cores": joblib.cpu_count(),
                **environment(frame.device),
            },
            "peak": frame.peaks(),
        }
    )


def write(report: Report, out: Path) -> Path:
    """Write the JSON file.

    Raises:
        UserError: it cannot be written.
    """
    check_writable(out.absolute().parent)
    out.absolute().parent.mkdir(parents=True, exist_ok=True)
    write_bytes(out, (report.model_dump_json(indent=1) + "\n").encode())
    return out


def _processor() -> str:
    """The processor's name, or its kind where the system does not say."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
