from __future__ import annotations

from pathlib import Path

import pytest

from imgcollapse.core.seeds import Seed
from imgcollapse.tools.validate import MINUTES
from imgcollapse.tools.validate.laws import LawContext, Parts
from imgcollapse.tools.validate.lineages import CPU


@pytest.fixture
def context(tmp_path: Path):
    """A context of some parts, with so many times the usual replicates."""

    def make(scale: float = 1.0, **parts) -> LawContext:
        seed = Seed(("test",))
        return LawContext(seed, CPU, tmp_path / "nothing", MINUTES, scale, Parts(**parts))

    return make
