from __future__ import annotations

import csv
import io
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from PIL import Image

from imgcollapse.report import write_report
from imgcollapse.report.arrays import CensusArrays, padded, tidy
from imgcollapse.report.charts import file_name
from imgcollapse.report.sections.curves import frequencies
from imgcollapse.report.sections.drift import chance_panels
from imgcollapse.runs.run_dir import Run

from .conftest import Make
from .parsed import Page

DIGITS = 1e-5
"""Six digits are written: the sixth is off by at most a half, 5e-6 of the smallest mantissa."""
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def files(report: Path) -> dict[str, bytes]:
    return Page(report).files


def table(files: dict[str, bytes], name: str) -> pd.DataFrame:
    return pd.read_csv(io.BytesIO(files[f"{name}.csv"]))


def test_every_figure_can_be_taken_away_as_svg_png_and_csv(files: dict[str, bytes]) -> None:
    suffixes = {}
    for name in files:
        stem, _, suffix = name.rpartition(".")
        suffixes.setdefault(stem, set()).add(suffix)
    assert suffixes.pop("run") == {"yaml", "bib"}
    assert set(map(frozenset, suffixes.values())) == {frozenset({"svg", "png", "csv"})}
    grids, shares = (
        ["vanishing-grid", "samples"],
        ["chance", "class-shares", "class-shares-stacked"],
    )
    curves = ["heterozygosity", "classes-detected", "ne-over-n"]
    distances = ["fid-fid_infinity", "kid", "precision-recall", "density-coverage", "vendi"]
    assert sorted(suffixes) == sorted(grids + shares + curves + distances)


def test_the_files_open_by_themselves(files: dict[str, bytes]) -> None:
    for name, content in files.items():
        if name.endswith(".svg"):
            root = ElementTree.fromstring(content)
            assert root.tag == f"{SVG}svg"
            assert root.findtext(f"{SVG}title")
            assert b"var(--" not in content
        if name.endswith(".png"):
            svg = ElementTree.fromstring(files[name.replace(".png", ".svg")])
            with Image.open(io.BytesIO(content)) as picture:
                assert picture.mode == "P"
                assert picture.width > float(svg.get("width", "nan")) / 2


def test_shares_are_those_of_the_census(vanishing: Run, files: dict[str, bytes]) -> None:
    columns = {"drift_low": "chance_low", "drift_high": "chance_high"}
    census = vanishing.census.rename(columns=columns)
    for name in ("chance", "class-shares"):
        found = table(files, name)
        both = found.merge(census, on=["generation", "class"], suffixes=("", "_census"))
        assert len(both) == len(found) == 9
        for column in set(found) - {"generation", "class"}:
            assert_allclose(both[column], both[f"{column}_census"], rtol=DIGITS, atol=1e-12)


def test_the_other_tables_hold_what_is_drawn(vanishing: Run, files: dict[str, bytes]) -> None:
    counts = CensusArrays.of(vanishing)
    found = table(files, "heterozygosity")
    assert_allclose(found["heterozygosity"], counts.heterozygosity[0], rtol=DIGITS)
    assert (found["chance_low"] <= found["chance_high"]).all()
    assert table(files, "classes-detected")["detected"].tolist() == [3, 3, 2]
    assert table(files, "class-shares-stacked").groupby("generation")["share"].sum().tolist() == (
        pytest.approx([1, 1, 1], rel=DIGITS)
    )
    grid = table(files, "vanishing-grid").pivot(index="class", columns="generation")["counted"]
    assert grid.loc["dog"].tolist() == [600, 640, 700]
    assert grid.loc["(unrecognised)"].tolist() == [0, 0, 1]
    assert (table(files, "samples")["named"] == "dog").all()  # the first 64 of each generation
    metrics = vanishing.metrics
    kid = metrics.loc[(metrics["metric"] == "kid") & (metrics["class"] == "")]
    assert_allclose(table(files, "kid")["value"], kid["value"], rtol=DIGITS, atol=1e-12)


def test_of_several_lineages_there_is_each_and_the_mean(make_run: Make) -> None:
    run = make_run([[60, 40, 0], [80, 20, 0]], [[60, 40, 0], [50, 50, 0]], measured=False)
    counts = CensusArrays.of(run)
    found = frequencies(counts).table
    first = found.loc[(found["class"] == "class 0") & (found["generation"] == 1)]
    assert first["lineage"].tolist() == ["0", "1", "mean"]
    assert_allclose(first["frequency"].iloc[2], counts.frequency[:, 1, 0].mean())


def test_values_beside_a_shorter_band() -> None:
    values = np.array([[1.0, 2.0, 3.0]])
    found = tidy([0], "x", values, band=padded(np.array([4.0]), 3), none=None)
    assert found.columns.tolist() == ["generation", "x", "band"]
    assert_allclose(found["band"], [4, np.nan, np.nan])


@pytest.mark.parametrize(
    "name", ["<img src=x onerror=alert(1)>", '"><script>alert(1)</script>', "=1+1", "a,b\nc\x07"]
)
def test_a_class_name_is_text_in_every_file(make_run: Make, name: str) -> None:
    run = make_run([[60, 30, 10, 0]], classes=["dog", "cat", name], measured=False)
    counts = CensusArrays.of(run)
    figures = [frequencies(counts), *(figure for _, figure in chance_panels(counts))]
    for figure in figures:
        for svg in (figure.svg, figure.inline):
            tags = {part.tag.removeprefix(SVG) for part in ElementTree.fromstring(svg).iter()}
            assert not tags & {"img", "script"}
    rows = list(csv.reader(io.StringIO(figures[-1].csv)))
    assert rows[1][1] == name


def test_no_run_name_leaves_the_folder_of_downloads() -> None:
    assert file_name("../a b/ü?.x") == "a-b-ü-.x"
    assert file_name("..") == "run"


def test_what_is_not_pixels_is_light(make_run: Make) -> None:
    path = write_report([make_run([[300, 150, 50, 0]] * 11).path])
    page = Page(path)
    pixels = [image["src"] or "" for image in page.all("img")]
    pixels += [
        link["href"] or ""
        for link in page.all("a")
        if re.match("run-(samples|vanishing-grid)", link.get("download") or "")
    ]
    assert path.stat().st_size - sum(map(len, pixels)) < 1_000_000
