"""Fault injection finds nothing wrong with this program, and a planted error."""

import json
import sys

import pytest

from imgcollapse.config.loader import load_study
from imgcollapse.core.errors import UserError
from imgcollapse.tools.fault_injection import inject_faults

STUDY = """
generations: 3
samples: 60
data: {kind: digits}
longtail: {kind: exponential, factor: 8, images: 60}
splits: {oracle: 20, calibration: 5, reference: 40}
oracle: {kind: cnn, steps: 20, width: 8}
threads: 1
"""
GENERATORS = {
    "vae": "generator: {kind: vae, epochs: 60, width: 8}",
    "ddpm": "generator: {kind: ddpm, channels: [16], steps: 60, sample_steps: 10}",
}
UNSEEDED = """
import os
from typing import Literal

from imgcollapse.generators import VAE


class Unseeded(VAE):
    kind: Literal["unseeded:Unseeded"] = "unseeded:Unseeded"

    def fit(self, images, context, previous=None):
        luck = int.from_bytes(os.urandom(4))
        return super().fit(images, context.with_seed(context.seed / luck), previous)
"""


def study_with(tmp_path, generator):
    config = tmp_path / "study.yaml"
    config.write_text(STUDY + generator)
    return load_study(config)


def test_killed_and_damaged_runs_end_as_the_unbroken_one(tmp_path):
    found = inject_faults(study_with(tmp_path, GENERATORS["vae"]), tmp_path / "out", kills=3)
    assert len(found.kills) == 3
    assert all(kill.survived for kill in found.kills)
    assert found.bit_flip.named
    assert found.bit_flip.survived
    assert not found.wrong
    # Folders without a problem are removed.
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["chaos.json", "unbroken"]
    record = json.loads((tmp_path / "out/chaos.json").read_text())
    assert [kill["where"] for kill in record["hits"]] == [kill.where for kill in found.kills]


def test_a_generator_that_ignores_its_seed_is_found(tmp_path, monkeypatch):
    (tmp_path / "unseeded.py").write_text(UNSEEDED)
    monkeypatch.syspath_prepend(tmp_path)
    study = study_with(tmp_path, "generator: {kind: 'unseeded:Unseeded', epochs: 3, width: 4}")
    found = inject_faults(study, tmp_path / "out", kills=1)
    sys.modules.pop("unseeded", None)
    assert not any(kill.survived for kill in found.kills)
    assert any("differ" in line for line in found.wrong)
    assert (tmp_path / "out/broken_000").is_dir()  # kept, to be looked at


def test_a_folder_that_is_not_empty_is_refused(tmp_path):
    (tmp_path / "mine.txt").touch()
    with pytest.raises(UserError, match="is not empty"):
        inject_faults(study_with(tmp_path, GENERATORS["vae"]), tmp_path, kills=1)
    assert (tmp_path / "mine.txt").exists()


@pytest.mark.faults
@pytest.mark.parametrize("kind", GENERATORS)
def test_a_hundred_kills_of_a_hundred(tmp_path, kind):
    found = inject_faults(study_with(tmp_path, GENERATORS[kind]), tmp_path / "out", kills=100)
    assert not found.wrong
    assert sum(kill.survived for kill in found.kills) == 100
