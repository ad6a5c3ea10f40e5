"""The examples of docs/extending.md, run word for word."""

import json

import pandas as pd
import pytest

import imgcollapse as ic
from imgcollapse.config.yaml import read as read_yaml
from imgcollapse.report import write_report

from .examples import examples, write_examples

PAGE = "docs/extending.md"
MOST_LINES = 30


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """All code blocks of the page as files in one folder, which Python finds modules in."""
    folder = tmp_path_factory.mktemp("extending")
    write_examples(PAGE, folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        yield folder


@pytest.fixture(scope="module")
def study(folder):
    """Runs the page's study with the settings of one of its YAML blocks."""

    def run(name, out=None, overrides=()):
        changes = read_yaml(folder / f"{name}.yaml", "")
        tree = read_yaml(folder / "study.yaml", "") | changes
        path = folder / f"study_{name}.yaml"
        path.write_text(json.dumps(tree))  # JSON is YAML
        return ic.run(path, folder / (out or name), overrides)

    return run


def test_examples_are_short():
    assert {e.name: e.lines for e in examples(PAGE) if e.lines > MOST_LINES} == {}


def test_a_generator(study):
    run = study("kernel_density")
    lineage = run.lineages[0]
    assert lineage.generations == 4
    real, drawn = lineage.samples(0).pixels.float(), lineage.samples(1).pixels.float()
    nearest = (real[None] - drawn[:, None]).flatten(2).norm(dim=2).min(dim=1).values
    # Noise of 8 gray levels on 64 pixels, half of it cut off at black: between 4 and 10 a pixel.
    assert ((nearest / 8 > 3) & (nearest / 8 < 11)).all()
    # Sampling again from the saved model gives the same bits, so `restore` works.
    found = ic.verify(run.path)
    assert not found.wrong
    assert len(run.metrics.query("metric == 'fid'"))


def test_a_source(study):
    run = study("bars")
    assert sorted(run.record["classes"]) == ["horizontal", "vertical"]
    assert run.record["oracle"]["accuracy"] > 0.95  # bars differ in 24 of 64 pixels
    assert run.census.query("generation == 0 and status == 'present'")["class"].nunique() == 2


def test_a_regime(study):
    lineage = study("window").lineages[0]
    third = lineage.training_set(3)
    assert third.generation.unique().tolist() == [1, 2]
    assert len(third) == 60
    second = lineage.training_set(2)
    assert second.generation.unique().tolist() == [0, 1]


def test_a_filter(study):
    run = study("brightest")
    lineage = run.lineages[0]
    samples, kept = lineage.samples(1).pixels.float().mean(dim=(1, 2, 3)), lineage.selection(1)
    assert len(kept.rows) == 60
    others = samples[[row for row in range(120) if row not in set(kept.rows.tolist())]]
    assert samples[kept.rows.long()].min() >= others.max()
    curation = pd.read_csv(run.path / "curation.csv")
    assert curation.query("generation == 1")["kept"].sum() == 60
    assert write_report([run.path]).exists()


@pytest.fixture(scope="module")
def bright(study):
    """A run with the page's metric."""
    return study("brightness")


def test_a_metric_stands_beside_its_floor(bright):
    found = bright.metrics.query("metric == 'brightness'")
    assert found["generation"].tolist() == [0, 1, 2, 3]
    assert ((found["low"] < found["value"]) & (found["value"] < found["high"])).all()
    pixels = bright.lineages[0].samples(1).pixels.double() / 255
    n = int(found["n"].iloc[1])
    assert found["value"].iloc[1] == pytest.approx(float(pixels[:n].mean()), rel=1e-6)
    floor = bright.metrics.query("metric == 'brightness_floor'")
    assert floor["generation"].tolist() == [0, 1, 2, 3]


def test_a_metric_is_on_the_pages(bright, study):
    assert "Mean brightness" in write_report([bright.path]).read_text()
    other = study("brightness", "other", ["seed=1"])
    page = write_report([bright.path, other.path], bright.path.parent / "both.html").read_text()
    assert "Mean brightness" in page


def test_a_metric_is_evaluated(bright, folder):
    found = ic.evaluate(bright.lineages[0].samples(1), bright)
    assert set(found.metrics["metric"]) >= {"brightness", "brightness_floor"}


def test_a_metric_of_torchmetrics(study):
    run = study("total_variation")
    found = run.metrics.query("metric == 'total_variation'")
    assert found["generation"].tolist() == [0, 1, 2, 3]
    assert ((found["low"] < found["value"]) & (found["value"] < found["high"])).all()
    assert (run.metrics["metric"] == "total_variation_floor").sum() == 4
    assert "Total variation" in write_report([run.path]).read_text()


def test_a_section(study, folder):
    run, other = study("brightness_section"), study("brightness_section", "section_2", ["seed=1"])
    assert "the brightness has changed by" in write_report([run.path]).read_text()
    page = write_report([run.path, other.path], folder / "sections.html").read_text()
    assert page.count("the brightness has changed by") == 2


def test_a_finished_run_is_opened(study, folder, monkeypatch):
    study("window", "runs/demo")
    (script,) = write_examples("docs/questions.md", folder)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("MPLBACKEND", "agg")
    names = {}
    exec(compile(script.text, script.name, "exec"), names)  # noqa: S102 (our own page)
    assert (folder / "rarest.png").exists()
    assert len(names["rarest"]) == len(names["fid"]) == 4
