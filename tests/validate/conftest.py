from __future__ import annotations

from pathlib import Path

import pytest

from imgcollapse.core.seeds import Seed
from imgcollapse.tools.validate import MINUTES
from imgcollapse.tools.validate.laws import Parts, Trial
from imgcollapse.tools.validate.lineages import CPU


@pytest.fixture
def trial(tmp_path: Path):
    """A trial of some parts, with so many times the usual replicates."""

    def make(scale: float = 1.0, **parts) -> Trial:
        seed = Seed(("test",))
        return Trial(seed, CPU, tmp_path / "nothing", MINUTES, scale, Parts(**parts))

    return make
