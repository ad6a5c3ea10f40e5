"""Failed tasks are tried again; a sweep can be read while it runs, and stopped."""

import io
import os
import signal
import time

import pytest

from imgcollapse.core import signals
from imgcollapse.core.errors import Stopped, UserError
from imgcollapse.core.progress import NullProgress
from imgcollapse.report import write_report
from imgcollapse.sweeps import ProcessPool, SweepProgress, sweep
from imgcollapse.sweeps.task_queue import TaskQueue
from imgcollapse.sweeps.tasks import Task, TaskResult, TaskRunner

from .conftest import InProcess


@pytest.fixture
def two_tasks(tmp_path):
    return [Task(arm, {"lineages": 1, "generations": 1}, tmp_path, 0) for arm in "ab"]


@pytest.mark.parametrize("retries", [0, 2])
def test_tries_are_counted_and_a_users_mistake_is_not_tried_again(two_tasks, retries):
    log = io.StringIO()
    progress, (one, other) = SweepProgress(log), two_tasks
    queue = TaskQueue(two_tasks, progress, retries)
    with progress.show(two_tasks):
        queue.start(one)
        queue.finish(one, TaskResult("lr: is too high; lower it"))
        tries = 0
        while other in queue.waiting:
            queue.start(other)
            queue.finish(other, TaskResult("its process died (SIGSEGV)", "trace", retry=True))
            tries += 1
    assert tries == retries + 1
    assert log.getvalue().count("RETRY") == retries
    assert queue.failures()["a", 0] == "a: lr: is too high; lower it"
    assert queue.failures()["b", 0].startswith("b: its process died (SIGSEGV)")
    assert progress.traces == {("b", 0): "trace"}
    with pytest.raises(UserError, match="--retries: -1"):
        TaskQueue([], progress, -1)


@pytest.mark.parametrize(
    ("error", "failure", "again"),
    [
        (RuntimeError("a fluke\nand its details"), "RuntimeError: a fluke", True),
        (UserError("lr: is too high; lower it"), "lr: is too high; lower it", False),
        (Stopped("SIGTERM asked to stop"), "SIGTERM asked to stop", True),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_result_says_whether_a_retry_may_succeed(two_tasks, monkeypatch, error, failure, again):
    def fails(*_):
        raise error

    monkeypatch.setattr(TaskRunner, "run", fails)
    result = TaskRunner(NullProgress()).attempt(two_tasks[0])
    assert (result.failure, result.retry) == (failure, again)
    assert ("Traceback" in result.trace) == isinstance(error, RuntimeError)


def test_a_sweep_can_be_read_while_it_runs(plan_file, tmp_path):
    class Reading(InProcess):
        """Reports after every task that has left something to report."""

        pages = 0

        def run(self, tasks, progress):
            work = self.runner.run

            def and_read(task):
                work(task)
                if task.lineage is not None:
                    self.pages += write_report(
                        [task.folder.parent], tmp_path / "page.html"
                    ).exists()

            self.runner.run = and_read
            return super().run(tasks, progress)

    reading = Reading()
    sweep(plan_file, tmp_path / "out", smoke=True, backend=reading)
    assert reading.pages == 4


def test_a_stopped_sweep_starts_nothing_more(plan_file, tmp_path):
    with signals.catch_signals():
        os.kill(os.getpid(), signal.SIGUSR1)
        while not signals.stop_requested():
            time.sleep(0.01)
        with pytest.raises(Stopped):
            sweep(plan_file, tmp_path / "out", backend=ProcessPool(1))
    assert not (tmp_path / "out/replace").exists()
