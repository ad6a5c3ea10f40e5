"""The drill itself: it finds nothing in this program, and something where there is something."""

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
FORGETFUL = """
import os
from typing import Literal

from imgcollapse.generators import VAE


class Forgetful(VAE):
    kind: Literal["forgetful:Forgetful"] = "forgetful:Forgetful"

    def fit(self, images, context, previous=None):
        luck = int.from_bytes(os.urandom(4))
        return super().fit(images, context.with_seed(context.seed / luck), previous)
"""


def of(tmp_path, generator):
    config = tmp_path / "study.yaml"
    config.write_text(STUDY + generator)
    return load_study(config)


def test_a_drill_kills_and_damages_and_finds_nothing_amiss(tmp_path):
    found = inject_faults(of(tmp_path, GENERATORS["vae"]), tmp_path / "drill", kills=3)
    assert len(found.hits) == 3
    assert all(hit.survived for hit in found.hits)
    assert found.damage.named
    assert found.damage.survived
    assert not found.wrong
    # What was as promised is removed.
    assert sorted(p.name for p in (tmp_path / "drill").iterdir()) == ["chaos.json", "unbroken"]
    record = json.loads((tmp_path / "drill/chaos.json").read_text())
    assert [hit["where"] for hit in record["hits"]] == [hit.where for hit in found.hits]


def test_a_generator_that_forgets_its_seed_is_found_out(tmp_path, monkeypatch):
    (tmp_path / "forgetful.py").write_text(FORGETFUL)
    monkeypatch.syspath_prepend(tmp_path)
    study = of(tmp_path, "generator: {kind: 'forgetful:Forgetful', epochs: 3, width: 4}")
    found = inject_faults(study, tmp_path / "drill", kills=1)
    sys.modules.pop("forgetful", None)
    assert not any(hit.survived for hit in found.hits)
    assert any("differ" in line for line in found.wrong)
    assert (tmp_path / "drill/broken_000").is_dir()  # to be looked at


def test_a_drill_takes_a_new_folder(tmp_path):
    (tmp_path / "mine.txt").touch()
    with pytest.raises(UserError, match="is not empty"):
        inject_faults(of(tmp_path, GENERATORS["vae"]), tmp_path, kills=1)
    assert (tmp_path / "mine.txt").exists()


@pytest.mark.faults
@pytest.mark.parametrize("kind", GENERATORS)
def test_a_hundred_kills_of_a_hundred(tmp_path, kind):
    found = inject_faults(of(tmp_path, GENERATORS[kind]), tmp_path / "drill", kills=100)
    assert not found.wrong
    assert sum(hit.survived for hit in found.hits) == 100
