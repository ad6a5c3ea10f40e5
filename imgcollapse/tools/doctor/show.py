"""Shows the results of the checks on a terminal or in a log."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from imgcollapse.core.sanitize import one_line
from imgcollapse.tools.doctor.checks import CheckResult

_MARKS = {"ok": ("✓", "green"), "remark": ("!", "yellow"), "broken": ("✗", "bold red")}
_ASCII = {"ok": "+", "remark": "!", "broken": "x"}


def show(results: Sequence[CheckResult], console: Console) -> None:
    """Print what was found: a table on a terminal, a line each in a log."""
    if not console.is_terminal:
        for result in results:
            line = f"{result.verdict:<6}  {result.topic:<12}  {one_line(result.message)}"
            print(line + (f"; {one_line(result.fix)}" if result.fix else ""), file=console.file)
        print(summary(results), file=console.file)
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
    console.print(Text(f"\n{summary(results)}", "bold"))


def summary(results: Sequence[CheckResult]) -> str:
    """All results in one sentence."""
    broken = sum(result.verdict == "broken" for result in results)
    remarks = sum(result.verdict == "remark" for result in results)
    if broken:
        return f"{broken} thing{'s' * (broken > 1)} must be fixed before a study can run."
    if remarks:
        return f"Studies run here; {remarks} remark{'s' * (remarks > 1)}."
    return "All is well."
