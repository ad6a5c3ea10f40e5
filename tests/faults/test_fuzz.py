"""Whatever a reader is given, it ends in one line or in what it is for, and writes nothing.

The quick part tries some dozen inputs of each kind; `pytest -m faults` tries thousands, and
`python -m tests.faults.fuzz` as many as there is time for.
"""

import json
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imgcollapse.config import yaml
from imgcollapse.config.loader import load_study
from imgcollapse.core.errors import UserError

from .fuzz.mutation import as_yaml, mutated, near
from .fuzz.runs import RECORDS, RUNS, TENSORS, bare, example
from .fuzz.targets import FILES, STUDIES, SWEEPS, put

pytestmark = pytest.mark.filterwarnings("ignore")  # of Pillow, numpy and torch on nonsense

QUICK = {
    "image": 150,
    "zip": 60,
    "npz": 80,
    "safetensors": 80,
    "picks": 80,
    "study": 25,
    "sweep": 20,
    "weights": 40,
}
LONG = 1500


def tried(strategy, work, number):
    """Put so many draws to a reader, the same ones each time."""

    @settings(
        max_examples=number,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def trial(drawn):
        work(drawn)

    trial()


@pytest.mark.parametrize("name", FILES)
def test_bytes_near_valid_ones(tmp_path, name):
    target = FILES[name]
    for seed in target.seeds():
        assert put(target, seed, tmp_path) is None, "the seeds are valid"
    tried(mutated(target.seeds()), lambda data: put(target, data, tmp_path), QUICK[name])


@pytest.mark.faults
@pytest.mark.parametrize("name", FILES)
def test_many_bytes_near_valid_ones(tmp_path, name):
    target = FILES[name]
    tried(mutated(target.seeds()), lambda data: put(target, data, tmp_path), LONG)
    tried(st.binary(max_size=500), lambda data: put(target, data, tmp_path), LONG)


TREES = {
    "study": [yaml.parse(text, "seed") for text in STUDIES],
    "sweep": [yaml.parse(text, "seed") for text in SWEEPS],
}


@pytest.mark.parametrize("name", TREES)
def test_settings_near_valid_ones(tmp_path, name):
    target = FILES[name]
    tried(near(TREES[name]), lambda tree: put(target, as_yaml(tree).encode(), tmp_path), 60)


@pytest.mark.faults
@pytest.mark.parametrize("name", TREES)
def test_many_settings_near_valid_ones(tmp_path, name):
    target = FILES[name]
    tried(near(TREES[name]), lambda tree: put(target, as_yaml(tree).encode(), tmp_path), LONG)


@pytest.mark.faults
def test_a_study_that_is_read_is_split_or_refused(tmp_path):
    base = yaml.parse(STUDIES[0], "seed") | {
        "longtail": {"kind": "exponential", "factor": 8, "images": 40},
        "splits": {"oracle": 60, "calibration": 30, "reference": 40},
        "samples": 40,
        "generations": 2,
    }
    path = tmp_path / "study.yaml"

    def split(tree):
        path.write_text(as_yaml(tree), encoding="utf-8")
        with suppress(UserError):
            load_study(path).real()

    tried(near([base]), split, 500)


@pytest.mark.parametrize("name", RUNS)
def test_files_of_a_run_near_valid_ones(tmp_path, name):
    target = RUNS[name]
    for seed in target.seeds():
        assert put(target, seed, tmp_path) is None, "the seeds are valid"
    tried(mutated(target.seeds()), lambda data: put(target, data, tmp_path), 40)


@pytest.mark.parametrize(
    ("name", "other"),
    [(TENSORS[0], TENSORS[1]), (TENSORS[1], TENSORS[0]), (TENSORS[3], TENSORS[0])],
)
def test_a_file_of_a_run_with_another_s_tensors_is_named(tmp_path, name, other):
    first = bytes([2 * TENSORS.index(name) + 1])
    said = put(RUNS["run-tensors"], first + bare(example(), other), tmp_path)
    assert f"{name}: is not valid (it holds " in str(said)


def record(name):
    """What one of a run's records holds."""
    return json.loads(bare(example(), name))


def hostile(name):
    """Reads a run whose record of that name is another, as `put` takes it."""
    target, first = RUNS["run-records"], bytes([2 * RECORDS.index(name) + 1])
    return lambda tree, folder: put(target, first + json.dumps(tree).encode(), folder)


@pytest.mark.parametrize("name", RECORDS)
def test_records_near_valid_ones(tmp_path, name):
    read = hostile(name)
    tried(near([record(name)]), lambda tree: read(tree, tmp_path), 40)


@pytest.mark.faults
@pytest.mark.parametrize("name", RUNS)
def test_many_files_of_a_run_near_valid_ones(tmp_path, name):
    target = RUNS[name]
    tried(mutated(target.seeds()), lambda data: put(target, data, tmp_path), LONG)


@pytest.mark.faults
@pytest.mark.parametrize("name", RECORDS)
def test_many_records_near_valid_ones(tmp_path, name):
    read = hostile(name)
    tried(near([record(name)]), lambda tree: read(tree, tmp_path), LONG)
