import shutil
from pathlib import Path

import pytest

import imgcollapse as ic
from imgcollapse.io import checksums

STUDY = """
generations: 2
samples: 40
data: {kind: digits}
longtail: {kind: exponential, factor: 8, images: 40}
splits: {oracle: 60, calibration: 30, reference: 40}
generator: {kind: gaussian, pca: 5}
oracle: {kind: cnn, steps: 80, width: 8}
metrics: {vocabulary: null}
precision: float32
threads: 1
"""
FILTERED = [
    "samples=80",
    "curation={kind: balance, keep_share: 0.5}",
    "metrics.vocabulary={}",
]
"""What makes it a study whose run folder holds every type of file."""


@pytest.fixture(scope="session")
def study(tmp_path_factory) -> Path:
    """A study's file, of two models in about a second."""
    path = tmp_path_factory.mktemp("study") / "study.yaml"
    path.write_text(STUDY)
    return path


@pytest.fixture(scope="session")
def finished(tmp_path_factory, study) -> Path:
    """A whole run with every type of file in it; not to be touched."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    ic.run(study, folder, FILTERED)
    checksums.write_page(folder / "report.html", "<!doctype html>\n<title>a report</title>\n" * 30)
    return folder


@pytest.fixture
def run_folder(finished, tmp_path) -> Path:
    """A copy of it."""
    return shutil.copytree(finished, tmp_path / "run")


@pytest.fixture(scope="session")
def small(tmp_path_factory, study) -> Path:
    """A whole run without filters and words; not to be touched."""
    return ic.run(study, tmp_path_factory.mktemp("small") / "run").path


@pytest.fixture
def small_run(small, tmp_path) -> Path:
    """A copy of it."""
    return shutil.copytree(small, tmp_path / "run")
