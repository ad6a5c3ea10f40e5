"""What the hundredth generation of `accumulate` costs, beside the tenth: memory, disk and time.

    python benchmarks/growth.py [--generations 100] [--images 1000] [--size 32] [--json FILE]

`resample` on paper dogs: nothing is trained, so that what is left is the program's own cost. Memory
is the process's resident set after each generation (Linux), disk is what a generation leaves, and
time is that of a whole generation from commit to commit; medians over the tenth generation and the
nine after it against the last ten.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

import imgcollapse as ic

STUDY = """
data: {{kind: paper_dogs, size: {size}}}
longtail: {{kind: exponential, factor: 20, images: {images}}}
splits: {{oracle: 200, calibration: 200, reference: 500}}
generator: resample
regime: accumulate
oracle: {{kind: cnn, steps: 60, width: 8}}
generations: {generations}
threads: 1
"""
WARM_UP, MANY = 10, 10


class Meter:
    """Notes memory and time when a generation begins, which is when the one before is done."""

    def __init__(self) -> None:
        self.memory: list[int] = []
        self.clock: list[float] = []

    def start_generation(self, lineage: int, generation: int, study: ic.Study) -> None:
        """A generation begins."""
        if generation:
            self.memory.append(resident())
            self.clock.append(time.perf_counter())

    def log(self, line: str) -> None:
        """Nothing."""

    def __call__(
        self, stage: str, step: int, steps: int, images: int, loss: float | None = None
    ) -> None:
        """Nothing."""


def resident() -> int:
    """Bytes of this process that are in memory, files that it has mapped included."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


def measure(generations: int, images: int, size: int) -> dict[str, Any]:
    """Medians over generations after the warm-up, and over the last ones."""
    meter = Meter()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "study.yaml"
        file.write_text(STUDY.format(size=size, images=images, generations=generations))
        lineage = ic.run(file, Path(folder) / "run", reporter=meter).lineages[0]
        meter.start_generation(0, generations + 1, ic.load_study(file))
        disk = [
            sum(path.stat().st_size for path in lineage.folder(g).iterdir())
            for g in range(1, generations + 1)
        ]
        tables = sum(path.stat().st_size for path in lineage.path.glob("*.csv"))
    seconds = [b - a for a, b in zip(meter.clock, meter.clock[1:], strict=False)]
    series = {"memory": meter.memory[1:], "disk": disk, "seconds": seconds}
    early, late = slice(WARM_UP - 1, WARM_UP - 1 + MANY), slice(-MANY, None)
    found = {
        name: {"early": statistics.median(values[early]), "late": statistics.median(values[late])}
        for name, values in series.items()
    }
    return found | {
        "generations": generations,
        "images": images,
        "size": size,
        "total_disk": sum(disk),
        "tables": tables,
        "torch": torch.__version__,
    }


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    options.add_argument("--generations", type=int, default=100)
    options.add_argument("--images", type=int, default=1000)
    options.add_argument("--size", type=int, default=32)
    options.add_argument("--json", type=Path)
    asked = options.parse_args()
    found = measure(asked.generations, asked.images, asked.size)
    table = Table("", f"generations {WARM_UP} to {WARM_UP + MANY - 1}", f"last {MANY}", "ratio")
    for name, unit, scale in (("memory", "MB", 1e6), ("disk", "kB", 1e3), ("seconds", "s", 1)):
        early, late = found[name]["early"], found[name]["late"]
        row = (f"{value / scale:,.3g} {unit}" for value in (early, late))
        table.add_row(
            f"{name} a generation" * (name != "memory") or name, *row, f"{late / early:.3f}"
        )
    console = Console(highlight=False)
    console.print(f"torch {found['torch']}, {found['generations']} generations, one thread")
    console.print(table)
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
