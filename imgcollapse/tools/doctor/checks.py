"""All checks, one after another."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from imgcollapse.tools.doctor import machine, software
from imgcollapse.tools.doctor.findings import Problem


def examine(folder: Path) -> list[Problem]:
    """Look at everything.

    Args:
        folder: where runs are to be written.
    """
    facts = software.probe()
    checks: tuple[Callable[[], Iterator[Problem]], ...] = (
        software.python,
        software.packages,
        partial(software.pair, facts),
        partial(machine.devices, facts),
        partial(machine.threads, facts),
        partial(machine.disk, folder),
        machine.temporary,
        machine.shared_memory,
        machine.home,
        machine.text,
        software.fonts,
        machine.browser,
        partial(software.weights, facts),
    )
    findings = []
    for check in checks:
        try:
            findings += check()
        except Exception as error:  # on a machine that is ill a check may fail as well
            said = f"a check could not be made: {type(error).__name__}: {error}"
            findings.append(Problem("doctor", "remark", said, "look at what it names"))
    return findings
