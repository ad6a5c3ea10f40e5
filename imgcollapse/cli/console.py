"""Tables on the console: checks of the machine, evaluations of images, costs of studies.

Packages that import torch are imported where they are used: the doctor must run without torch.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich import box, filesize
from rich.console import Console
from rich.table import Table
from rich.text import Text

from imgcollapse.core.progress import format_duration
from imgcollapse.core.sanitize import one_line

if TYPE_CHECKING:
    from imgcollapse.data import RealData
    from imgcollapse.experiment.forecast import Forecast
    from imgcollapse.tools.doctor import CheckResult
    from imgcollapse.tools.evaluate import Evaluation

FLOOR = "_floor"
Row = dict[str, Any]
_MARKS = {"ok": ("✓", "green"), "remark": ("!", "yellow"), "broken": ("✗", "bold red")}
_ASCII = {"ok": "+", "remark": "!", "broken": "x"}


def open_console() -> Console:
    """Standard output: a terminal at its width; in a pipe no line is broken and no cell cut."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else 1000)


def print_checks(results: Sequence[CheckResult], console: Console) -> None:
    """Prints the doctor's results: a table on a terminal, a line each in a log."""
    if not console.is_terminal:
        for result in results:
            line = f"{result.verdict:<6}  {result.topic:<12}  {one_line(result.message)}"
            print(line + (f"; {one_line(result.fix)}" if result.fix else ""), file=console.file)
        print(_checks_summary(results), file=console.file)
        return
    utf8 = console.encoding.startswith("utf")
    table = Table.grid(padding=(0, 2))
    table.add_column()
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for result in results:
        mark, style = _MARKS[result.verdict]
        said = Text(one_line(result.message), "" if result.verdict == "ok" else style)
        if result.fix:
            said.append(f"\n{'→' if utf8 else '->'} {one_line(result.fix)}", "default not bold")
        table.add_row(Text(mark if utf8 else _ASCII[result.verdict], style), result.topic, said)
    console.print(table)
    console.print(Text(f"\n{_checks_summary(results)}", "bold"))


def _checks_summary(results: Sequence[CheckResult]) -> str:
    broken, remarks = (sum(r.verdict == kind for r in results) for kind in ("broken", "remark"))
    if broken:
        return f"{broken} thing{'s' * (broken > 1)} must be fixed before a study can run."
    if remarks:
        return f"Studies run here; {remarks} remark{'s' * (remarks > 1)}."
    return "All is well."


def print_data(real: RealData, console: Console) -> None:
    """Prints the number of images of each class in each split, and remarks on the images."""
    splits = {
        "train": real.train.labels,
        "oracle": real.oracle.labels,
        "calibration": real.calibration.labels,
        "reference": real.reference.labels,
        "reserve": real.reserve.labels,
    }
    table = simple_table("class", "share", *splits)
    for label, name in enumerate(real.classes):
        counts = (f"{int((each == label).sum()):,}" for each in splits.values())
        table.add_row(Text(name), f"{real.shares[label]:.2%}", *counts)
    table.add_section()
    table.add_row("all", "100%", *(f"{len(each):,}" for each in splits.values()))
    console.print(table)
    channels, height, width = real.train.shape
    size = f"images {channels} x {height} x {width}, sha256 {real.digest}"
    _say(console, *real.remarks, size)


def print_source(found: Mapping[str, Any], console: Console) -> None:
    """Prints what was understood of a source: layout, images of each class, what is not read."""
    from imgcollapse.data.summary import describe

    splits = found["splits"]
    _say(console, f"read as {found['layout']}")
    table = simple_table("source", *(f"{name} images" for name in splits))
    for name in splits["train"]:
        table.add_row(Text(one_line(name)), *(f"{counts[name]:,}" for counts in splits.values()))
    table.add_section()
    table.add_row("all", *(f"{sum(counts.values()):,}" for counts in splits.values()))
    console.print(table)
    _say(console, *describe(found))


def print_evaluation(evaluation: Evaluation, console: Console) -> None:
    """Prints the images' and the oracle's summary, both tables, and conclusions, in 80 columns."""
    from imgcollapse.core.estimate import wilson_interval
    from imgcollapse.tools.evaluate import rows

    record = evaluation.record
    images, oracle = record["images"], record["oracle"]
    _, height, width = record["shape"]
    census = rows(evaluation.census)
    everything = [row for row in rows(evaluation.metrics) if not row["class"]]
    _say(
        console,
        f"{images['number']:,} images of {width}x{height}. The oracle names "
        f"{oracle['accuracy']:.1%} of {oracle['held_out']:,} held-out real images rightly.",
        *images["remarks"],
    )
    rejected = oracle["held_out"] - round(oracle["recognised"] * oracle["held_out"])
    console.print("\nClasses, in percent of the recognized images; the last row, of all")
    console.print(_census(census, rejected / oracle["held_out"]))
    if census[-1]["low"] > (wilson_interval(rejected, oracle["held_out"]).high or 0.0):
        _say(console, "More are unrecognized than of real images; the shares are of the rest.")
    _say(console, *_verdicts(census[:-1]))
    console.print("\nDistances to real images, beside those between real images")
    console.print(_metrics(everything))
    notes = [f"{row['metric']}: undefined, {row['note']}" for row in everything if row["note"]]
    _say(console, f"Features: {everything[0]['features']}", *notes)


def _say(console: Console, *lines: str) -> None:
    for line in lines:
        console.print(Text(line))


def _census(census: Sequence[Row], rejected: float) -> Table:
    from imgcollapse.census import UNRECOGNIZED

    columns = ("class", "counted", "share", "95% interval", "limit", "real", "by chance")
    table = simple_table(*columns, padding=0, show_edge=False)
    for row in census:
        if row["class"] == UNRECOGNIZED:
            table.add_section()
            row |= {"expected": rejected}
        table.add_row(
            Text(row["class"]),
            f"{row['counted']:,}",
            _percent(row["frequency"]),
            _range(row["low"], row["high"]),
            _percent(row["detection_limit"]),
            _percent(row["expected"]),
            _range(row["drift_low"], row["drift_high"]),
        )
    return table


def _metrics(everything: Sequence[Row]) -> Table:
    columns = ("metric", "value", "95% interval", "real", "95% of real", "n")
    table = simple_table(*columns, padding=0, show_edge=False)
    floors = {row["metric"]: row for row in everything}
    for row in everything:
        if not row["metric"].endswith(FLOOR):
            floor = floors.get(row["metric"] + FLOOR, {})
            value, real = _number(row["value"]) or "undefined", _number(floor.get("value"))
            table.add_row(
                row["metric"], value, _interval(row), real, _interval(floor), f"{row['n']:,}"
            )
    return table


def _verdicts(classes: Sequence[Row]) -> Iterator[str]:
    """Sentences on classes whose interval and chance band do not overlap."""
    known = [row for row in classes if row["frequency"] is not None]
    for what, rows in {
        "Below the detection limit, not distinguishable from absent": [
            row for row in classes if row["status"] == "below-detection"
        ],
        "Rarer than chance allows": [row for row in known if row["high"] < row["drift_low"]],
        "More common than chance allows": [row for row in known if row["low"] > row["drift_high"]],
    }.items():
        if rows:
            yield f"{what}: {', '.join(row['class'] for row in rows)}."


def simple_table(first: str, *others: str, pad_edge: bool = False, **options: Any) -> Table:
    """A table with a line below its head: text on the left, numbers on the right."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=pad_edge, **options)
    table.add_column(first, overflow="fold")
    for name in others:
        table.add_column(name, justify="right", overflow="fold")
    return table


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.2f}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


def _range(low: float | None, high: float | None) -> str:
    return "" if low is None else f"{_percent(low)}–{_percent(high)}"


def _interval(row: Row) -> str:
    low, high = row.get("low"), row.get("high")
    return "" if low is None else f"{_number(low)} to {_number(high)}"


def print_forecast(plan: Forecast, console: Console) -> None:
    """Prints the cost of a study."""
    table, probe = Table(show_header=False), plan.profile
    for name, words in _forecast_rows(plan):
        table.add_row(Text(name), Text(words))
    console.print(table)
    trained = f"{probe.steps:,} training steps" if probe.steps else "one training"
    _say(
        console,
        f"Measured in {format_duration(probe.took)}: {trained}, {probe.drawn:,} samples, one "
        "generation's measures. Nothing was written.",
    )


def print_forecasts(plans: Mapping[str, Forecast], jobs: int, console: Console) -> None:
    """Prints the cost of each arm of a sweep by name, and of all with so many jobs at a time."""
    table = simple_table("arm", "models", "steps", "samples", "one after another", "disk")
    for name, plan in plans.items():
        table.add_row(Text(name), *_forecast_cells([plan]))
    table.add_section()
    table.add_row("all", *_forecast_cells(list(plans.values())))
    console.print(table)
    seconds = sum(plan.seconds for plan in plans.values())
    most = max((plan.memory or 0 for plan in plans.values()), default=0)
    probes = {id(plan.profile): plan.profile.took for plan in plans.values()}
    _say(
        console,
        f"With {jobs} at a time: about {format_duration(seconds / jobs)}, if they do not slow each "
        f"other down, and {_bytes(jobs * most)} of memory.",
        f"Measured in {format_duration(sum(probes.values()))}; nothing was written.",
    )


def _forecast_cells(plans: list[Forecast]) -> Iterator[str]:
    models = [plan.study.lineages * plan.study.generations for plan in plans]
    steps = [plan.steps for plan in plans if plan.steps is not None]
    yield f"{sum(models):,}"
    yield f"{sum(steps):,}" if steps else "none"
    yield f"{sum(m * plan.samples for m, plan in zip(models, plans, strict=True)):,}"
    yield format_duration(sum(plan.seconds for plan in plans))
    yield _bytes(sum(plan.disk for plan in plans))


def _forecast_rows(plan: Forecast) -> Iterator[tuple[str, str]]:
    study, real, schedule = plan.study, plan.profile.real, plan.schedule
    channels, height, width = real.train.shape
    models = study.lineages * study.generations
    size = f"{channels} x {height} x {width}"
    yield "real images", f"{len(real.train):,} of {size}, {len(real.classes)} classes"
    several = f"{study.lineages} lineages of " if study.lineages > 1 else ""
    yield "models", f"{several}{study.generations} generations: {models:,} to train"
    yield "training sets", f"{_between(schedule.training)} images"
    if plan.steps is not None:
        each = _between([steps for steps in schedule.steps if steps is not None])
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


def _between(values: tuple[int, ...] | list[int]) -> str:
    low, high = min(values), max(values)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _bytes(size: float) -> str:
    return filesize.decimal(round(size))
