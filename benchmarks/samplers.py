"""What each sampler makes of the classes: first models of the demo, each drawn in many ways.

    python benchmarks/samplers.py [--models 5] [--samples 2000] [--most 200] [--json FILE]

A model that is told no class draws classes as it has learned them, as far as its sampler lets it.
The table shows means over models: how many samples are recognised, and of these how far the class
shares are from the training set's (total variation), and what part of the commonest class's share
and of the rarer half's is there. Beside it stands what as many images drawn from the training set
would have.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from imgcollapse.census import UNRECOGNIZED
from imgcollapse.cli.progress import ConsoleProgress
from imgcollapse.config.loader import load_study
from imgcollapse.core.images import UNKNOWN
from imgcollapse.core.seeds import Seed
from imgcollapse.experiment.runner import begin
from imgcollapse.generators import DDPM
from imgcollapse.generators.noise_schedule import Sampler
from imgcollapse.training.context import RunContext

CONFIG = Path(__file__).parents[1] / "configs/demo.yaml"
WAYS: list[tuple[Sampler, int]] = [
    *(("dpm++", steps) for steps in (8, 12, 20, 50)),
    *(("ddim", steps) for steps in (20, 50, 200)),
    *(("sde-dpm++", steps) for steps in (12, 20, 50, 200)),
    *(("ddpm", steps) for steps in (50, 200, 1000)),
]
READINGS = {
    "recognised": "recognised",
    "tv": "total variation",
    "common": "commonest, of its share",
    "rare": "rarer half, of theirs",
}


def readings(
    seed: int, samples: int, most: int, display: ConsoleProgress
) -> Iterator[dict[str, Any]]:
    """One model, drawn in every way that takes at most so many steps."""
    study = load_study(CONFIG, [f"seed={seed}"])
    with tempfile.TemporaryDirectory() as folder:
        _, evaluator = begin(study, Path(folder) / "run", display)
    real, generator = evaluator.real, study.generator
    assert isinstance(generator, DDPM)
    display.start_generation(0, 1, study)
    name = Seed((study.seed, 0, 1))  # of the study's first generation
    classes = len(real.classes)
    context = RunContext(name / "fit", evaluator.device, real.train.shape, classes, display)
    model = generator.fit(real.train, context)
    asked = torch.full((samples,), UNKNOWN, dtype=torch.int16)
    drawn = real.train[torch.randint(len(real.train), (samples,), generator=name.torch())]
    ways = [(sampler, steps) for sampler, steps in WAYS if steps <= most]
    for sampler, steps in [("real", 0), *ways]:
        if steps:
            how = generator.model_copy(update={"sampler": sampler, "sample_steps": steps})
            drawn = replace(model, settings=how).sample(
                asked, context.with_seed(name / "sample" / sampler / steps)
            )
        _, findings = evaluator.measure(1, drawn)
        rows = {row["class"]: row for row in findings["census"]}
        shares = torch.tensor([rows[name]["frequency"] for name in real.classes])
        half = len(shares) // 2
        yield {
            "seed": seed,
            "sampler": sampler,
            "steps": steps,
            "recognised": 1 - rows[UNRECOGNIZED]["frequency"],
            "tv": float((shares - real.shares).abs().sum() / 2),
            "common": float(shares[0] / real.shares[0]),
            "rare": float(shares[half:].sum() / real.shares[half:].sum()),
        }


def table(found: list[dict[str, Any]]) -> Table:
    """Means over models, and their range."""
    shown = Table("sampler", "steps", *READINGS.values())
    for sampler, steps in dict.fromkeys((row["sampler"], row["steps"]) for row in found):
        of = [row for row in found if (row["sampler"], row["steps"]) == (sampler, steps)]
        cells = []
        for name in READINGS:
            values = [row[name] for row in of]
            mean = sum(values) / len(values)
            cells.append(f"{mean:.3f} ({min(values):.3f} to {max(values):.3f})")
        shown.add_row(sampler, f"{steps or ''}", *cells)
    return shown


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    options.add_argument("--models", type=int, default=5)
    options.add_argument("--samples", type=int, default=2000)
    options.add_argument("--most", type=int, default=200, help="steps")
    options.add_argument("--json", type=Path)
    asked = options.parse_args()
    found: list[dict[str, Any]] = []
    console = Console(highlight=False)
    for seed in range(asked.models):
        with ConsoleProgress() as display:
            for row in readings(seed, asked.samples, asked.most, display):
                found.append(row)
                said = ", ".join(f"{name} {row[name]:.3f}" for name in READINGS)
                display.log(f"seed {seed}, {row['sampler']} {row['steps']}: {said}")
    console.print(table(found))
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
