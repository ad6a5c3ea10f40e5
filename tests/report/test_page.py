from __future__ import annotations

import re
from pathlib import Path

import pytest

from imgcollapse.core.errors import UserError
from imgcollapse.report import write_report
from imgcollapse.runs.run_dir import Run

from .conftest import Make
from .parsed import Page

HOSTILE = "<img src=x onerror=alert(1)>"


def test_a_class_that_is_gone_leaves_a_gap_with_a_word(report: Path) -> None:
    page = Page(report)
    gaps = [cell["title"] for cell in page.all("td") if cell.get("class") == "gap"]
    assert gaps == ["<b>fox</b> & $x, generation 2: 0 of 1,000 samples"]
    assert "below detection" in page.text
    assert "last detected in 1" in page.text


def test_class_names_are_text(make_run: Make) -> None:
    run = make_run([[6, 4, 2, 0], [8, 4, 0, 0]], classes=["dog", "cat", HOSTILE])
    path = write_report([run.path])
    page = Page(path)
    assert HOSTILE in page.text
    assert HOSTILE not in path.read_text(encoding="utf-8")
    assert not any("onerror" in attributes for _, attributes in page.tags)


def test_the_page_needs_no_network_and_no_script(report: Path) -> None:
    page = Page(report)
    text = report.read_text(encoding="utf-8")
    assert not re.search(r"https?:|//[a-z]|@import", re.sub(r"base64,[^\"]*", "", text))
    assert all((image["src"] or "").startswith("data:image/") for image in page.all("img"))
    assert all(image["alt"] for image in page.all("img"))
    assert all((use["href"] or "").startswith("#") for use in page.all("use"))
    assert not page.all("script") + page.all("link")


def test_what_is_referred_to_is_there_once(report: Path) -> None:
    page = Page(report)
    ids = {attributes["id"] for _, attributes in page.tags if "id" in attributes}
    links = [link["href"] or "" for link in page.all("use") + page.all("a")]
    wanted = {link[1:] for link in links if not link.startswith("data:")}
    wanted |= {attributes["aria-labelledby"] for attributes in page.all("section")}
    assert wanted <= ids


def test_the_same_run_gives_the_same_bytes(vanishing: Run, report: Path, tmp_path: Path) -> None:
    assert write_report([vanishing.path], tmp_path / "b.html").read_bytes() == report.read_bytes()


def test_everything_asked_of_a_report_is_on_it(report: Path) -> None:
    text = Page(report).text
    for heading in (
        "Vanishing grid",
        "What cannot be concluded",
        "Drift, or the model?",
        "Curves",
        "Distance to real images",
        "When each class was last detected",
        "Samples",
        "The oracle",
        "What was run",
    ):
        assert heading in text
    for said in (
        "99.0% of 30",
        "97.5% of the held-out",
        "Confusion matrix",
        "kind: resample",
        "0" * 64,
        "FID",
        "KID",
    ):
        assert said in text


@pytest.mark.parametrize(
    "lineages",
    [
        [[[5, 3, 1, 0]]],
        [[[5, 0], [5, 0]]],
        [[[5, 3, 0], [0, 0, 8]]],
        [[[5, 3, 0], [4, 4, 0]], [[5, 3, 0], [8, 0, 0]], []],
        [[[1] * 121, [1] * 120 + [0]]],
        [[[5, 3, 0]] * 20],
    ],
    ids=[
        "one generation",
        "one class",
        "nothing recognized",
        "lineages under way",
        "120 classes",
        "20 generations",
    ],
)
def test_odd_runs_have_a_page(make_run: Make, lineages: list) -> None:
    run = make_run(*lineages, measured=False)
    path = write_report([run.path])
    assert path == run.path / "report.html"
    assert not re.search(r"\bnan\b|\bNone\b", Page(path).text)


def test_the_verdict_is_on_the_page(report: Path) -> None:
    page = Page(report)
    text = " ".join(page.text.split())
    assert "Drift alone does not explain the class shares (p = 0.0" in text
    assert "N_e/n is 0." in text
    assert text.count("the model loses it") == 2  # below its panel, and in the table
    assert "generations left" in text


def test_where_there_is_no_verdict_the_page_says_why(make_run: Make) -> None:
    text = Page(write_report([make_run([[50, 30, 0], [0, 0, 80]]).path])).text
    assert "No verdict: nothing in generation 1 was recognized." in text
    assert "generations left" not in text


def test_lineages_have_survival_curves(make_run: Make) -> None:
    there, missing = [900, 100, 0], [1000, 0, 0]
    path = make_run([there, *[missing] * 3], [there] * 4, measured=False).path
    text = " ".join(Page(write_report([path])).text.split())
    assert "Kaplan–Meier" in text
    assert "extinct in 1 of 2" in text


def test_undefined_metrics_have_a_reason(make_run: Make) -> None:
    text = " ".join(Page(write_report([make_run([[40, 20, 0], [1, 0, 0]]).path])).text.split())
    assert "Undefined:" in text
    assert "in generation 1: " in text


def test_every_picture_has_words(report: Path) -> None:
    page = Page(report)
    assert all(svg.get("role") == "img" and svg.get("aria-label") for svg in page.all("svg"))
    assert len(page.all("svg")) == 3 + 5 + 5  # panels, curves, distances


@pytest.mark.parametrize(("size", "channels", "kind"), [(28, 1, "png"), (128, 3, "webp")])
def test_large_images_do_not_make_a_heavy_page(
    make_run: Make, size: int, channels: int, kind: str
) -> None:
    run = make_run([[60, 40, 0]] * 3, size=size, channels=channels, measured=False)
    path = write_report([run.path])
    assert all((i["src"] or "").startswith(f"data:image/{kind}") for i in Page(path).all("img"))
    assert path.stat().st_size < 2**21  # of noise, which cannot be packed


def test_nothing_is_written_where_the_input_is_bad(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not a run folder"):
        write_report([tmp_path], tmp_path / "new" / "report.html")
    assert not list(tmp_path.iterdir())
