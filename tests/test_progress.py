import io

from imgcollapse.config.study import Study
from imgcollapse.experiment import progress
from imgcollapse.experiment.progress import ConsoleProgress


class Clock:
    """A clock that the test winds."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def test_a_log_gets_plain_lines_with_place_step_loss_rate_and_time_left(monkeypatch):
    clock, log = Clock(), io.StringIO()
    monkeypatch.setattr(progress.time, "monotonic", clock)
    study = Study.model_validate({"data": "digits", "generator": "resample", "generations": 3})
    with ConsoleProgress(log) as display:
        display.start_generation(0, 1, study)
        display("train", 10, 1000, 640, 0.5)
        clock.now += 20
        display("train", 110, 1000, 7040, 0.25)
        clock.now += 100
        display.start_generation(0, 2, study)
        display("train", 10, 1000, 640, 0.5)
        clock.now += 30
        display("train", 260, 1000, 16640, 0.125)
        display.log("generation 2: [fine]")
    lines = log.getvalue().splitlines()
    assert lines == [
        "generation 1/3 · train 110/1,000 · loss 0.2500 · 320 images/s · "
        "train ends in about 2 min 58 s",
        "generation 2/3 · train 10/1,000 · loss 0.5000 · about 4 min 00 s left",
        "generation 2/3 · train 260/1,000 · loss 0.1250 · 533 images/s · about 3 min 30 s left",
        "generation 2: [fine]",
    ]
    assert "\x1b" not in log.getvalue()
