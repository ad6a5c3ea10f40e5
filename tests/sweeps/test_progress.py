"""The progress of a resumed sweep, one of whose lineages fails."""

from io import StringIO

from imgcollapse.sweeps import SweepProgress, load_plan
from imgcollapse.sweeps.tasks import Task, tasks_of


def test_a_failed_lineage_counts_neither_as_done_nor_as_to_be_done(
    plan_file, tmp_path, monkeypatch
):
    done = {("replace", 0): 1, ("replace", 1): 9}
    monkeypatch.setattr(Task, "generations_done", lambda task: done[task.key])
    monkeypatch.setattr("imgcollapse.sweeps.progress.LOG_SECONDS", -1)
    tasks = tasks_of(load_plan(plan_file, ["generations=10"]), tmp_path)
    fails, succeeds = (task for task in tasks if task.key in done)
    log = StringIO()
    progress = SweepProgress(log)
    with progress.show([fails, succeeds]):
        for task, failure in ((fails, "replace, lineage 0: no"), (succeeds, None)):
            progress.start(task)
            progress.finish(task, failure)
    *_, before, after = log.getvalue().splitlines()
    assert before == "0 of 1 lineages done, 9 of 10 models"
    # One model more in no time at all, and none is left.
    assert after.startswith("1 of 1 lineages done, 10 of 10 models, about 0")
