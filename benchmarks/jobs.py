"""How much more two workers do than one: small lineages, `sweep --jobs 1` against `--jobs 2`.

    python benchmarks/jobs.py [--jobs 2] [--lineages 4] [--repeats 3] [--json FILE]

The same lineages are made by one worker and by several, alternately, each time in a new folder
whose oracle is there already. What is timed is what a user waits for, the start of the workers
included. The table shows medians; the ratio is of throughputs. Nobody else should be using the
machine.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from imgcollapse.core.progress import NullProgress
from imgcollapse.sweeps import ProcessPool, SweepProgress, load_plan
from imgcollapse.sweeps.tasks import TaskRunner, tasks_of

PLAN = """
study:
  generations: 4
  samples: 500
  data: {kind: digits}
  longtail: {kind: exponential, factor: 20, images: 200}
  splits: {oracle: 40, calibration: 20, reference: 100}
  generator: {kind: ddpm, channels: [16, 32], attention: false, steps: 250, sample_steps: 10}
  oracle: {kind: cnn, steps: 100, width: 8}
arms: {replace: {regime: replace}}
"""


def seconds(folder: Path, jobs: int, lineages: int) -> float:
    """How long so many workers take for all lineages."""
    file = folder.with_suffix(".yaml")
    file.write_text(PLAN)
    found = tasks_of(load_plan(file, [f"lineages={lineages}"]), folder)
    TaskRunner(NullProgress()).run(found[0])  # its oracle: not what is timed
    at = time.perf_counter()
    failures = ProcessPool(jobs).run(found, SweepProgress(None))
    taken = time.perf_counter() - at
    if failures:
        raise SystemExit("; ".join(failures.values()))
    return taken


def measure(jobs: int, lineages: int, repeats: int) -> dict[str, Any]:
    """Median seconds of one worker and of several, and the ratio of their throughputs."""
    took: dict[int, list[float]] = {1: [], jobs: []}
    with tempfile.TemporaryDirectory() as folder:
        for repeat in range(repeats):
            for at_a_time in took:
                place = Path(folder) / f"{repeat}_{at_a_time}"
                took[at_a_time].append(seconds(place, at_a_time, lineages))
    one, several = (statistics.median(took[n]) for n in (1, jobs))
    return {
        "lineages": lineages,
        "jobs": jobs,
        "seconds_one": one,
        "seconds_several": several,
        "ratio": one / several,
        "load": os.getloadavg()[0],
        "cores": os.cpu_count(),
        "torch": torch.__version__,
    }


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    options.add_argument("--jobs", type=int, default=2)
    options.add_argument("--lineages", type=int, default=4)
    options.add_argument("--repeats", type=int, default=3)
    options.add_argument("--json", type=Path)
    asked = options.parse_args()
    found = measure(asked.jobs, asked.lineages, asked.repeats)
    table = Table("workers", "seconds", "lineages an hour", title=f"{asked.lineages} lineages")
    for workers, taken in ((1, found["seconds_one"]), (asked.jobs, found["seconds_several"])):
        table.add_row(f"{workers}", f"{taken:.1f}", f"{asked.lineages / taken * 3600:,.0f}")
    console = Console(highlight=False)
    console.print(f"{found['cores']} cores, torch {found['torch']}, load {found['load']:.1f}")
    console.print(table)
    console.print(f"{found['ratio']:.2f} times the throughput of one worker")
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
