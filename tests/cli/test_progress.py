import io
import re

import pytest

from imgcollapse.cli.progress import ConsoleProgress
from imgcollapse.config.study import Study


class Clock:
    """A clock that the test winds."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self):
        return True


def study(generations):
    return Study.model_validate(
        {"data": "digits", "generator": "resample", "generations": generations}
    )


def left(line):
    """Seconds that a line says are left."""
    minutes, seconds = re.search(r"about (?:(\d+) min )?(\d+) s left", line).groups()
    return 60 * int(minutes or 0) + int(seconds)


def test_a_log_gets_plain_lines_with_place_step_loss_rate_and_time_left():
    clock, log = Clock(), io.StringIO()
    with ConsoleProgress(log, clock) as display:
        display.start_generation(0, 1, study(3))
        display("train", 10, 1000, 640, 0.5)
        clock.now += 20
        display("train", 110, 1000, 7040, 0.25)
        clock.now += 100
        display.start_generation(0, 2, study(3))
        display("train", 10, 1000, 640, 0.5)
        clock.now += 30
        display("train", 260, 1000, 16640, 0.125)
        display.log("generation 2: [fine]")
    lines = log.getvalue().splitlines()
    assert lines == [
        "generation 1/3 · train 110/1,000 · loss 0.2500 · 320 images/s · "
        "train ends in about 2 min 58 s",
        "generation 2/3 · train 10/1,000 · loss 0.5000 · about 4 min 00 s left",
        # 0.12 s a step: 89 s to the end of generation 2, then another of 119 s
        "generation 2/3 · train 260/1,000 · loss 0.1250 · 533 images/s · about 3 min 28 s left",
        "generation 2: [fine]",
    ]
    assert "\x1b" not in log.getvalue()


def run(display, clock, generation, generations, pace):
    """One generation of 200 steps, `pace` seconds each, and then samples for a quarter as long."""
    display.start_generation(0, generation, study(generations))
    for stage, steps in (("train", 200), ("sample", 50)):
        for step in range(1, steps + 1):
            clock.now += pace
            display(stage, step, steps, 10 * step)


def test_time_left_follows_a_machine_that_slows_down():
    clock, log = Clock(), io.StringIO()
    with ConsoleProgress(log, clock) as display:
        run(display, clock, 1, 3, pace=1)
        steady = log.getvalue().splitlines()
        run(display, clock, 2, 3, pace=1)
        before = left(log.getvalue().splitlines()[-1])
        display.start_generation(0, 3, study(3))
        clock.now += 100  # ten times slower from here on
        for step in range(1, 101):
            display("train", step, 200, 10 * step)
            clock.now += 10
    assert all("train ends in about" in line or "sample ends" in line for line in steady)
    last = log.getvalue().splitlines()[-1]
    assert before == pytest.approx(250, abs=15)
    # 100 steps of training and 50 of sampling at 10 s each are 1,500 s.
    assert left(last) == pytest.approx(1500, rel=0.1)


def test_time_left_is_near_the_truth_on_a_steady_machine():
    clock, log = Clock(), io.StringIO()
    with ConsoleProgress(log, clock) as display:
        run(display, clock, 1, 3, pace=1)
        for generation in (2, 3):
            run(display, clock, generation, 3, pace=1)
    said = [line for line in log.getvalue().splitlines() if line.startswith("generation 2")]
    for line in said:
        stage, step = re.search(r"(train|sample) (\d+)/", line).groups()
        done = int(step) + 200 * (stage == "sample")
        assert left(line) == pytest.approx(500 - done, abs=3)


@pytest.mark.parametrize("stream", [io.StringIO, Terminal])
def test_time_left_is_never_0_before_the_end(stream, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    clock, log = Clock(), stream()
    with ConsoleProgress(log, clock) as display:
        run(display, clock, 1, 2, pace=1)
        display.start_generation(0, 2, study(2))
        clock.now += 1000  # four times as long as all of generation 1
        for step in range(1, 201):
            clock.now += 16
            display("train", step, 200, 10 * step)
    assert " left" in log.getvalue()
    assert not re.search(r"\b0 s\b", log.getvalue())


@pytest.mark.parametrize("columns", ["80", "120"])
def test_a_terminal_shows_a_bar_that_is_removed_at_the_end(columns, monkeypatch):
    monkeypatch.setenv("COLUMNS", columns)
    clock, screen = Clock(), Terminal()
    with ConsoleProgress(screen, clock) as display:
        display.start_generation(0, 1, study(3))
        display("train", 10, 1000, 640, 0.5)
        clock.now += 20
        display("train", 500, 1000, 7040, 0.25)
        shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.getvalue())
        display.log("generation 1: [fine]")
    assert "generation 1/3 · train" in shown
    assert "━" in shown
    words = " ".join(shown.split())
    assert "500/1,000 · loss 0.2500 · 320 images/s · train ends in about 20 s" in words
    assert "generation 1: [fine]\n" in screen.getvalue()
