"""Settings and images of a bench, and its clock: time, memory, operations, the machine's peak."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Generic, Literal, NamedTuple, TypeVar

import torch
from torch.utils.flop_counter import FlopCounterMode

from imgcollapse.core.device import Device
from imgcollapse.core.images import Images
from imgcollapse.core.progress import NullProgress
from imgcollapse.core.seeds import Seed
from imgcollapse.data import Digits, PaperDogs
from imgcollapse.tools.bench.result import Comparison, Quality, Side

A = TypeVar("A")
B = TypeVar("B")

WARM_UP = 0.1
"""Share of a training's steps before the clock starts: the first ones load and compile."""

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_MIB = 2**20


@dataclass(frozen=True)
class Measurement(Generic[A]):
    """One run of some work: wall time until the device was done, peak of memory in MiB, outcome.

    `processor` is the time of all threads: a busy machine changes it less.
    """

    seconds: float
    processor: float
    memory: float | None
    outcome: A


def measure(work: Callable[[], A], device: torch.device) -> Measurement[A]:
    """Runs some work, and measures its time and its peak of memory."""
    gc.collect()
    reset_peak_memory(device)
    _synchronize(device)
    start, used = time.perf_counter(), time.process_time()
    outcome = work()
    _synchronize(device)
    seconds, processor = time.perf_counter() - start, time.process_time() - used
    return Measurement(seconds, processor, peak_memory(device), outcome)


def measure_in_turns(
    ours: Callable[[int], A], theirs: Callable[[int], B], repeats: int, device: torch.device
) -> tuple[list[Measurement[A]], list[Measurement[B]]]:
    """Measures both `repeats` times, one after the other.

    Both are given the number of the pair. Another load on the machine slows both of a pair; the
    order changes from pair to pair, so that neither always finds the processor warm.
    """
    mine: list[Measurement[A]] = []
    others: list[Measurement[B]] = []
    for pair in range(repeats):
        if pair % 2 == 0:
            mine.append(measure(partial(ours, pair), device))
        others.append(measure(partial(theirs, pair), device))
        if pair % 2:
            mine.append(measure(partial(ours, pair), device))
    return mine, others


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def reset_peak_memory(device: torch.device) -> None:
    """Starts a new measurement of the peak of memory."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    elif _CLEAR.exists():
        _CLEAR.write_text("5")  # proc(5): resets the peak resident set size


def peak_memory(device: torch.device) -> float | None:
    """MiB of the GPU, or of the process, since `reset_peak_memory`; None where it is not known."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / _MIB
    if not (_STATUS.exists() and _CLEAR.exists()):
        return None
    found = [line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM")]
    return int(found[0].split()[1]) / 1024 if found else None


class StepTimer(NullProgress):
    """A progress callback that times a training's steps, without what comes before the first."""

    def __init__(self) -> None:
        self.marks: list[tuple[int, float]] = []
        self.steps = 0

    def __call__(
        self, stage: str, step: int, steps: int, images: int = 0, loss: float | None = None
    ) -> None:
        """Notes the time at which `step` of `steps` was done."""
        self.steps = steps
        self.marks.append((step, time.perf_counter()))

    @property
    def seconds(self) -> float | None:
        """Seconds a step; None where reports span under half of the steps, or went back."""
        settled = [mark for mark in self.marks if mark[0] >= WARM_UP * self.steps]
        if not settled or (taken := settled[-1][0] - settled[0][0]) < self.steps / 2:
            return None
        if self.marks != sorted(self.marks):
            return None
        return (settled[-1][1] - settled[0][1]) / taken


def step_ratios(ours: list[StepTimer], theirs: list[StepTimer]) -> tuple[float, ...]:
    """Their seconds a step over ours, pair by pair; empty where one is not known."""
    pairs = [(a.seconds, b.seconds) for a, b in zip(ours, theirs, strict=True)]
    ratios = [b / a for a, b in pairs if a and b]
    return tuple(ratios) if len(ratios) == len(pairs) else ()


def matmul_peak(device: torch.device, dtype: torch.dtype, seconds: float) -> float:
    """FLOP/s of the fastest product of two square matrices, repeated for so many seconds."""
    side = 8192 if device.type == "cuda" else 2048
    # Of random numbers: a GPU multiplies ones faster than anything else.
    draw = torch.Generator(device).manual_seed(0)
    one, other = (
        torch.randn(side, side, generator=draw, device=device).to(dtype) for _ in range(2)
    )
    torch.mm(one, other)  # the first product sets the libraries up
    _synchronize(device)
    best, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        torch.mm(one, other)
        _synchronize(device)
        best = min(best, time.perf_counter() - start)
    return 2 * side**3 / best


def count_flops(work: Callable[[], object]) -> int:
    """Operations of products and convolutions, by their shapes, backward included."""
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()


Size = Literal["smoke", "small", "real", "gpu"]
"""Seconds, to test the program; a minute or two; as promised, on two cores; on a GPU."""

MAX_DOGS = 4096
"""Different dogs at most; more images repeat them, for drawing takes a while."""


@dataclass(frozen=True)
class BenchSettings:
    """Settings of a bench: size of the work, pairs of every comparison, seed of every draw."""

    size: Size
    repeats: int
    device: Device
    seed: Seed = field(default_factory=lambda: Seed(("bench",)))
    log: Callable[[str], Any] = print
    peaks: dict[str, float] = field(default_factory=dict)

    def peak(self, dtype: torch.dtype | None = None) -> float:
        """FLOP/s of the machine's fastest product in a type, by default the device's."""
        dtype = dtype or self.device.dtype
        name = str(dtype).removeprefix("torch.")
        if name not in self.peaks:
            seconds = 0.05 if self.size == "smoke" else 1.0
            self.peaks[name] = matmul_peak(self.device.torch, dtype, seconds)
        return self.peaks[name]

    def promised(self, limit: float) -> float | None:
        """Returns the limit at the sizes at which it is promised, else None."""
        return limit if self.size in ("real", "gpu") else None

    @property
    def precision(self) -> str:
        """Name of the device's number type."""
        return str(self.device.dtype).removeprefix("torch.")


class Judge(NamedTuple, Generic[A]):
    """Measures the quality of outcomes, lower is better; `curve` gives the course of a loss."""

    what: str
    bound: float
    values: Callable[[Sequence[A]], Sequence[float]]
    curve: Callable[[Sequence[A]], tuple[float, ...]] | None = None

    def compare(self, ours: Sequence[A], theirs: Sequence[A]) -> Quality:
        """Compares the outcomes of both sides."""
        return Quality(
            what=self.what,
            ours=tuple(self.values(ours)),
            reference=tuple(self.values(theirs)),
            bound=self.bound,
            curves=self.curve and (self.curve(ours), self.curve(theirs)),
        )


def compare_in_turns(
    bench: BenchSettings,
    part: str,
    title: str,
    ours: Callable[[int], A],
    theirs: Callable[[int], A],
    units: float,
    names: tuple[str, str],
    judge: Judge[A] | None = None,
    pairs: int | None = None,
    timer: Callable[[A], StepTimer] | None = None,
    flops: float | None = None,
    **more: Any,
) -> Comparison:
    """Measures this program and a reference in turns, `units` images of work a run.

    The work is given the number of the pair; `timer` gives the times of an outcome's steps, `flops`
    are the operations of one image, `more` are other fields of the comparison.
    """
    runs = measure_in_turns(ours, theirs, pairs or bench.repeats, bench.device.torch)
    outcomes = [[run.outcome for run in each] for each in runs]
    shown = [side(name, each, units) for name, each in zip(names, runs, strict=True)]
    if timer:
        more["step_ratios"] = step_ratios(*([timer(x) for x in each] for each in outcomes))
    if flops:
        more |= {"flops": flops, "peak_share": flops * shown[0].median / bench.peak()}
    return Comparison(
        part=part,
        title=title,
        ours=shown[0],
        reference=shown[1],
        quality=judge and judge.compare(*outcomes),
        chosen=more.pop("chosen", bench.precision),
        **more,
    )


def side(name: str, runs: Sequence[Measurement[Any]], units: float) -> Side:
    """One side of a comparison, from runs of `units` each."""
    memories = [run.memory for run in runs if run.memory is not None]
    return Side(
        name=name,
        rates=tuple(units / run.seconds for run in runs),
        processor=tuple(units / run.processor for run in runs),
        memory=max(memories) if memories else None,
    )


def dogs(n: int, size: int, gray: bool = False, held_out: bool = False) -> Images:
    """Returns n paper dogs of `size` pixels, in gray if asked; `held_out` are other ones."""
    source = PaperDogs(size=size).load()
    images = source.test if held_out and source.test else source.train
    rows = torch.arange(min(n, MAX_DOGS))
    pixels, repeated = images.read(rows), torch.arange(n) % len(rows)
    if gray:
        pixels = pixels.float().mean(1, keepdim=True).round().to(torch.uint8)
    return Images(pixels[repeated], images.labels[rows][repeated])


def digits(n: int, held_out: bool = False) -> Images:
    """Returns n digits of 8 pixels, repeated where n is more; a fifth of them is held out."""
    images = Digits().load().train
    rows = torch.arange(len(images.labels))
    rows = rows[(rows % 5 == 0) == held_out]
    rows = rows[torch.arange(n) % len(rows)]
    return Images(images.read(rows), images.labels[rows])
