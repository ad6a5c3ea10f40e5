"""Whatever a reader is given, it ends in one line or in what it is for, and writes nothing.

The quick part tries some dozen inputs of each kind; `pytest -m faults` tries thousands, and
`python -m tests.faults.fuzz` as many as there is time for.
"""

import json
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import imgcollapse as ic
from imgcollapse.config import load_study
from imgcollapse.core import yaml
from imgcollapse.core.errors import UserError

from .fuzz.mutation import as_yaml, mutated, near
from .fuzz.targets import STUDIES, SWEEPS, TARGETS, put, run_target

pytestmark = pytest.mark.filterwarnings("ignore")  # of Pillow, numpy and torch on nonsense

QUICK = {
    "image": 150,
    "zip": 60,
    "npz": 80,
    "safetensors": 80,
    "picks": 80,
    "study": 25,
    "sweep": 20,
}
QUICK["weights"] = 40
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


@pytest.mark.parametrize("name", TARGETS)
def test_bytes_near_valid_ones(tmp_path, name):
    target = TARGETS[name]
    for seed in target.seeds():
        assert put(target, seed, tmp_path) is None, "the seeds are valid"
    tried(mutated(target.seeds()), lambda data: put(target, data, tmp_path), QUICK[name])


@pytest.mark.faults
@pytest.mark.parametrize("name", TARGETS)
def test_many_bytes_near_valid_ones(tmp_path, name):
    target = TARGETS[name]
    tried(mutated(target.seeds()), lambda data: put(target, data, tmp_path), LONG)
    tried(st.binary(max_size=500), lambda data: put(target, data, tmp_path), LONG)


TREES = {
    "study": [yaml.parse(text, "seed") for text in STUDIES],
    "sweep": [yaml.parse(text, "seed") for text in SWEEPS],
}


@pytest.mark.parametrize("name", TREES)
def test_settings_near_valid_ones(tmp_path, name):
    target = TARGETS[name]
    tried(near(TREES[name]), lambda tree: put(target, as_yaml(tree).encode(), tmp_path), 60)


@pytest.mark.faults
@pytest.mark.parametrize("name", TREES)
def test_many_settings_near_valid_ones(tmp_path, name):
    target = TARGETS[name]
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


STUDY = """
samples: 40
generations: 1
data: digits
longtail: {kind: exponential, factor: 8, images: 40}
splits: {oracle: 60, calibration: 30, reference: 40}
generator: resample
oracle: {kind: cnn, steps: 8, width: 8}
metrics: {vocabulary: null}
precision: float32
threads: 1
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A whole run of one generation."""
    top = tmp_path_factory.mktemp("run")
    (top / "study.yaml").write_text(STUDY)
    return ic.run(top / "study.yaml", top / "run").path


FILES = ("run.json", "gen_000/manifest.json", "gen_001/samples.safetensors")


@pytest.mark.parametrize("name", FILES)
def test_files_of_a_run_near_valid_ones(tmp_path, run, name):
    target = run_target(run, name)
    assert put(target, target.seeds()[0], tmp_path) is None
    tried(mutated(target.seeds()), lambda data: put(target, data, tmp_path), 25)


@pytest.mark.parametrize("name", FILES[:2])
def test_records_near_valid_ones(tmp_path, run, name):
    tree, target = json.loads((run / name).read_text()), run_target(run, name)
    tried(near([tree]), lambda tree: put(target, json.dumps(tree).encode(), tmp_path), 40)


@pytest.mark.faults
@pytest.mark.parametrize("name", FILES)
def test_many_files_of_a_run_near_valid_ones(tmp_path, run, name):
    target = run_target(run, name)
    tried(mutated(target.seeds()), lambda data: put(target, data, tmp_path), LONG)
    if name.endswith(".json"):
        tree = json.loads((run / name).read_text())
        tried(near([tree]), lambda tree: put(target, json.dumps(tree).encode(), tmp_path), LONG)
