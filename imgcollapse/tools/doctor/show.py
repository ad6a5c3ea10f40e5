"""Findings on a terminal, in a log, and as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

from rich.console import Console
from rich.table import Table
from rich.text import Text

from imgcollapse.core.sanitize import one_line
from imgcollapse.tools.doctor.findings import Problem

_MARKS = {"ok": ("✓", "green"), "remark": ("!", "yellow"), "broken": ("✗", "bold red")}
_ASCII = {"ok": "+", "remark": "!", "broken": "x"}


def show(findings: Sequence[Problem], console: Console) -> None:
    """Print what was found: a table on a terminal, a line each in a log."""
    if not console.is_terminal:
        for finding in findings:
            line = f"{finding.verdict:<6}  {finding.topic:<12}  {one_line(finding.said)}"
            print(line + (f"; {one_line(finding.mend)}" if finding.mend else ""), file=console.file)
        print(summary(findings), file=console.file)
        return
    utf8 = console.encoding.startswith("utf")
    table = Table.grid(padding=(0, 2))
    table.add_column()
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for finding in findings:
        mark, style = _MARKS[finding.verdict]
        said = Text(one_line(finding.said), "" if finding.verdict == "ok" else style)
        if finding.mend:
            said.append(f"\n{'→' if utf8 else '->'} {one_line(finding.mend)}", "default not bold")
        table.add_row(Text(mark if utf8 else _ASCII[finding.verdict], style), finding.topic, said)
    console.print(table)
    console.print(Text(f"\n{summary(findings)}", "bold"))


def summary(findings: Sequence[Problem]) -> str:
    """All findings in one sentence."""
    broken = sum(finding.verdict == "broken" for finding in findings)
    remarks = sum(finding.verdict == "remark" for finding in findings)
    if broken:
        return f"{broken} thing{'s' * (broken > 1)} must be mended before a study can run."
    if remarks:
        return f"Studies run here; {remarks} remark{'s' * (remarks > 1)}."
    return "All is well."


def as_json(findings: Sequence[Problem]) -> str:
    """The findings as a JSON object with `ok`, whether nothing is broken."""
    ok = all(finding.verdict != "broken" for finding in findings)
    return json.dumps({"ok": ok, "findings": [asdict(finding) for finding in findings]}, indent=2)
