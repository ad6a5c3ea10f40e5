"""The plan before starting: what is counted is exact, and the disk is as full as it says."""

import sys

import pytest

import imgcollapse as ic
from imgcollapse import cli
from imgcollapse.experiment.forecast import Schedule, forecast, measure_cost

GENERATORS = {
    "ddpm": "{kind: ddpm, channels: [8], steps: 5, sample_steps: 2, warm_start: true, "
    "warm_steps: 2}",
    "vae": "{kind: vae, epochs: 2, width: 4, latent: 3, batch: 16}",
    "gaussian": "gaussian",
}


@pytest.fixture(autouse=True)
def _briefly(monkeypatch):
    """Nobody looks at the time that is foreseen."""
    monkeypatch.setattr("imgcollapse.experiment.forecast.BUDGET", 0.02)


class Counted:
    """Hears how many steps each training has."""

    def __init__(self):
        self.steps = []

    def start_generation(self, lineage, generation, study):
        self.steps.append(None)

    def log(self, line):
        pass

    def __call__(self, stage, step, steps, images, loss=None):
        if stage == "train":
            self.steps[-1] = steps


def weigh(folder):
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("kind", GENERATORS)
def test_steps_are_exact_and_the_disk_is_within_a_seventh(config, tmp_path, kind):
    settings = [f"generator={GENERATORS[kind]}", "regime=accumulate", "samples=300"]
    study = ic.load_study(config, [*settings, "longtail.images=300", "splits.oracle=30"])
    plan = forecast(study, measure_cost(study))
    assert not list(tmp_path.glob("*/")), "nothing is written"
    reporter = Counted()
    run = ic.run(study, tmp_path / "run", reporter=reporter)
    assert [steps or 1 for steps in plan.schedule.steps] == reporter.steps[1:]
    assert plan.schedule.training == (300, 600, 900)
    assert plan.disk == pytest.approx(weigh(run.path), rel=0.15)


def test_lineages_and_retention_are_weighed(config, tmp_path):
    study = ic.load_study(
        config,
        [
            *("lineages=2", "samples=400", "longtail.images=400", "splits.oracle=30"),
            "retention={samples: 1, models: 1}",
        ],
    )
    plan = forecast(study, measure_cost(study))
    assert plan.disk == pytest.approx(weigh(ic.run(study, tmp_path / "run").path), rel=0.15)
    assert plan.steps is None


def test_a_filters_share_is_in_the_training_sets(config):
    study = ic.load_study(
        config, ["curation={kind: verifier, keep_share: 0.5}", "samples=80", "regime=accumulate"]
    )
    assert Schedule.of(study, study.real()).training == (40, 80, 120)


def test_the_command_prints_a_plan_and_writes_nothing(config, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    arguments = [f"generator={GENERATORS['ddpm']}", "lineages=2"]
    command = ["imgcollapse", "run", str(config), *arguments, "--dry-run"]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert not ended.value.code
    said = capsys.readouterr().out
    assert "2 lineages of 3 generations: 6 to train" in said
    assert "18: 2 to 5 a model" in said
    assert "240: 40 a generation" in said
    assert "Measured in" in said
    assert {path.name for path in tmp_path.iterdir()} == {config.name}


def test_a_sweeps_arms_share_what_is_made_once(config, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    plan = tmp_path / "plan.yaml"
    plan.write_text(f"study: {config.name}\narms: {{a: {{}}, b: {{regime: accumulate}}}}\n")
    arguments = [f"generator={GENERATORS['ddpm']}"]
    command = ["imgcollapse", "sweep", str(plan), *arguments, "--jobs", "2", "--dry-run"]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert not ended.value.code
    said = capsys.readouterr().out
    assert "With 2 at a time" in said
    assert {path.name for path in tmp_path.iterdir()} == {config.name, plan.name}
    from imgcollapse.sweeps import estimate_costs, load_plan

    plans = dict(estimate_costs(load_plan(plan, arguments)))
    assert plans["a"].profile is plans["b"].profile, "arms that cost alike are tried once"
    assert plans["b"].oracle < plans["a"].oracle
    assert plans["b"].training < plans["a"].training
    assert plans["a"].steps == plans["b"].steps == 9
