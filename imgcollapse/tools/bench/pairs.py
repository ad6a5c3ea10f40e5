"""Two ways of doing the same work, measured in turns."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch

from imgcollapse.tools.bench import memory

A = TypeVar("A")
B = TypeVar("B")


@dataclass(frozen=True)
class Measured(Generic[A]):
    """One run of some work.

    Attributes:
        seconds: how long it took, until the device was done.
        processor: seconds of processor time, of all threads: what a busy machine changes less.
        memory: peak in MiB (memory.py), or None where it cannot be known.
        outcome: what the work returned.
    """

    seconds: float
    processor: float
    memory: float | None
    outcome: A


def measured(work: Callable[[], A], device: torch.device) -> Measured[A]:
    """Do some work, and nothing else, against the clock."""
    gc.collect()
    memory.reset(device)
    _wait(device)
    begun, used = time.perf_counter(), time.process_time()
    outcome = work()
    _wait(device)
    seconds, processor = time.perf_counter() - begun, time.process_time() - used
    return Measured(seconds, processor, memory.peak(device), outcome)


def in_turns(
    ours: Callable[[int], A], theirs: Callable[[int], B], repeats: int, device: torch.device
) -> tuple[list[Measured[A]], list[Measured[B]]]:
    """Measure both `repeats` times, one after the other.

    What slows the machine for a while slows both of a pair; and who goes first changes from pair to
    pair, so that nobody always meets the warmer processor.

    Args:
        ours: work, told the number of the pair.
        theirs: the other way of doing it.
        repeats: pairs.
        device: waited for.
    """
    mine: list[Measured[A]] = []
    others: list[Measured[B]] = []
    for pair in range(repeats):
        if pair % 2 == 0:
            mine.append(measured(lambda i=pair: ours(i), device))
        others.append(measured(lambda i=pair: theirs(i), device))
        if pair % 2:
            mine.append(measured(lambda i=pair: ours(i), device))
    return mine, others


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
