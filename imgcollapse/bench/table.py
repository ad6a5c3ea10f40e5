"""What a bench found, as tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from imgcollapse.bench.result import Check, Comparison, Generation, Report, Side, Solver


def tables(report: Report) -> Iterator[Table | Text]:
    """A line on the machine, then a table of each kind of finding that there is."""
    machine, peaks = report.machine, report.peak
    products = ", ".join(f"{name} {peak / 1e9:,.0f} GFLOP/s" for name, peak in peaks.items())
    yield Text(
        f"{machine['cpu']}, {machine['cores']} cores, {machine['threads']} threads, "
        f"{machine['device']}, torch {machine['torch']}; matrix products: {products}"
    )
    if report.comparisons:
        yield comparisons(report.comparisons)
    if report.generations:
        yield generations(report.generations)
        yield Text(f"{report.generations_per_hour:,.0f} generations/hour, as fast as the last")
    if report.solvers:
        yield solvers(report.solvers)
    if report.checks:
        yield checks(report.checks)


def comparisons(found: Sequence[Comparison]) -> Table:
    """Rates, ratios with their spread over pairs, and what came of both sides."""
    rows = _table("work", "here", "reference", "ratio", "promised", "result", "of peak", "MiB")
    for each in found:
        low, high = min(each.ratios), max(each.ratios)
        promised = f"{each.target:g}" if each.target else ""
        if each.target:
            promised += " [green]met" if each.ratio >= each.target else " [bold red]MISSED"
        quality = each.quality
        result = ""
        if quality:
            ours, theirs = (sum(x) / len(x) for x in (quality.ours, quality.reference))
            verdict = "[green]holds" if quality.holds else "[bold red]WORSE"
            result = (
                f"{quality.what}: {ours:.4g} against {theirs:.4g}, "
                f"{quality.difference:+.1%} {verdict}"
            )
        rows.add_row(
            f"{each.title}\n[dim]{each.ours.name} ({each.chosen}) against {each.reference.name}",
            _rate(each.ours),
            _rate(each.reference),
            f"{each.ratio:.2f} ({low:.2f} to {high:.2f})",
            promised,
            result,
            f"{each.peak_share:.0%}" if each.peak_share else "",
            f"{each.ours.memory or 0:,.0f} / {each.reference.memory or 0:,.0f}",
        )
    rows.caption = "images/s, medians over pairs measured in turns; MiB: peak of either side"
    return rows


def generations(found: Sequence[Generation]) -> Table:
    """Seconds by stage."""
    stages = list(dict.fromkeys(stage for each in found for stage in each.seconds))
    stages = [stage for stage in stages if stage != "rest"] + ["rest"]
    rows = _table("generation", *stages, "seconds in all", "MiB")
    for each in found:
        cells = [f"{each.seconds[stage]:.2f}" if stage in each.seconds else "" for stage in stages]
        memory = f"{each.memory:,.0f}" if each.memory else ""
        rows.add_row(str(each.number or "begin"), *cells, f"{each.wall:.2f}", memory)
    return rows


def solvers(found: Sequence[Solver]) -> Table:
    """Quality against steps."""
    names = list(dict.fromkeys(name for each in found for name in each.metrics))
    rows = _table("sampler", "steps", "images/s", *names)
    for each in found:
        cells = []
        for name in names:
            value, low, high = each.metrics.get(name, (None, None, None))
            spread = f" ({low:.3g} to {high:.3g})" if low is not None and high is not None else ""
            cells.append("" if value is None else f"{value:.3g}{spread}")
        rows.add_row(each.name, str(each.steps), f"{each.rate:,.0f}", *cells)
    return rows


def checks(found: Sequence[Check]) -> Table:
    """Numbers with limits."""
    rows = _table("what", "is", "at most", "")
    for each in found:
        verdict = "[green]holds" if each.holds else "[bold red]MISSED"
        rows.add_row(
            f"{each.what}\n[dim]{each.detail}", f"{each.value:.1%}", f"{each.limit:.0%}", verdict
        )
    return rows


def _table(first: str, *others: str) -> Table:
    rows = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    rows.add_column(first, min_width=24)
    for name in others:
        rows.add_column(name, justify="right")
    return rows


def _rate(side: Side) -> str:
    return f"{side.median:,.0f}"
