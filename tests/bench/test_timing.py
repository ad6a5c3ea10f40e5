"""Order of the measurements, and what a ratio is of."""

import mmap

import pytest
import torch

from imgcollapse.tools.bench.harness import (
    Measurement,
    StepTimer,
    measure,
    measure_in_turns,
    side,
    step_ratios,
)
from imgcollapse.tools.bench.result import Comparison, Quality, Report

CPU = torch.device("cpu")


def runs(*seconds):
    return [Measurement(each, 2 * each, 100.0, None) for each in seconds]


def compared(ours, theirs, **more):
    return Comparison(
        part="test",
        title="work",
        ours=side("a", runs(*ours), 12),
        reference=side("b", runs(*theirs), 12),
        **more,
    )


def quality(ours, theirs, bound=0.01):
    return Quality(what="loss", ours=ours, reference=theirs, bound=bound)


def test_both_are_measured_in_turns_and_each_is_first_in_every_other_pair():
    calls = []
    mine, others = measure_in_turns(
        lambda i: calls.append(("ours", i)) or i,
        lambda i: calls.append(("theirs", i)) or 10 * i,
        2,
        CPU,
    )
    assert [who for who, _ in calls] == ["ours", "theirs", "theirs", "ours"]
    assert [pair for _, pair in calls] == [0, 0, 1, 1]
    assert [run.outcome for run in mine] == [0, 1]
    assert [run.outcome for run in others] == [0, 10]


def test_memory_is_measured_for_each_work_alone():
    def fill():
        memory = mmap.mmap(-1, 50 * 2**20)  # not what an allocator still has from other tests
        for page in range(0, len(memory), mmap.PAGESIZE):
            memory[page] = 1
        memory.close()

    big = measure(fill, CPU)
    small = measure(lambda: torch.ones(()), CPU)
    if big.memory is None or small.memory is None:
        pytest.skip("the system does not tell a process its peak of memory")
    # The peak is reset before each measurement, or it could never fall again.
    assert big.memory - small.memory > 25


def test_a_ratio_is_the_median_of_the_pairs_ratios():
    found = compared([1, 2, 4], [3, 2, 8])
    assert found.ratios == (3, 1, 2)
    assert found.ratio == 2
    assert found.processor_ratio == 2
    assert found.ours.median == 6  # 12 units in 2 seconds
    assert found.ours.memory == 100


def timed(*marks, steps=100):
    timer = StepTimer()
    timer.marks, timer.steps = list(marks), steps
    return timer


def test_set_up_before_the_first_steps_is_not_timed():
    ours = timed((1, 9.0), (10, 10.0), (60, 15.0), (100, 19.0))
    theirs = timed(*((step, 0.3 * step) for step in range(1, 101)))
    assert ours.seconds == pytest.approx(0.1)
    assert step_ratios([ours], [theirs]) == (pytest.approx(3.0),)
    # Too few reports.
    assert timed((100, 5.0)).seconds is None
    assert timed((60, 5.0), (100, 9.0)).seconds is None
    assert step_ratios([ours, timed()], [theirs, theirs]) == ()


def test_the_timer_takes_the_reports_of_a_training():
    timer = StepTimer()
    timer("train", 1, 2, 64, 0.5)
    timer("train", 2, 2, 128, 0.5)
    assert [step for step, _ in timer.marks] == [1, 2]
    assert timer.seconds > 0


def test_faster_by_doing_less_does_not_hold():
    assert quality((1.0, 1.01), (1.0, 1.0)).holds
    assert not quality((1.02, 1.02), (1.0, 1.0)).holds
    assert quality((0.5,), (1.0,)).holds  # the lower the better
    assert quality((1.02,), (1.0,)).difference == pytest.approx(0.02)


def test_the_file_reads_back_as_what_was_written():
    report = Report(
        command="imgcollapse bench",
        date="2026-11-25T00:00:00Z",
        size="smoke",
        machine={"cpu": "a processor", "cores": 2},
        peak={"float32": 1.5e11},
        comparisons=(compared([1, 2], [2, 4], quality=quality((1.0,), (1.0,)), target=2.0),),
    )
    written = report.model_dump_json()
    assert Report.model_validate_json(written) == report
    for shown in ('"ratio":2.0', '"ratios":[2.0,2.0]', '"holds":true', '"median":'):
        assert shown in written
