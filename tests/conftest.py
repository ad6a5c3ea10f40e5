import signal
from pathlib import Path

import pytest
import torch
from threadpoolctl import threadpool_limits

SHARED_DATA = Path(__file__).parents[1] / "../shared/data"


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    """Tests are small: threads would only wait for each other, and for other test processes."""
    torch.set_num_threads(1)
    threadpool_limits(1)


@pytest.fixture(scope="session")
def shared_data():
    """Real MNIST, CIFAR-10 and dog photos beside the checkout, where somebody has put them."""
    if not SHARED_DATA.is_dir():
        pytest.skip("real image sets are not beside this checkout (../shared/data)")
    return SHARED_DATA.resolve()


@pytest.fixture
def hears_interrupts():
    """A shell starts background jobs deaf to SIGINT; this process, and what it starts, hears it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


STUDY = """
generations: 3
samples: 40
data: {kind: digits}
longtail: {kind: exponential, factor: 8, images: 40}
splits: {oracle: 60, calibration: 30, reference: 40}
generator: {kind: resample}
oracle: {kind: cnn, steps: 80, width: 8}
precision: float32
threads: 1
"""


@pytest.fixture
def config(tmp_path):
    """A study of 40 digits that runs in a second or two with any generator."""
    path = tmp_path / "study.yaml"
    path.write_text(STUDY)
    return path
