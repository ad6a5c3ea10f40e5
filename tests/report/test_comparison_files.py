"""What can be taken away from a comparison."""

from __future__ import annotations

import io
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from PIL import Image

from imgcollapse.config.loader import load_study
from imgcollapse.report import write_report
from imgcollapse.report.arrays import interval_of_mean
from imgcollapse.report.data import PageData
from imgcollapse.report.measures import measures
from imgcollapse.report.sections.citation import changes, sweep_file
from imgcollapse.report.sections.samples import rarest_samples
from imgcollapse.sweeps import load_plan

from .conftest import write_run
from .parsed import Page

CONFIGS = Path(__file__).parents[2] / "configs"
DIGITS = 1e-5
"""Six digits are written."""

HELD, LOST = [800, 150, 50, 0], [900, 98, 0, 2]


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Four arms of two lineages; the first loses its rare class at once in one of them."""
    folder = tmp_path_factory.mktemp("arms")
    lost, kept = [HELD, LOST, LOST], [HELD] * 3
    runs = [write_run(folder, lost, kept, name="replace", measured=False)]
    runs += [
        write_run(folder, kept, kept, name=name, regime=name, measured=False)
        for name in ("accumulate", "fresh", "real-only")
    ]
    return [run.path for run in runs]


@pytest.fixture(scope="module")
def page(paths: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Page:
    return Page(write_report(paths, tmp_path_factory.mktemp("page") / "four.html"))


def table(page: Page, name: str) -> pd.DataFrame:
    return pd.read_csv(io.BytesIO(page.files[f"four-{name}.csv"]), dtype={"lineage": str})


def test_every_figure_can_be_taken_away_as_svg_png_and_csv(page: Page) -> None:
    stems: dict[str, set[str]] = {}
    for name, content in page.files.items():
        stem, _, suffix = name.rpartition(".")
        stems.setdefault(stem, set()).add(suffix)
        if suffix == "svg":
            root = ElementTree.fromstring(content)
            assert root.findtext("{http://www.w3.org/2000/svg}title")
            assert b"var(--" not in content
        if suffix == "png":
            with Image.open(io.BytesIO(content)) as picture:
                assert picture.mode == "P"
    assert stems.pop("four") == {"yaml", "bib"}
    assert set(map(frozenset, stems.values())) == {frozenset({"svg", "png", "csv"})}
    assert sorted(stem.removeprefix("four-") for stem in stems) == [
        "differences",
        "heterozygosity",
        "kept-by-arm",
        "number-of-classes-detected",
        "number-of-rare-classes-extinct",
        "part-of-the-rarest-class-that-is-kept",
        "rarest-samples",
        "same-samples",
        "share-of-the-rarest-class",
        "share-recognized",
        "survival",
    ]


def test_curves_come_with_their_lineages_and_the_interval_of_the_mean(
    page: Page, paths: list[Path]
) -> None:
    arms = PageData.of_several("four", {path: path.name for path in paths})
    found = table(page, "number-of-classes-detected")
    detected = next(m for m in measures(arms) if m.name == "number of classes detected")
    for arm in arms.runs:
        values, of_arm = detected.of(arm, 3), found.loc[found["arm"] == arm.title]
        cube = of_arm.loc[of_arm["lineage"] != "mean", "value"].to_numpy().reshape(2, 3)
        assert_allclose(cube, values, rtol=DIGITS)
        means = of_arm.loc[of_arm["lineage"] == "mean"]
        low, high = interval_of_mean(values)
        assert_allclose(means["low"], low.clip(0), rtol=DIGITS)  # as drawn: no fewer than none
        assert_allclose(means["high"], high.clip(max=3), rtol=DIGITS)
    assert table(page, "kept-by-arm").equals(table(page, "part-of-the-rarest-class-that-is-kept"))


def test_differences_and_lives_are_those_that_are_drawn(page: Page) -> None:
    gaps = table(page, "differences").set_index(["measure", "arm"])
    detected = gaps.loc[("Classes detected, of 3", "accumulate")]
    assert detected["difference"] == pytest.approx(0.5)  # 3 and 3 against 2 and 3
    assert detected["interval"] == "paired"
    # Two differences, 1 and 0: mean 1/2, error 1/2, t with 1 degree of freedom 12.7062.
    assert_allclose(detected[["low", "high"]].astype(float), 0.5 + np.array([-1, 1]) * 6.3531, 1e-5)
    assert set(table(page, "survival")["alive"]) == {1}  # three misses running make extinction


def test_the_grids_say_what_happened_and_how_much_of_it(page: Page, paths: list[Path]) -> None:
    rare = table(page, "rarest-samples").pivot(index="arm", columns="generation", values="rare")
    assert rare.loc["replace"].tolist() == [50, 0, 0]
    assert rare.loc["fresh"].tolist() == [50, 50, 50]
    arms = PageData.of_several("four", {path: path.name for path in paths})
    alt = rarest_samples(arms).figure.alt
    assert alt.endswith(
        "In generation 2 these are 0 of 1,000 in replace, 50 of 1,000 in accumulate, 50 of 1,000 "
        "in fresh, 50 of 1,000 in real-only."
    )
    same = table(page, "same-samples")
    assert (same["n"] == 16).all()
    assert (same["recognized"] == 16).all()


def test_more_arms_than_bands_can_tell_apart_have_bars(page: Page, paths: list[Path]) -> None:
    assert "at the right end, its 95% interval in generation 2" in page.text
    out = paths[0].parent / "two.html"
    assert "at the right end" not in Page(write_report(paths[:2], out)).text


def test_the_page_is_for_keyboards_and_may_do_nothing(page: Page) -> None:
    (policy,) = (
        meta["content"] or "" for meta in page.all("meta") if meta.get("http-equiv") is not None
    )
    assert all(f"{what} 'none'" in policy for what in ("default-src", "base-uri", "form-action"))
    (main,) = page.all("main")
    assert main["id"] == "main"
    assert page.all("a")[0] == {"class": "skip", "href": "#main"}
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert {section["aria-labelledby"] for section in page.all("section")} <= set(ids)


@pytest.mark.parametrize("path", sorted(Path("configs/remedies").glob("*.yaml")), ids=str)
def test_the_box_of_a_sweep_is_the_same_sweep_again(path: Path, tmp_path: Path) -> None:
    plan = load_plan(path)
    text = sweep_file([(arm.name, arm.title, arm.study.resolved()) for arm in plan.arms])
    (tmp_path / "again.yaml").write_text(text, encoding="utf-8")
    assert load_plan(tmp_path / "again.yaml") == plan


def test_any_two_studies_are_a_sweep(tmp_path: Path) -> None:
    studies = [
        load_study(CONFIGS / name, ["threads=2"]).resolved()
        for name in ("demo.yaml", "gaussian.yaml", "mnist_ddpm.yaml")
    ]
    named = [("run", "a/run"), ("run", "b/run"), ("_ü", "_ü")]
    text = sweep_file([(*names, study) for names, study in zip(named, studies, strict=True)])
    (tmp_path / "again.yaml").write_text(text, encoding="utf-8")
    again = load_plan(tmp_path / "again.yaml").arms
    assert [arm.study.resolved() for arm in again] == studies
    assert [arm.title for arm in again] == ["a/run", "b/run", "_ü"]


def test_an_arm_says_no_more_than_it_changes() -> None:
    one = {"seed": 0, "regime": {"kind": "replace"}, "generator": {"kind": "vae", "steps": 2}}
    other = {"seed": 0, "regime": {"kind": "fresh"}, "generator": {"kind": "vae", "steps": 3}}
    assert changes(one, other) == {"regime": {"kind": "fresh"}, "generator": {"steps": 3}}
    assert changes(one, one) == {}


def test_the_page_carries_the_file_and_every_fingerprint(page: Page, tmp_path: Path) -> None:
    text = page.files["four.yaml"].decode()
    assert text in page.text
    (tmp_path / "again.yaml").write_text(text, encoding="utf-8")
    arms = load_plan(tmp_path / "again.yaml").arms
    assert [(arm.name, arm.study.regime.kind) for arm in arms] == [
        (name, name) for name in ("replace", "accumulate", "fresh", "real-only")
    ]
    assert page.files["four.bib"].decode() in page.text
    assert "Comparison “four” of 4 runs, seed 0" in page.text
