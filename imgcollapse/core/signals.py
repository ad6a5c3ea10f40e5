"""Handles SIGTERM, SIGUSR1 and Ctrl-C: sets a flag that is acted on at the next safe point."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from imgcollapse.core.errors import Stopped

# SLURM and spot machines send the first two, Ctrl-C is the last; Windows has no SIGUSR1.
SIGNALS = [
    getattr(signal, name) for name in ("SIGTERM", "SIGUSR1", "SIGINT") if hasattr(signal, name)
]

_noted: list[signal.Signals] = []


@contextmanager
def catch_signals() -> Iterator[None]:
    """Inside the block SIGTERM, SIGUSR1 and Ctrl-C only set a flag, for later.

    A second Ctrl-C is obeyed at once. What is ignored already stays so. For the main thread.
    """
    before = {}
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            before[number] = signal.signal(number, _note)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        _noted.clear()


def stop_requested() -> bool:
    """Whether a signal to stop has come."""
    return bool(_noted)


def raise_if_stop_requested() -> None:
    """Raise Stopped or KeyboardInterrupt if a signal asked for it; call it where all is kept."""
    if not _noted:
        return
    if _noted[0] == signal.SIGINT:
        raise KeyboardInterrupt
    raise Stopped(f"{signal.Signals(_noted[0]).name} asked to stop")


def _note(number: int, _frame: FrameType | None) -> None:
    _noted.append(signal.Signals(number))
    if number == signal.SIGINT:
        signal.signal(number, signal.default_int_handler)
