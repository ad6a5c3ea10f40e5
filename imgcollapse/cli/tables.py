"""Tables of `bench` and of `validate` for the console."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence

from rich.table import Table
from rich.text import Text

from imgcollapse import metrics
from imgcollapse.cli.console import simple_table
from imgcollapse.tools.bench.result import Check, Comparison, Generation, Report, Solver
from imgcollapse.tools.validate.laws import Result
from imgcollapse.tools.validate.page import cells


def law_table(results: Sequence[Result]) -> Table:
    """Laws: published value, theory, this program, standard error, deviation, verdict."""
    rows = simple_table("law", "published", "theory", "here", "se", "z")
    rows.columns[0].min_width = 18
    rows.add_column("verdict")
    for result in results:
        rows.add_row(Text(f"{result.law.id} {result.law.title}", style="bold"))
        if result.skipped is not None:
            rows.add_row(Text(result.skipped), *[""] * 5, "[yellow]skipped")
        for measurement in result.measurements:
            mark = "[green]passed" if measurement.holds else "[bold red]FAILED"
            rows.add_row(*map(Text, cells(measurement)), mark)  # brackets are not markup
        rows.add_section()
    return rows


def bench_tables(report: Report) -> Iterator[Table | Text]:
    """Yields a line on the machine, then a table of each kind of result that there is."""
    machine, peaks = report.machine, report.peak
    products = ", ".join(f"{name} {peak / 1e9:,.0f} GFLOP/s" for name, peak in peaks.items())
    yield Text(
        f"{machine['cpu']}, {machine['cores']} cores, {machine['threads']} threads, "
        f"{machine['device']}, torch {machine['torch']}; matrix products: {products}"
    )
    if report.comparisons:
        yield _comparisons(report.comparisons)
    if report.generations:
        yield _generations(report.generations)
        yield Text(f"{report.generations_per_hour:,.0f} generations/hour, as fast as the last")
    if report.solvers:
        yield _solvers(report.solvers)
    if report.checks:
        yield check_table(report.checks)


def _comparisons(found: Sequence[Comparison]) -> Table:
    """Rates, ratios with their range over pairs, and the quality of both sides."""
    rows = simple_table("work", "here", "reference", "ratio", "promised")
    rows.caption = "units a second and ratios: medians over pairs measured in turns (their range)"
    for each in found:
        verdict = "[green]met" if each.ratio >= (each.target or 0) else "[bold red]MISSED"
        rows.add_row(
            f"[bold]{each.title}[/]\n{each.ours.name} ({each.chosen}) against "
            f"{each.reference.name}\n[dim]{_details(each)}",
            f"{each.ours.median:,.0f}",
            f"{each.reference.median:,.0f}",
            f"{each.ratio:.2f}\n({min(each.ratios):.2f} to {max(each.ratios):.2f})",
            f"{each.target:g}\n{verdict}" if each.target else "",
        )
        rows.add_section()
    return rows


def _details(found: Comparison) -> str:
    said = []
    if quality := found.quality:
        ours, theirs = (statistics.fmean(side) for side in (quality.ours, quality.reference))
        verdict = "" if quality.holds else f", more than the {quality.bound:.0%} allowed"
        said.append(
            f"{quality.what}: {ours:.4g} against {theirs:.4g} ({quality.difference:+.1%}{verdict})"
        )
    if steps := found.step_ratios:
        middle = statistics.median(steps)
        said.append(f"steps alone {middle:.2f} ({min(steps):.2f} to {max(steps):.2f})")
    said.append(f"by processor time {found.processor_ratio:.2f}")
    if found.peak_share:
        said.append(f"{found.peak_share:.0%} of the {found.chosen} matrix-product peak")
    if found.ours.memory and found.reference.memory:
        said.append(f"at most {found.ours.memory:,.0f} and {found.reference.memory:,.0f} MiB")
    return "; ".join(said)


def _generations(found: Sequence[Generation]) -> Table:
    """Seconds by stage."""
    stages = list(dict.fromkeys(stage for each in found for stage in each.seconds))
    stages = [stage for stage in stages if stage != "rest"] + ["rest"]
    rows = simple_table("generation", *stages, "seconds in all", "MiB")
    for each in found:
        times = [f"{each.seconds[s]:.2f}" if s in each.seconds else "" for s in stages]
        memory = f"{each.memory:,.0f}" if each.memory else ""
        rows.add_row(str(each.number or "begin"), *times, f"{each.wall:.2f}", memory)
    return rows


def _solvers(found: Sequence[Solver]) -> Table:
    """Quality against steps, by the metrics that runs are compared by; all are in the JSON."""
    infos = [
        info
        for info in metrics.metric_infos(metrics.MetricSettings())
        if info.compared and any(info.name in each.metrics for each in found)
    ]
    rows = simple_table("sampler", "steps", "images/s", *(info.label for info in infos))
    for each in found:
        values = []
        for info in infos:
            value, low, high = each.metrics.get(info.name, (None, None, None))
            spread = "" if low is None or high is None else f"\n[dim]{low:.2g} to {high:.2g}"
            values.append("" if value is None else f"{value:.3g}{spread}")
        rows.add_row(each.name, str(each.steps), f"{each.rate:,.0f}", *values)
    return rows


def check_table(found: Sequence[Check]) -> Table:
    """Values and their limits."""
    rows = simple_table("what", "is", "at most", "")
    for each in found:
        limit, verdict = "", ""
        if each.limit is not None:
            verdict = "[green]holds" if each.holds else "[bold red]MISSED"
            limit = f"{each.limit:.0%}"
        rows.add_row(f"{each.what}\n[dim]{each.detail}", f"{each.value:.1%}", limit, verdict)
    return rows
