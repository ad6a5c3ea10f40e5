"""Published laws compared with this program: theory, its own parts, and a verdict.

    laws.py        a law, its measurements and plots, and when a measurement fails
    lineages.py    the study's loop on images without pixels
    generators.py  T1, T2          a VAE on MNIST and a Gaussian, refitted to their own samples
    drift.py       T3, T4, T5, N_e survival of a rare class; drift; effective population size
    regimes.py     T6, T7          real images in every training set; keeping all generations
    curation.py    T9, T10         keeping the best of K; a detector of synthetic images
    page.py        page and validation.json

A measurement that fails says that a part of this program does not do what the law says.
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
from imgcollapse.tools.validate import curation, drift, generators, regimes
from imgcollapse.tools.validate.laws import Law, LawContext, MnistTraining, Parts, Result
from imgcollapse.tools.validate.page import summary, write

__all__ = ["LAWS", "Parts", "Result", "summary", "validate", "write"]

LAWS: tuple[Law, ...] = (
    generators.GAUSSIAN,
    drift.SURVIVAL,
    drift.FIRST_EXTINCTION,
    drift.DRIFT,
    drift.EFFECTIVE_SIZE,
    regimes.REAL_SHARE,
    regimes.ACCUMULATION,
    curation.PREFERENCE,
    curation.DETECTION,
    generators.SHUMAILOV_VAE,
)
"""In order of time taken."""
MINUTES = MnistTraining(images=60_000, epochs=4, batch=256, seeds=1)
"""All digits, but one chain and 4 epochs instead of 30: T1 takes minutes on two cores."""
AS_PUBLISHED = MnistTraining(images=60_000, epochs=30, batch=256, seeds=5)
FULL_SCALE = 8.0
"""Factor of the replicates with `full`: standard errors are nearly a third as wide."""


def validate(
    only: Sequence[str] = (),
    full: bool = False,
    data: Path | str = "data",
    seed: int = 0,
    device: str = "auto",
    parts: Parts | None = None,
    log: Callable[[str], Any] = print,
) -> list[Result]:
    """Compares this program with the published laws.

    `only` names laws by id, such as T3; `full` is eight times the replicates, and T1 at the
    published size: hours without a GPU. `data` holds MNIST for T1, whose VAEs are trained on
    `device`; `parts` are tested in place of this program's own.

    Raises:
        UserError: there is no such law, or no such device.
    """
    known = {law.id.lower(): law for law in LAWS}
    unknown = [name for name in only if name.lower() not in known]
    if unknown:
        names = ", ".join(law.id for law in LAWS)
        raise UserError(f"--only: there is no law {', '.join(unknown)} here; choose from {names}")
    asked = {name.lower() for name in only} or known.keys()
    mnist, scale = (AS_PUBLISHED, FULL_SCALE) if full else (MINUTES, 1.0)
    results = []
    for law in (law for name, law in known.items() if name in asked):
        names = Seed((seed, "validate", law.id))
        context = LawContext(
            names, choose_device(device), Path(data), mnist, scale, parts or Parts(), log
        )
        began = time.perf_counter()
        with _threads(law.threads):
            outcome = law.test(context)
        seconds = time.perf_counter() - began
        log(f"{law.id} {law.title}: {outcome.verdict}, {seconds:.0f} s")
        results.append(Result(**vars(outcome), law=law, seconds=seconds))
    return results


@contextmanager
def _threads(count: int | None) -> Iterator[None]:
    """Limits CPU threads: lineages of labels are too small to gain from several."""
    before = torch.get_num_threads()
    with threadpool_limits(count):
        torch.set_num_threads(count or before)
        try:
            yield
        finally:
            torch.set_num_threads(before)
