"""Published laws against this program: theory, its own parts at work, and a verdict.

    laws.py          what a law, a finding and a plot are, and when a finding fails
    lineages.py      the program's own loop on images of no pixels
    mnist.py         T1  a VAE on MNIST, through the real VAE
    gaussian.py      T2  a Gaussian refitted to itself
    survival.py      T3, T4  how long a rare class lives
    neutral.py       T5, N_e  drift, and the population size that is read from it
    real_share.py    T6  a fraction of real data
    accumulation.py  T7  keeping all generations
    curation.py      T9  keeping the best of K
    detection.py     T10  a detector of synthetic images
    result.py        a law and what came of it
    page.py          table, page and validation.json

A finding that fails says that a part of this program does not do what the law says it does.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from threadpoolctl import threadpool_limits

from imgcollapse.core.device import choose_device
from imgcollapse.core.errors import UserError
from imgcollapse.core.seeds import Seed
from imgcollapse.tools.validate.accumulation import Accumulation
from imgcollapse.tools.validate.curation import Preference
from imgcollapse.tools.validate.detection import Detection
from imgcollapse.tools.validate.gaussian import SelfFittedGaussian
from imgcollapse.tools.validate.laws import Digits, Law, LawContext, Parts
from imgcollapse.tools.validate.mnist import ShumailovVAE
from imgcollapse.tools.validate.neutral import Drift, EffectiveSize
from imgcollapse.tools.validate.page import summary, table, write
from imgcollapse.tools.validate.real_share import RealShare
from imgcollapse.tools.validate.result import Result
from imgcollapse.tools.validate.survival import FirstExtinction, Survival

__all__ = ["LAWS", "Parts", "Result", "summary", "table", "validate", "write"]

LAWS: tuple[Law, ...] = (
    SelfFittedGaussian(),
    Survival(),
    FirstExtinction(),
    Drift(),
    EffectiveSize(),
    RealShare(),
    Accumulation(),
    Preference(),
    Detection(),
    ShumailovVAE(),
)
"""The quick ones first."""
MINUTES = Digits(images=60_000, epochs=4, batch=256, seeds=1)
"""All digits, but one chain and four passes instead of thirty: T1 on two cores, in minutes."""
AS_PUBLISHED = Digits(images=60_000, epochs=30, batch=256, seeds=5)
FULL_SCALE = 8.0
"""Times the replicates, so standard errors nearly a third as wide, with `full`."""


def validate(
    only: Sequence[str] = (),
    full: bool = False,
    data: Path | str = "data",
    seed: int = 0,
    device: str = "auto",
    parts: Parts | None = None,
    say: Callable[[str], Any] = print,
) -> list[Result]:
    """Put this program to the published laws.

    Args:
        only: laws by id, such as T3; none means all.
        full: eight times the replicates, and T1 at the published size: hours without a GPU.
        data: the folder that holds MNIST, for T1.
        seed: names every draw.
        device: where the VAEs of T1 are trained.
        parts: what is put to the laws; none means this program's own.
        say: is told a line when there is something to tell.

    Raises:
        UserError: there is no such law, or no such device.
    """
    known = {law.id.lower(): law for law in LAWS}
    strange = [name for name in only if name.lower() not in known]
    if strange:
        names = ", ".join(law.id for law in LAWS)
        raise UserError(f"--only: there is no law {', '.join(strange)} here; choose from {names}")
    asked = {name.lower() for name in only} or known.keys()
    return [
        _tested(
            law,
            LawContext(
                seed=Seed((seed, "validate", law.id)),
                device=choose_device(device),
                data=Path(data),
                digits=AS_PUBLISHED if full else MINUTES,
                scale=FULL_SCALE if full else 1.0,
                parts=parts or Parts(),
            ),
            say,
        )
        for name, law in known.items()
        if name in asked
    ]


def _tested(law: Law, trial: LawContext, say: Callable[[str], Any]) -> Result:
    began = time.perf_counter()
    with _threads(law.threads):
        outcome = law.test(trial, say)
    seconds = time.perf_counter() - began
    say(f"{law.id} {law.title}: {outcome.verdict}, {seconds:.0f} s")
    return Result(**vars(outcome), id=law.id, title=law.title, source=law.source, seconds=seconds)


@contextmanager
def _threads(count: int | None) -> Iterator[None]:
    """Lineages of labels are too small for threads, which would only wait for each other."""
    before = torch.get_num_threads()
    with threadpool_limits(count):
        torch.set_num_threads(count or before)
        try:
            yield
        finally:
            torch.set_num_threads(before)
