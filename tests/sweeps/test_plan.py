"""A sweep file gives arms, or an error of one line."""

from pathlib import Path

import pytest

import imgcollapse as ic
from imgcollapse.core.errors import UserError
from imgcollapse.regimes import RealFraction, Replace
from imgcollapse.sweeps import load_plan, open_sweep, sweep

from .conftest import SWEEP, InProcess

REMEDIES = sorted((Path(__file__).parents[2] / "configs/remedies").glob("*.yaml"))


@pytest.mark.parametrize("path", REMEDIES, ids=lambda path: path.stem)
@pytest.mark.parametrize("smoke", [False, True])
def test_every_sweep_in_the_repository_is_one(path, smoke):
    assert len(load_plan(path, smoke=smoke).arms) > 1
    text = path.read_text()
    assert text.startswith("#"), "a config opens with what it shows"
    assert f"imgcollapse sweep configs/remedies/{path.name}" in text


def test_arms_differ_only_in_their_own_settings(plan_file):
    one, other = load_plan(plan_file, ["seed=3"]).arms
    assert (one.name, one.title, other.title) == ("replace", "replace", "all of them")
    assert isinstance(one.study.regime, Replace)
    mine, theirs = one.study.resolved(), other.study.resolved()
    assert [key for key in mine if mine[key] != theirs[key]] == ["regime"]
    assert mine["seed"] == 3


def test_threads_are_set_so_that_bits_do_not_depend_on_the_machine(plan_file):
    assert {arm.study.threads for arm in load_plan(plan_file).arms} == {1}
    assert {arm.study.threads for arm in load_plan(plan_file, ["threads=2"]).arms} == {2}


def test_a_grid_is_a_product_and_a_study_may_be_a_file(tmp_path, config):
    path = tmp_path / "grid.yaml"
    path.write_text(
        f"study: {config.name}\n"
        "set: {regime: {kind: real-fraction}, seed: 7}\n"
        "grid: {regime.fraction: [0, 0.5], lineages: [1, 2, 3]}\n"
    )
    arms = load_plan(path).arms
    assert [arm.name for arm in arms] == [
        f"fraction={f},lineages={n}" for f in ("0", "0.5") for n in (1, 2, 3)
    ]
    assert arms[5].study.regime == RealFraction(fraction=0.5)
    assert {arm.study.seed for arm in arms} == {7}


def test_arms_are_taken_at_every_point_of_a_grid(tmp_path):
    path = tmp_path / "both.yaml"
    path.write_text(SWEEP + "grid: {seed: [0, 1]}\n")
    assert [arm.name for arm in load_plan(path, smoke=True).arms] == [
        "replace,seed=0",
        "replace,seed=1",
        "accumulate,seed=0",
        "accumulate,seed=1",
    ]
    assert {arm.study.generations for arm in load_plan(path, smoke=True).arms} == {1}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("arms: {a: {}}", "study: is missing"),
        ("study: nowhere.yaml\narms: {a: {}}", "nowhere.yaml: No such file"),
        (SWEEP + "armz: {}", "armz: unknown key; did you mean arms?"),
        (SWEEP.partition("arms:")[0], "has no arms"),
        (SWEEP + "grid: {seed: 3}", "grid.seed: 3 is not a list"),
        (SWEEP.replace("regime: accumulate", "regime: acumulate"), "did you mean accumulate?"),
        (SWEEP.replace("regime: accumulate", "regim: x"), "regim: unknown key"),
        (SWEEP.replace("  accumulate:", "  a/b:"), "arms.a/b: not a folder name"),
        (SWEEP.replace("  accumulate:", "  ..:"), "arms...: not a folder name"),
        (SWEEP + "grid: {seed: [1, 1]}", "two arms are called 'replace,seed=1'"),
        (SWEEP.replace("{regime: replace}", "replace"), "arms.replace: 'replace' is no mapping"),
        (SWEEP + "set: 3", "set: 3 is no mapping"),
    ],
)
def test_a_bad_sweep_file_is_one_clear_line(tmp_path, text, says):
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(UserError) as raised:
        load_plan(path)
    message = str(raised.value)
    assert says in message
    assert "\n" not in message


def test_run_does_not_take_a_sweep_file_for_a_study(plan_file):
    with pytest.raises(UserError, match="run it with imgcollapse sweep"):
        ic.load_study(plan_file)


def test_a_folder_of_something_else_is_refused_before_any_work(plan_file, tmp_path):
    out = tmp_path / "out"
    sweep(plan_file, out, smoke=True, backend=InProcess())
    assert open_sweep(out) == {"replace": "replace", "accumulate": "all of them"}
    with pytest.raises(UserError, match="belongs to another study \\(seed is 0 there, 1 here"):
        sweep(plan_file, out, ["seed=1"], smoke=True, backend=InProcess())
    with pytest.raises(UserError, match="not empty and not a sweep's folder"):
        sweep(plan_file, tmp_path, smoke=True, backend=InProcess())
