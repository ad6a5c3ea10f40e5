"""The plan on a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rich.console import Console
from rich.table import Table
from rich.text import Text

from imgcollapse.core.progress import format_duration
from imgcollapse.experiment.forecast.estimate import Forecast


def show(plan: Forecast, console: Console) -> None:
    """Print what a study takes."""
    table = Table(show_header=False)
    for name, words in _rows(plan):
        table.add_row(Text(name), Text(words))
    console.print(table)
    console.print(Text(_probed(plan)))


def show_arms(plans: Mapping[str, Forecast], jobs: int, console: Console) -> None:
    """Print what the arms of a sweep take, and all together.

    Args:
        plans: by the arm's name.
        jobs: lineages at a time.
        console: where.
    """
    table = Table("arm")
    for name in ("models", "steps", "samples", "one after another", "disk"):
        table.add_column(name, justify="right")
    for name, plan in plans.items():
        table.add_row(Text(name), *_cells([plan]))
    table.add_section()
    table.add_row("all", *_cells(list(plans.values())))
    console.print(table)
    seconds = sum(plan.seconds for plan in plans.values())
    most = max((plan.memory or 0 for plan in plans.values()), default=0)
    console.print(
        Text(
            f"With {jobs} at a time: about {format_duration(seconds / jobs)}, if they do not slow "
            f"each other down, and {_bytes(jobs * most)} of memory."
        )
    )
    probes = {id(plan.profile): plan.profile.took for plan in plans.values()}
    console.print(
        Text(f"Measured in {format_duration(sum(probes.values()))}; nothing was written.")
    )


def _cells(plans: list[Forecast]) -> Iterator[str]:
    """Cells of some arms taken together."""
    models = [plan.study.lineages * plan.study.generations for plan in plans]
    steps = [plan.steps for plan in plans if plan.steps is not None]
    yield f"{sum(models):,}"
    yield f"{sum(steps):,}" if steps else "none"
    yield f"{sum(m * plan.samples for m, plan in zip(models, plans, strict=True)):,}"
    yield format_duration(sum(plan.seconds for plan in plans))
    yield _bytes(sum(plan.disk for plan in plans))


def _rows(plan: Forecast) -> Iterator[tuple[str, str]]:
    study, real, course = plan.study, plan.profile.real, plan.schedule
    channels, height, width = real.train.shape
    models = study.lineages * study.generations
    yield (
        "real images",
        f"{len(real.train):,} of {channels} x {height} x {width}, {len(real.classes)} classes",
    )
    several = f"{study.lineages} lineages of " if study.lineages > 1 else ""
    yield "models", f"{several}{study.generations} generations: {models:,} to train"
    yield "training sets", f"{_between(course.training)} images"
    if plan.steps is not None:
        each = _between([steps for steps in course.steps if steps is not None])
        yield "training steps", f"{plan.steps:,}: {each} a model"
    yield "samples", f"{models * plan.samples:,}: {plan.samples:,} a generation"
    stages = {
        "getting ready": plan.oracle,
        "training": plan.training,
        "sampling": plan.sampling,
        "measuring": plan.measuring,
    }
    said = ", ".join(f"{name} {format_duration(seconds)}" for name, seconds in stages.items())
    yield "time", f"about {format_duration(plan.seconds)}: {said}"
    if study.curation:
        yield "", "without the filters, which were not tried"
    yield "disk", f"{_bytes(plan.disk)}, and a page of 1 to 3 MB"
    if plan.memory is not None:
        yield "memory", f"about {_bytes(plan.memory)}"
    if plan.profile.gpu is not None:
        yield "GPU memory", f"about {_bytes(plan.profile.gpu)}"
    yield "device", plan.profile.device


def _probed(plan: Forecast) -> str:
    """A line on the probe and its cost."""
    probe = plan.profile
    trained = f"{probe.steps:,} training steps" if probe.steps else "one training"
    return (
        f"Measured in {format_duration(probe.took)}: {trained}, {probe.drawn:,} samples, one "
        "generation's measures. Nothing was written."
    )


def _between(values: tuple[int, ...] | list[int]) -> str:
    low, high = min(values), max(values)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _bytes(size: float) -> str:
    """A size as a reader likes it: decimal units, two or three digits."""
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if size >= 10 or unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB" if size < 1000 else f"{size / 1000:.1f} TB"
