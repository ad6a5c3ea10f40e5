import shutil
from pathlib import Path

import pytest

import imgcollapse as ic
from imgcollapse.report import write_report

STUDY = """
samples: 40
data: {kind: digits}
longtail: {kind: exponential, factor: 8, images: 40}
splits: {oracle: 60, calibration: 30, reference: 40}
generator: {kind: resample}
oracle: {kind: cnn, steps: 80, width: 8}
precision: float32
threads: 1
"""
FILTERED = ["generations=2", "samples=80", "curation={kind: balance, keep_share: 0.5}"]
"""A study of two models whose run folder holds every type of file."""


@pytest.fixture(scope="session")
def finished(tmp_path_factory, study):
    """A whole run with every type of file in it; not to be touched."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    ic.run(study, folder, FILTERED)
    write_report([folder])
    return folder


@pytest.fixture(scope="session")
def study(tmp_path_factory) -> Path:
    """The study's file."""
    path = tmp_path_factory.mktemp("study") / "study.yaml"
    path.write_text(STUDY)
    return path


@pytest.fixture
def run_folder(finished, tmp_path) -> Path:
    """A copy of the whole run."""
    return shutil.copytree(finished, tmp_path / "run")
