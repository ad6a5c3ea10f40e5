"""Who is measured when, and what a ratio is of."""

import mmap

import pytest
import torch

from imgcollapse.tools.bench.pace import Pace, faster
from imgcollapse.tools.bench.pairs import Measured, in_turns, measured
from imgcollapse.tools.bench.result import Comparison, Quality, Report, side

CPU = torch.device("cpu")


def runs(*seconds):
    return [Measured(each, 2 * each, 100.0, None) for each in seconds]


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


def test_both_are_measured_in_turns_and_take_turns_to_be_first():
    calls = []
    mine, others = in_turns(
        lambda i: calls.append(("ours", i)) or i,
        lambda i: calls.append(("theirs", i)) or 10 * i,
        2,
        CPU,
    )
    assert [who for who, _ in calls] == ["ours", "theirs", "theirs", "ours"]
    assert [pair for _, pair in calls] == [0, 0, 1, 1]
    assert [run.outcome for run in mine] == [0, 1]
    assert [run.outcome for run in others] == [0, 10]


def test_what_is_measured_is_the_work_and_the_memory_it_took():
    def fill():
        memory = mmap.mmap(-1, 50 * 2**20)  # not what an allocator still has from other tests
        for page in range(0, len(memory), mmap.PAGESIZE):
            memory[page] = 1
        memory.close()

    big = measured(fill, CPU)
    small = measured(lambda: torch.ones(()), CPU)
    if big.memory is None or small.memory is None:
        pytest.skip("the system does not tell a process its peak of memory")
    # The peak is forgotten between two measurements, or it could never fall again.
    assert big.memory - small.memory > 25


def test_a_ratio_is_the_median_of_the_pairs_ratios():
    found = compared([1, 2, 4], [3, 2, 8])
    assert found.ratios == (3, 1, 2)
    assert found.ratio == 2
    assert found.processor_ratio == 2
    assert found.ours.median == 6  # 12 units in 2 seconds
    assert found.ours.memory == 100


def paced(*marks, steps=100):
    pace = Pace()
    pace.marks, pace.steps = list(marks), steps
    return pace


def test_what_comes_before_the_steps_is_not_in_their_pace():
    ours = paced((1, 9.0), (10, 10.0), (60, 15.0), (100, 19.0))
    theirs = paced(*((step, 0.3 * step) for step in range(1, 101)))
    assert ours.seconds == pytest.approx(0.1)
    assert faster([ours], [theirs]) == (pytest.approx(3.0),)
    # Reports that are too few to tell.
    assert paced((100, 5.0)).seconds is None
    assert paced((60, 5.0), (100, 9.0)).seconds is None
    assert faster([ours, paced()], [theirs, theirs]) == ()


def test_a_pace_is_taken_of_what_a_training_reports():
    pace = Pace()
    pace("train", 1, 2, 64, 0.5)
    pace("train", 2, 2, 128, 0.5)
    assert [step for step, _ in pace.marks] == [1, 2]
    assert pace.seconds > 0


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
