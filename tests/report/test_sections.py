"""Sections of one's own, metrics that nobody registered, and statements that must agree."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from imgcollapse.cli import tools
from imgcollapse.core.errors import UserError
from imgcollapse.io import checksums
from imgcollapse.report import Section, write_report
from imgcollapse.report.data import PageData
from imgcollapse.report.formatting import with_tooltips
from imgcollapse.report.measures import measures
from imgcollapse.report.section import Block, Table, Text
from imgcollapse.report.sections import SECTIONS
from imgcollapse.report.sections.by_generation import measure_chart
from imgcollapse.report.sections.metrics import metric_charts
from imgcollapse.report.sections.vanishing_grid import VanishingGrid
from imgcollapse.runs.run_dir import Run

from .conftest import Make
from .parsed import Page

PACKAGE = Path(__file__).parents[2] / "imgcollapse"


class Population(Section):
    """A section of a user's own."""

    name, runs, heading = "population", "any", "How many classes there are"

    def blocks(self, data: PageData) -> Sequence[Block]:
        return [Text(f"{len(data.classes)} classes in {len(data.runs)} run.")]


def test_a_section_of_ones_own_stands_before_the_citation(vanishing: Run, tmp_path: Path) -> None:
    own = f"{__name__}:Population"
    text = Page(write_report([vanishing.path], tmp_path / "page.html", sections=[own])).text
    assert "3 classes in 1 run." in text
    assert text.index("The oracle") < text.index("How many classes") < text.index("What was run")


def test_a_study_names_sections_and_one_that_is_not_installed_is_left_out(
    make_run: Make,
) -> None:
    run = make_run([[5, 3, 0]], measured=False)
    record = checksums.read_json(run.path / "run.json", "")
    record["study"]["report"] = {"sections": [f"{__name__}:Population", "no_such_module:X"]}
    checksums.write_json(run.path / "run.json", record)
    text = Page(write_report([run.path])).text
    assert "2 classes in 1 run." in text
    assert "Left out: section no_such_module:X: cannot be imported" in text


def test_a_metric_that_cannot_be_imported_is_said_to_be_left_out(
    make_run: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = [make_run([[5, 3, 0], [4, 4, 0]], name=name, measured=False).path for name in "ab"]
    for path in paths:
        record = checksums.read_json(path / "run.json", "")
        record["study"]["metrics"] = {"also": ["no_such_module:Mine"]}
        checksums.write_json(path / "run.json", record)
    for runs in (paths[:1], paths):
        tools.report(runs, tmp_path / "page.html")
        told = capsys.readouterr().err
        assert told.startswith("Left out: metric no_such_module:Mine: cannot be imported")
        assert told.count("\n") == 1
        assert told.strip() in Page(tmp_path / "page.html").text


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("no_such_module:X", "section no_such_module:X: cannot be imported"),
        ("numpy:NoSuchClass", "cannot be imported"),
        ("numpy:ndarray", "is not a Section; write MODULE:CLASS"),
        ("os:system", "os is Python's"),
    ],
)
def test_what_is_no_section_is_one_line(vanishing: Run, path: str, said: str) -> None:
    with pytest.raises(UserError, match=re.escape(said)):
        write_report([vanishing.path], sections=[path])


def test_every_section_has_a_name_of_its_own_for_each_number_of_runs() -> None:
    for several in (False, True):
        names = [s.name for s in SECTIONS if s.runs == "any" or (s.runs == "several") == several]
        assert len(set(names)) == len(names)


def test_a_metric_that_is_not_registered_here_has_a_chart_with_its_bare_name(
    vanishing: Run,
) -> None:
    data = PageData.of_one(vanishing.path)
    metrics = data.run.metrics
    of_kid = metrics["metric"].isin(["kid", "kid_floor"])
    metrics = metrics.assign(metric=metrics["metric"].where(~of_kid, "clip" + metrics["metric"]))
    run = replace(data.run, metrics=metrics)
    assert "clipkid" in [info.name for info in run.metric_infos]
    titles = [
        figure.alt.partition(" by gen")[0] for figure in metric_charts(metrics, run.metric_infos, 3)
    ]
    assert "clipkid" in titles
    assert "KID to real images" not in titles


def test_no_metric_is_named_in_the_report() -> None:
    named = re.compile(r"""["'](fid|fid_infinity|kid|recall|memorized|vendi|vocab_\w+)["']""")
    files = [*(PACKAGE / "report").rglob("*.py"), *(PACKAGE / "report").rglob("*.j2")]
    found = [path.name for path in files if named.search(path.read_text(encoding="utf-8"))]
    assert len(files) > 20
    assert not found


def test_grid_tables_and_sentences_have_one_rule_for_detected(make_run: Make) -> None:
    # One of 1,000 samples is named so, which is no evidence that the class is there.
    run = make_run([[900, 100, 0], [900, 100, 0], [999, 1, 0]], measured=False)
    data = PageData.of_one(run.path)
    census = data.run.census
    assert not census.detected[0, 2, 1]
    said, images = VanishingGrid().blocks(data)
    assert "A share in brackets is too small to count as detected" in vars(said)["text"]
    row = vars(images)["grid"].rows[1]
    assert row.detail.endswith("last detected in 1")
    assert row.cells[2].note == "(0.1%)"
    text = " ".join(Page(write_report([run.path])).text.split())
    assert "class 1 (last detected in generation 1)" in text
    assert "A cross marks a generation in which a class is not detected" in text
    assert "a hollow point: not detected, the interval includes 0" in text


def test_a_comparison_has_the_warnings_of_each_run_and_leaves_titles_as_they_are(
    make_run: Make, tmp_path: Path
) -> None:
    fine = [[600, 300, 100, 0], [600, 300, 100, 0]]
    poor = [[600, 300, 100, 0], [300, 300, 100, 300]]
    paths = [
        make_run(lineage, name=name, accuracy=accuracy, measured=False).path
        for name, lineage, accuracy in (("one", fine, 0.99), ("two", poor, 0.8))
    ]
    record = checksums.read_json(paths[1] / "run.json", "")
    record["data"]["remarks"] = ["3 images stand twice."]
    checksums.write_json(paths[1] / "run.json", record)
    text = " ".join(Page(write_report(paths, tmp_path / "page.html")).text.split())
    assert "two: 3 images stand twice." in text
    assert "two: The oracle names only 80% of held-out real images rightly" in text
    assert "two: Generation 1 was not faithful" in text
    assert "one: Generation 1" not in text
    assert re.search("one keeps [0-9.]+% of the rarest classes’ share", text)


def test_an_axis_of_shares_that_are_all_nothing_has_ticks_that_differ(make_run: Make) -> None:
    run = make_run([[900, 99, 1, 0], [900, 100, 0, 0]], measured=False)
    data = PageData.of_several("page", {run.path: "run"})
    share = next(m for m in measures(data) if m.name.startswith("share of the rarest"))
    texts = re.findall(r">([\d.]+%)</text>", measure_chart(data, share).inline)
    assert len(texts) > 2
    assert len(set(texts)) == len(texts)
    assert share.change(-1.2e-8) == "0 pp"
    assert np.sign(float(share.change(0.012).removesuffix(" pp"))) == 1


def test_terms_have_tooltips_and_texts_stay_escaped() -> None:
    marked = with_tooltips("FID of <b> beside its floor; FID again, (unrecognised)")
    assert marked.count("<abbr") == 2
    assert "&lt;b&gt;" in marked
    assert '<abbr title="Fréchet' in marked


def test_blocks_are_drawn_by_the_name_of_their_class() -> None:
    assert Text("x").kind == "text"
    assert Table("x", [], []).kind == "table"
