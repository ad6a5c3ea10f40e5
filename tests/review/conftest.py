import threading
import time
from pathlib import Path

import pytest

import imgcollapse as ic
from imgcollapse.io import checksums
from imgcollapse.tools.review import ReviewSession, Server

STUDY = """
generations: 1
samples: 500
data: {kind: digits}
longtail: {kind: exponential, factor: 4, images: 60}
splits: {oracle: 60, calibration: 30, reference: 20}
generator: {kind: resample}
oracle: {kind: cnn, steps: 80, width: 8}
precision: float32
threads: 1
"""
HOSTILE = [
    "<img src=x onerror=alert(1)>",
    "</script><script>alert(1)</script>",
    "a\" b'&c",
    'é "quoted" &amp;',
]


@pytest.fixture(scope="session")
def _digits(tmp_path_factory):
    """500 samples of digits, named once; to be copied, not written to."""
    folder = tmp_path_factory.mktemp("review")
    (folder / "study.yaml").write_text(STUDY)
    return ic.run(folder / "study.yaml", folder / "digits").path


@pytest.fixture
def run(_digits, tmp_path):
    """A run folder of one's own: generation 1 has 500 samples."""
    copy = tmp_path / "digits"
    copy.mkdir()
    for path in _digits.iterdir():
        (copy / path.name).symlink_to(path)
    return copy


@pytest.fixture
def sitting(run):
    return ReviewSession.open(run)


@pytest.fixture
def hostile_run(run):
    """The same, but the run and its classes are named as an attacker would."""
    run = run.rename(run.with_name(HOSTILE[0]))
    record = checksums.read_json(run / "run.json", "")
    record["classes"][: len(HOSTILE)] = HOSTILE
    (run / "run.json").unlink()
    checksums.write_json(run / "run.json", record)
    return run


@pytest.fixture
def serve():
    """Serve a sitting until the test ends; sockets and threads are closed before the next one."""
    begun, before = [], threading.active_count()

    def begin(sitting: ReviewSession | Path) -> Server:
        server = Server(
            sitting if isinstance(sitting, ReviewSession) else ReviewSession.open(sitting)
        )
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        begun.append((server, thread))
        return server

    yield begin
    for server, thread in begun:
        server.shutdown()
        thread.join()
        server.close()
    deadline = time.monotonic() + 5  # a thread that waitress has dismissed may still be ending
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() == before
