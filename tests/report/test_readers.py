"""The page for everyone: keyboard, screen reader, phone, a browser that allows nothing."""

from __future__ import annotations

import re
import shutil
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest

from .parsed import Page

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


def test_a_picture_has_words_and_keeps_its_place(report: Path) -> None:
    page = Page(report)
    pictures = page.all("img") + page.all("svg")
    assert len(pictures) > 20
    for picture in pictures:
        assert picture.get("alt") or picture.get("aria-label")
        assert float(picture.get("width") or 0) > 0
        assert float(picture.get("height") or 0) > 0
    assert all(svg.get("role") == "img" for svg in page.all("svg"))


def test_words_say_what_a_picture_shows(report: Path) -> None:
    said = " ".join(svg.get("aria-label") or "" for svg in Page(report).all("svg"))
    assert "dog, the commonest class, goes from 60% of the real images to 70.1% of gen" in said
    assert "Not detected by then: <b>fox</b> & $x." in said
    assert "Number of the 3 classes detected: 3 in the real images, 2 in generation 2" in said


def test_headings_leave_out_no_level(report: Path) -> None:
    levels = [int(tag[1]) for tag, _ in Page(report).tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(b - a <= 1 for a, b in pairwise(levels))


def test_the_keyboard_reaches_everything(report: Path) -> None:
    page = Page(report)
    first = next(attributes for tag, attributes in page.tags if tag == "a")
    assert first["href"] == "#main"
    assert page.all("main")[0]["id"] == "main"
    scrolling = [a for _, a in page.tags if a.get("class") in ("scroll", "strip")] + page.all("pre")
    assert len(scrolling) > 5
    assert all(a.get("tabindex") == "0" and a.get("aria-label") for a in scrolling)
    # Nothing comes earlier or later than it is read.
    assert {a["tabindex"] for _, a in page.tags if "tabindex" in a} == {"0", "-1"}
    assert ":focus-visible" in report.read_text(encoding="utf-8")


def test_links_have_names_of_their_own(report: Path) -> None:
    names = [a["aria-label"] for a in Page(report).all("a") if "download" in a]
    assert len(names) == len(set(names))


def test_nothing_may_be_loaded(report: Path) -> None:
    page = Page(report)
    policy = next(m["content"] for m in page.all("meta") if "http-equiv" in m)
    assert policy == (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; "
        "form-action 'none'"
    )


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium or google-chrome on this machine")
def test_a_browser_finds_nothing_to_object_to(report: Path, tmp_path: Path) -> None:
    assert CHROMIUM is not None
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr"]
    command += [f"--user-data-dir={tmp_path}", "--window-size=390,844", "--dump-dom"]
    shown = subprocess.run(
        [*command, report.as_uri()], capture_output=True, text=True, timeout=120, check=True
    )
    assert "Cite this" in shown.stdout
    assert "CONSOLE" not in shown.stderr
    # The same command does hear a page that breaks its policy.
    bad = tmp_path / "bad.html"
    page = report.read_text(encoding="utf-8")
    bad.write_text(page.replace("<main", "<script>alert(1)</script><main", 1), encoding="utf-8")
    heard = subprocess.run([*command, bad.as_uri()], capture_output=True, text=True, timeout=120)
    assert "Content Security Policy" in heard.stderr
