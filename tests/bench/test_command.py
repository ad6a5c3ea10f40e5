"""The command, at a size that takes seconds: no time is asserted, only what it says of them."""

import sys
from pathlib import Path

import pytest
from rich.console import Console

from imgcollapse import cli
from imgcollapse.cli.tables import check_table
from imgcollapse.config.loader import load_study
from imgcollapse.config.study import Study
from imgcollapse.core.errors import UserError
from imgcollapse.tools import bench
from imgcollapse.tools.bench.generations import DEMO

ROOT = Path(__file__).parents[2]


def call(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["imgcollapse", "bench", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return ended.value.code or 0


def test_the_study_that_is_timed_is_the_demo():
    demo = load_study(ROOT / "configs/demo.yaml")
    assert Study.model_validate(DEMO | {"generations": demo.generations}) == demo


# diffusers' own schedulers do this with numpy 2.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_every_part_runs_and_what_is_found_is_shown_and_written(monkeypatch, capsys, tmp_path):
    out = tmp_path / "new" / "bench.json"
    parts = [word for name in bench.PARTS for word in ("--only", name)]
    chosen = ["--size", "smoke", "--repeats", 1, "--precision", "float32", "--out", out]
    assert call(monkeypatch, *parts, *chosen) == 0
    report = bench.Report.model_validate_json(out.read_text())
    assert report.command.startswith("imgcollapse bench --only vae")
    assert report.peak["float32"] > 0
    of = {name: [c for c in report.comparisons if c.part == name] for name in bench.PARTS}
    for name in ("vae", "ddpm", "sampling", "measuring"):
        assert of[name], name
        for found in of[name]:
            assert found.quality, name
            assert found.ratio == found.ours.rates[0] / found.reference.rates[0] or (
                len(found.ratios) > 1
            )
    for found in of["vae"] + of["ddpm"] + of["sampling"]:
        assert found.peak_share > 0
    assert len(of["ddpm"][0].quality.curves[0]) == len(of["ddpm"][0].quality.curves[1])
    # Both are given the same features, so the distance is the same number.
    assert of["measuring"][0].quality.difference == pytest.approx(0, abs=1e-3)
    begin, first, second = report.generations
    assert begin.number == 0
    for generation in (first, second):
        assert set(generation.seconds) == {"fit", "sample", "measure", "rest"}
        assert sum(generation.seconds.values()) == pytest.approx(generation.wall)
    assert report.generations_per_hour == pytest.approx(3600 / second.wall)
    assert [solver.steps for solver in report.solvers if solver.name == "dpm++"] == [5, 8, 12, 20]
    assert len(report.checks) == 2
    shown = capsys.readouterr().out
    for word in ("ratio", "generations/hour", "sampler", "at most"):
        assert word in shown


def test_what_is_not_there_is_one_line(monkeypatch, capsys, tmp_path):
    for wrong in (
        ["--only", "gan"],
        ["--size", "huge"],
        ["--device", "cpux"],
        ["--precision", "int3"],
    ):
        assert call(monkeypatch, *wrong, "--out", tmp_path / "bench.json") == 2
        said = capsys.readouterr().err
        assert len(said.strip().splitlines()) == 1
        assert wrong[1] in said
    assert not list(tmp_path.iterdir())


def test_tables_show_what_was_missed():
    from imgcollapse.tools.bench.result import Check

    console = Console(record=True, width=120)
    console.print(
        check_table([Check(part="x", what="overhead", value=0.2, limit=0.1, detail="2 s")])
    )
    assert "MISSED" in console.export_text()
    with pytest.raises(UserError, match="no part gan"):
        bench.bench(["gan"])
