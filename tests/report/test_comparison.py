from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats

from imgcollapse.core.errors import UserError
from imgcollapse.io import checksums
from imgcollapse.report import write_report
from imgcollapse.report.data import PageData
from imgcollapse.report.measures import (
    Difference,
    SurvivalData,
    difference,
    measures,
    survival_data,
)
from imgcollapse.report.sections.differences import differing
from imgcollapse.report.sections.samples import same_samples

from .conftest import Make, drifting
from .test_page import Page

HELD, LOST = [800, 150, 50, 0], [900, 100, 0, 0]
"""Three classes; the rarest is there, and is not."""


def losing(at: int, last: int = 6) -> list[list[int]]:
    """A lineage whose rarest class is seen for the last time before generation `at`."""
    return [HELD] * at + [LOST] * (last + 1 - at)


@pytest.fixture
def two(make_run: Make) -> list[Path]:
    """Replace loses its rare class by the end in two lineages of three, accumulate in none."""
    replace = make_run(losing(1), losing(3), losing(7), name="replace", measured=False)
    kept = [losing(7)] * 3
    other = make_run(*kept, name="accumulate", regime="accumulate", measured=False)
    return [replace.path, other.path]


def page(paths: list[Path], out: Path, baseline: str | None = None) -> tuple[Page, str]:
    found = Page(write_report(paths, out / "both.html", baseline))
    return found, " ".join(found.text.split())


def test_a_paired_difference_is_that_of_students_t() -> None:
    # Differences 1, 2, 3: mean 2, standard error 1/sqrt(3), t with 2 degrees of freedom 4.302653.
    found = difference([2, 4, 6], [1, 2, 3], paired=True)
    assert found.method == "paired"
    assert_allclose([found.value, found.low, found.high], [2, 2 - 2.484138, 2 + 2.484138], 1e-6)
    assert found.sign == 0
    assert difference([12, 14, 16], [1, 2, 3], paired=True).sign == 1


def test_an_unpaired_difference_is_welchs() -> None:
    a, b = [2.0, 4.0, 9.0, 5.0], [1.0, 2.0, 2.5]
    found = difference(a, b, paired=False)
    interval = stats.ttest_ind(a, b, equal_var=False).confidence_interval(0.95)
    assert found.method == "Welch"
    assert_allclose([found.low, found.high], [interval.low, interval.high], 1e-12)
    assert_allclose(found.value or 0, 5 - 5.5 / 3, 1e-12)


def test_one_lineage_has_a_difference_and_no_interval() -> None:
    for paired in (True, False):
        assert difference([3.0], [1.0], paired) == Difference(2.0)
        assert difference([np.nan], [1.0], paired) == Difference(None)
    assert difference([3.0, np.nan], [1.0, 2.0], paired=True) == Difference(2.0)
    assert difference([1.0, 1.0], [0.0, 0.0], paired=False).sign == 1


def test_lives_are_those_of_rare_classes_in_all_lineages(two: list[Path]) -> None:
    arms = PageData.of_several("two", {path: path.name for path in two})
    assert arms.rare == (2,)
    replace, accumulate = survival_data(arms)
    # Missed from generation 1 (3) on, it is called in 3 (5): three generations running.
    assert replace.times.tolist() == [3, 5, 6]
    assert replace.lost.tolist() == [True, True, False]
    assert not accumulate.lost.any()
    assert_allclose(replace.curve().alive, [1, 2 / 3, 1 / 3, 1 / 3], atol=1e-12)


def test_the_log_rank_test_is_that_of_freireichs_leukaemia_trial() -> None:
    # 6-MP against placebo (Freireich et al. 1963, Blood 21:699): chi-square 16.79 on one degree of
    # freedom in every textbook since Gehan 1965, Biometrika 52:203.
    treated = [6, 6, 6, 6, 7, 9, 10, 10, 11, 13, 16, 17, 19, 20, 22, 23, 25, 32, 32, 34, 35]
    relapsed = [1, 1, 1, 0, 1, 0, 1, 0, 0, 1, 1, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0]
    placebo = [1, 1, 2, 2, 3, 4, 4, 5, 5, 8, 8, 8, 8, 11, 11, 12, 12, 15, 17, 22, 23]
    one = SurvivalData(np.array(treated), np.array(relapsed, dtype=bool))
    other = SurvivalData(np.array(placebo), np.ones(21, dtype=bool))
    test = one.against(other)
    assert test.statistic is not None
    assert test.statistic < 0
    assert round(test.statistic**2, 2) == 16.79


def test_the_page_says_who_keeps_more_and_what_is_not_known(
    two: list[Path], tmp_path: Path
) -> None:
    _, text = page(two, tmp_path)
    arms = PageData.of_several("two", {path: path.name for path in two})
    rare = measures(arms)[0]
    values = [rare.of(arm, 7)[:, 6] for arm in arms.runs]
    gap = difference(values[1], values[0], paired=True)
    assert rare.change(gap.value or 0) in text
    assert "accumulate cannot be distinguished from it" in text  # 2 of 3 lineages: t is wide
    assert "Rare classes go extinct in 0 of 3 cases, in replace in 2 of 3" in text
    assert "3 pairs" in text
    assert "Whether it changes the part of the rarest class that is kept" in text


def test_a_rare_class_that_grows_does_not_hide_the_loss_of_another(make_run: Make) -> None:
    # Six classes: the rarest two have 4% and 2%; in generation 1, 12% and none.
    lineage = [[40, 25, 20, 9, 4, 2, 0], [40, 25, 20, 3, 12, 0, 0]]
    folder = make_run(lineage, measured=False).path
    arms = PageData.of_several("run", {folder: "run"})
    kept, share = (m.of(arms.run, 2)[0] for m in measures(arms)[:2])
    assert_allclose(kept, [1, 4 / 6], atol=0.01)  # the census corrects for an oracle 99.9% sure
    assert_allclose(share, [0.06, 0.12], atol=0.01)


def test_a_class_that_came_back_has_died_once_and_is_not_extinct(make_run: Make) -> None:
    # Missed three times running it is called extinct, seen three times running it is back.
    rescued = [HELD] + [LOST] * 4 + [HELD] * 3
    folder = make_run(rescued, losing(2, last=7), measured=False).path
    arms = PageData.of_several("run", {folder: "run"})
    extinct = next(m for m in measures(arms) if m.name == "number of rare classes extinct")
    assert extinct.of(arms.run, 8).tolist() == [[0, 0, 0, 1, 1, 1, 1, 0], [0] * 4 + [1] * 4]
    assert survival_data(arms)[0].lost.all()


def test_a_clear_difference_is_said_to_be_one(make_run: Make, tmp_path: Path) -> None:
    lost, kept = [losing(2)] * 4, [losing(7)] * 4
    replace = make_run(*lost, name="replace", measured=False).path
    other = make_run(*kept, name="accumulate", regime="accumulate", measured=False).path
    _, text = page([replace, other], tmp_path)
    assert re.search("Keeps more of the rarest classes than replace: 100% against 0%", text)
    # Four of eight die together: z^2 = (4 - 2)^2 / (4 1/2 1/2 4/7) = 7, a p-value of 0.0082.
    assert "they survive longer (log-rank p = 0.0082)" in text
    _, text = page([replace, other], tmp_path, baseline="accumulate")
    assert "Keeps less of the rarest classes than accumulate" in text


def test_one_lineage_an_arm_has_no_interval_and_the_page_says_so(
    make_run: Make, tmp_path: Path
) -> None:
    lives = [[60, 30, 10, 0], *[[70, 28, 2, 0]] * 3]
    paths = [make_run(lives, name=name).path for name in ("a", "b")]
    found, text = page(paths, tmp_path)
    shown = " ".join(svg["aria-label"] or "" for svg in found.all("svg"))
    for metric in ("FID to real images", "KID to real images", "Recall of real images"):
        assert f"{metric} by generation: a " in shown
        assert f"{metric}, difference from a: b 0." in shown
    assert "with 1 lineage no interval over lineages can be given" in text
    assert not re.search(r"\bnan\b|\bNone\b", text)


def test_other_seeds_are_not_paired(two: list[Path]) -> None:
    record = checksums.read_json(two[1] / "run.json", "")
    record["study"]["seed"] = 1
    checksums.write_json(two[1] / "run.json", record)
    arms = PageData.of_several("two", {path: path.name for path in two})
    assert not arms.paired(arms.runs[1])


def test_other_images_and_other_classes_are_told(two: list[Path], tmp_path: Path) -> None:
    record = checksums.read_json(two[1] / "run.json", "")
    record["data"]["sha256"] = "1" * 64
    checksums.write_json(two[1] / "run.json", record)
    assert "Not the same real images as replace: accumulate." in page(two, tmp_path)[1]
    record["classes"] = record["classes"][::-1]
    checksums.write_json(two[1] / "run.json", record)
    with pytest.raises(UserError, match="compare runs of one set of classes"):
        page(two, tmp_path)


def test_settings_that_differ_are_named() -> None:
    one = {"seed": 0, "regime": {"kind": "replace"}, "generator": {"kind": "vae", "steps": 2}}
    other = {"seed": 0, "regime": {"kind": "fresh"}, "generator": {"kind": "vae", "steps": 3}}
    assert differing(one, other) == ["regime", "generator.steps"]


def test_arms_are_compared_where_all_have_come_to(make_run: Make, tmp_path: Path) -> None:
    ahead = make_run(losing(2), name="ahead", measured=False).path
    behind = make_run([HELD] * 4, name="behind", measured=False).path
    nothing = make_run([HELD], name="nothing", measured=False).path
    _, text = page([ahead, behind, nothing], tmp_path)
    assert "compared in generation 3" in text
    assert "No model has been trained yet: nothing." in text
    with pytest.raises(UserError, match="no model has been trained yet"):
        page([nothing, nothing], tmp_path)


def test_a_baseline_nobody_is_called_by_is_refused(two: list[Path], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--baseline: no arm is called 'x'; it may be one of"):
        page(two, tmp_path, "x")
    with pytest.raises(UserError, match="--baseline: one run"):
        write_report(two[:1], baseline="replace")
    with pytest.raises(UserError, match="--out"):
        write_report(two)


def test_samples_stand_side_by_side_by_lineage_generation_and_row(two: list[Path]) -> None:
    arms = PageData.of_several("two", {path: path.name for path in two})
    shown = same_samples(arms)
    assert set(shown.figure.table["lineage"]) == {0}
    assert shown.grid.headers == ("real", *"123456")
    assert [row.name for row in shown.grid.rows] == ["replace", "accumulate"]
    # The same counts, so the same images, in generation 0 alone.
    one, other = ([found.src if found else "" for found in row] for row in shown.pictures)
    assert [a == b for a, b in zip(one, other, strict=True)] == [True] + [False] * 6


def test_a_sweeps_folder_stands_for_its_arms(two: list[Path]) -> None:
    arms = [
        {"name": "replace", "title": "the old way"},
        {"name": "accumulate", "title": "keep all"},
        {"name": "never begun", "title": "never begun"},
    ]
    folder = two[0].parent
    checksums.write_json(folder / "sweep.json", {"format": 2, "arms": arms})
    path = write_report([folder])
    assert path == folder / "report.html"
    text = " ".join(Page(path).text.split())
    assert "Differences from the old way" in text
    assert "No model has been trained yet: never begun." in text


def test_the_page_is_whole_and_needs_no_network(two: list[Path], tmp_path: Path) -> None:
    found, _ = page(two, tmp_path)
    text = (tmp_path / "both.html").read_text(encoding="utf-8")
    assert not re.search(r"https?:|//[a-z]|@import", re.sub(r"base64,[^\"]*", "", text))
    assert all((image["src"] or "").startswith("data:image/") for image in found.all("img"))
    assert all(image["alt"] for image in found.all("img"))
    assert not found.all("script") + found.all("link")
    assert all(svg.get("role") == "img" and svg.get("aria-label") for svg in found.all("svg"))
    ids = {attributes["id"] for _, attributes in found.tags if "id" in attributes}
    wanted = {(use["href"] or "")[1:] for use in found.all("use")}
    assert (
        wanted | {attributes["aria-labelledby"] or "" for attributes in found.all("section")} <= ids
    )
    first = (tmp_path / "both.html").read_bytes()
    page(two, tmp_path)
    assert (tmp_path / "both.html").read_bytes() == first


def test_five_arms_of_ten_generations_are_a_light_page(make_run: Make, tmp_path: Path) -> None:
    shares = [0.5, 0.3, 0.15, 0.05]
    lives = [drifting(shares, 120, 10, seed) for seed in range(2)]
    first = make_run(*lives, name="0", size=64, measured=False).path
    paths = [first]
    for name in "1234":
        paths.append(first.with_name(name))
        shutil.copytree(first, paths[-1])
    write_report(paths, tmp_path / "five.html")
    assert (tmp_path / "five.html").stat().st_size < 15e6
