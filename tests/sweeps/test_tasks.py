"""A shared oracle or model has the same bits as a trained one; different ones are not shared."""

from typing import ClassVar

import pytest
import torch

import imgcollapse as ic
from imgcollapse.core.lineage_images import Selection
from imgcollapse.curation.base import Filter
from imgcollapse.io.atomic import sha256
from imgcollapse.sweeps import load_plan, sweep
from imgcollapse.sweeps.tasks import tasks_of

from .conftest import SWEEP, InProcess

GENERATORS = {
    "ddpm": "{kind: ddpm, channels: [8], steps: 4, sample_steps: 2, warmup: 1, warm_start: true}",
    "mixture": "{kind: mixture, pca: 5, components: 3}",
}


@pytest.mark.parametrize("kind", GENERATORS)
def test_oracle_and_first_model_of_a_sibling_are_those_that_would_be_trained(
    plan_file, tmp_path, monkeypatch, kind
):
    settings = ["lineages=1", f"generator={GENERATORS[kind]}"]
    plan = load_plan(plan_file, settings)
    trained = []
    whole = type(plan.arms[0].study.oracle).train
    monkeypatch.setattr(
        type(plan.arms[0].study.oracle), "train", lambda *a: trained.append(1) or whole(*a)
    )
    shared = sweep(plan, tmp_path / "shared", backend=InProcess()).runs["accumulate"]
    assert len(trained) == 1
    alone = ic.run(plan.arms[1].study, tmp_path / "alone")
    assert len(trained) == 2
    for name in (
        "oracle.safetensors",
        "census.csv",
        "metrics.csv",
        "gen_001/model.safetensors",
        "gen_002/samples.safetensors",
    ):
        assert sha256(shared.path / name) == sha256(alone.path / name), name


class Renames(Filter):
    """Calls all real images by the name of the first class."""

    filters_real: ClassVar[bool] = True
    kind: str = "renames"

    def keep(self, seen, seed) -> Selection:
        return Selection(seen.rows, torch.zeros_like(seen.images.labels))


def test_a_first_model_of_the_same_images_under_other_labels_is_not_shared(tmp_path):
    path, generator = tmp_path / "plan.yaml", GENERATORS["ddpm"]
    renaming = f"curation: {{kind: '{__name__}:Renames'}}"
    path.write_text(SWEEP.replace("regime: accumulate", renaming))
    plan = load_plan(
        path,
        ["lineages=1", "generations=1", f"generator={generator}", "generator.conditional=true"],
    )
    runs = sweep(plan, tmp_path / "shared", backend=InProcess()).runs
    alone = ic.run(plan.arms[1].study, tmp_path / "alone")
    model = "gen_001/model.safetensors"
    assert sha256(runs["accumulate"].path / model) == sha256(alone.path / model)
    assert sha256(runs["accumulate"].path / model) != sha256(runs["replace"].path / model)


def siblings(tmp_path, text, *settings):
    path = tmp_path / "plan.yaml"
    path.write_text(text)
    tasks = tasks_of(load_plan(path, settings), tmp_path)
    return {task.key: task.sibling for task in tasks if task.arm == "accumulate"}


@pytest.mark.parametrize(
    ("change", "oracle", "model"),
    [
        ("regime: accumulate", "replace", "replace"),
        ("metrics.neighbours: 3", "replace", "replace"),
        ("generator.steps: 5", "replace", None),
        ("oracle.steps: 21", None, "replace"),
        ("longtail.factor: 9", None, None),
        ("seed: 1", None, None),
        ("threads: 2", None, None),
    ],
)
def test_arms_share_an_oracle_and_models_of_equal_settings(tmp_path, change, oracle, model):
    found = siblings(tmp_path, SWEEP.replace("regime: accumulate", change))
    assert found == {
        ("accumulate", None): oracle,
        ("accumulate", 0): model,
        ("accumulate", 1): model,
    }


def test_first_all_arms_then_all_first_lineages(plan_file, tmp_path):
    keys = [task.key for task in tasks_of(load_plan(plan_file), tmp_path)]
    assert keys == [(arm, i) for i in (None, 0, 1) for arm in ("replace", "accumulate")]


def test_a_sibling_without_that_lineage_is_none(tmp_path):
    text = SWEEP.replace("regime: replace", "regime: replace, lineages: 1")
    assert siblings(tmp_path, text)["accumulate", 0] == "replace"
    assert siblings(tmp_path, text)["accumulate", 1] is None


def test_a_unit_waits_for_its_arm_and_for_its_siblings_first_model(plan_file, tmp_path):
    out = tmp_path / "out"
    tasks = {task.key: task for task in tasks_of(load_plan(plan_file), out)}
    begin, lineage = tasks["accumulate", None], tasks["accumulate", 1]
    assert tasks["replace", None].ready({})
    assert not tasks["replace", 0].ready({})
    assert not begin.ready({})
    assert begin.ready({("replace", None): "failed"})
    assert not lineage.ready({("accumulate", None): None})
    assert lineage.ready({("accumulate", None): None, ("replace", 1): "failed"})
    sweep(plan_file, out, smoke=True, backend=InProcess())
    assert lineage.ready({("accumulate", None): None})
