import pytest

import imgcollapse as ic

STUDY = """
generations: 1
samples: 60
data: {kind: digits}
device: cpu
longtail: {kind: exponential, factor: 4, images: 250}
splits: {oracle: 50, calibration: 20, reference: 250}
generator: {kind: resample}
oracle: {kind: cnn, steps: 200, width: 16}
metrics: {splits: 5}
precision: float32
threads: 1
"""


@pytest.fixture(scope="session")
def digits(tmp_path_factory):
    """The YAML file of a study of digits."""
    path = tmp_path_factory.mktemp("digits") / "digits.yaml"
    path.write_text(STUDY)
    return path


@pytest.fixture(scope="session")
def run(digits):
    """A run of it, whose oracle is trained."""
    return ic.run(digits, digits.parent / "run")


@pytest.fixture(scope="session")
def held_out(digits):
    """Its reference images: neither the oracle nor its calibration has seen one."""
    return ic.load_study(digits).real().reference
