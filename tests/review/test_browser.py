"""The page in a real browser, driven by keyboard and mouse."""

import json
import os
import shutil
import time

import pytest

from imgcollapse.tools.review import ReviewSession, export

from .conftest import HOSTILE

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
VERDICTS = {" ": "keep", "r": "reject", "x": "nonsense", "3": "class"}


@pytest.fixture(scope="module")
def browser():
    there = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if there is None:
        pytest.skip("no chromium on this machine (install one, or name it in CHROMIUM)")
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=there, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def context(browser):
    """Pages whose errors, refused requests and broken policies fail the test."""
    wrong = []
    context = browser.new_context(viewport={"width": 1280, "height": 800}, accept_downloads=True)
    context.on("weberror", lambda error: wrong.append(str(error.error)))
    context.on("console", lambda line: wrong.append(line.text) if line.type == "error" else None)
    context.set_default_timeout(10_000)
    yield context
    context.close()
    assert not wrong


@pytest.fixture
def page(context):
    return context.new_page()


def show(page, where):
    page.goto(where if isinstance(where, str) else where.url)
    page.wait_for_selector(".card[aria-current=true]")
    return page


def said(path):
    """Row => verdict, or class, that stands in a picks file."""
    picks = json.loads(path.read_text())["picks"] if path.exists() else {}
    return {int(r): p.get("class", p["verdict"]) for r, p in picks.items() if p["verdict"]}


def eventually(what, wanted):
    """Saving is behind the key by a moment."""
    end = time.monotonic() + 10
    while (found := what()) != wanted and time.monotonic() < end:
        time.sleep(0.02)
    assert found == wanted


def current(page):
    return int(page.get_attribute(".card[aria-current=true]", "data-row"))


def test_fifty_images_by_keyboard_alone_and_a_reload_loses_nothing(page, serve, sitting, run):
    show(page, serve(sitting))
    assert page.locator(".card").count() == 500
    wanted = {}
    for i in range(50):
        key = (" ", "r", "x", "3")[i % 4]
        wanted[current(page)] = "3" if key == "3" else VERDICTS[key]
        page.keyboard.press(key)
    assert len(wanted) == 50
    assert list(wanted) == sitting.groups[0].rows[:50]
    eventually(lambda: said(run / "picks/gen_001.json"), wanted)
    page.reload()
    page.wait_for_selector(".card[aria-current=true]")
    assert page.locator(".card.keep, .card.reject, .card.nonsense, .card.class").count() == 50
    assert current(page) == sitting.groups[0].rows[50]
    assert "50 of 500 reviewed · 50 of 100" in page.inner_text("#count")


def test_a_reload_right_after_a_key_loses_nothing(page, serve, sitting, run):
    show(page, serve(sitting))
    rows = sitting.groups[0].rows[:3]
    with page.expect_navigation():  # in one breath: the first verdict is not yet answered
        page.evaluate(
            """() => {
              const press = () => new KeyboardEvent("keydown", { key: "r", bubbles: true });
              for (let i = 0; i < 3; i++) document.activeElement.dispatchEvent(press());
              location.reload();
            }"""
        )
    eventually(lambda: said(run / "picks/gen_001.json"), dict.fromkeys(rows, "reject"))


def test_moving_undoing_naming_and_help(page, serve, sitting, run):
    show(page, serve(sitting))
    rows = sitting.groups[0].rows
    visited = []
    for key in ("j", "ArrowRight", "k", "ArrowLeft", "ArrowLeft", "ArrowDown", "ArrowUp", "n"):
        page.keyboard.press(key)
        visited.append(rows.index(current(page)))
    across = visited[5]
    assert visited == [1, 2, 1, 0, 0, across, 0, 1]
    assert across > 1
    assert page.evaluate("document.activeElement.dataset.row") == str(rows[1])  # seen and spoken
    page.keyboard.press("Home")

    page.keyboard.press("c")
    assert page.evaluate("document.activeElement.id") == "typed"
    page.keyboard.type("7")
    page.keyboard.press("Enter")
    eventually(lambda: said(run / "picks/gen_001.json"), {rows[0]: "7"})
    page.keyboard.press("c")
    page.keyboard.press("Escape")
    page.keyboard.press("x")
    page.keyboard.press("u")
    page.keyboard.press("Control+z")
    eventually(lambda: said(run / "picks/gen_001.json"), {})
    assert current(page) == rows[0]

    page.keyboard.press("?")
    assert page.locator("#keys").is_visible()
    page.keyboard.press("r")  # no verdict while help lies over the images
    page.keyboard.press("Escape")
    assert not page.locator("#keys").is_visible()
    assert current(page) == rows[0]
    assert said(run / "picks/gen_001.json") == {}
    # Everything that can be done can be reached by Tab.
    reached = set()
    for _ in range(30):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id || document.activeElement.className"))
    assert {"filter", "help", "done", "card"} <= {x.split()[0] for x in reached if x}


def test_the_mouse_does_it_too_and_filters_show_a_class(page, serve, sitting, run):
    show(page, serve(sitting))
    name = sitting.target.classes[0]
    row = sitting.groups[0].rows[7]
    page.click(f".card[data-row='{row}']")
    page.click("[data-verdict=reject]")
    eventually(lambda: said(run / "picks/gen_001.json"), {row: "reject"})
    page.click("#classes button >> nth=0")
    page.click("#undo")
    page.select_option("#filter", label=name)
    shown = page.eval_on_selector_all(".card", "cards => cards.map(card => +card.dataset.row)")
    assert sorted(shown) == (sitting.counted == 0).nonzero().flatten().tolist()
    doubts = sitting.uncertainty[shown].round(decimals=4)
    assert (doubts.diff() <= 0).all()
    page.select_option("#filter", label="Rejected")
    assert page.locator(".card").count() == 1
    page.click("#done")
    eventually(lambda: sitting.picks.finished, True)
    page.click("#done")
    eventually(lambda: sitting.picks.finished, False)


def test_two_tabs_work_on_one_generation(context, serve, sitting, run):
    server = serve(sitting)
    one, two = show(context.new_page(), server), show(context.new_page(), server)
    rows = sitting.groups[0].rows
    one.keyboard.press("r")
    eventually(lambda: said(run / "picks/gen_001.json"), {rows[0]: "reject"})
    two.keyboard.press("j")
    two.keyboard.press("x")  # it has not heard of the first tab's verdict
    eventually(lambda: said(run / "picks/gen_001.json"), {rows[0]: "reject", rows[1]: "nonsense"})
    two.wait_for_selector(f".card.reject[data-row='{rows[0]}']")  # and now it has
    two.keyboard.press("Home")
    two.keyboard.press(" ")
    eventually(lambda: said(run / "picks/gen_001.json"), {rows[0]: "keep", rows[1]: "nonsense"})


def test_a_lost_server_is_said_and_nothing_is_lost_when_it_is_back(browser, serve, sitting, run):
    context = browser.new_context()
    page = show(context.new_page(), serve(sitting))
    context.set_offline(True)
    page.keyboard.press("r")
    page.wait_for_selector("#alert:not([hidden])")
    assert "Not saved yet" in page.inner_text("#alert")
    page.keyboard.press("x")
    context.set_offline(False)
    rows = sitting.groups[0].rows
    eventually(lambda: said(run / "picks/gen_001.json"), {rows[0]: "reject", rows[1]: "nonsense"})
    page.wait_for_selector("#alert", state="hidden")
    context.close()


def test_an_exported_page_keeps_its_work_and_brings_it_back(page, sitting, tmp_path):
    where = export(sitting, tmp_path / "page.html").as_uri()
    show(page, where)
    for key in (" ", "r", "3"):
        page.keyboard.press(key)
    page.reload()
    page.wait_for_selector(".card[aria-current=true]")
    assert "3 of 500 reviewed" in page.inner_text("#count")
    with page.expect_download() as waiting:
        page.click("#done")
    assert waiting.value.suggested_filename == "picks.json"
    waiting.value.save_as(tmp_path / "picks.json")
    rows = sitting.groups[0].rows[:3]
    wanted = dict(zip(rows, ("keep", "reject", "3"), strict=True))
    assert said(tmp_path / "picks.json") == wanted
    assert said(sitting.import_picks(tmp_path / "picks.json")) == wanted
    assert sitting.picks.finished


def test_names_are_text(page, serve, hostile_run, tmp_path):
    sitting = ReviewSession.open(hostile_run)
    alerts = []
    page.on("dialog", lambda dialog: alerts.append(dialog.message))
    for where in (serve(sitting), export(sitting, tmp_path / "<b>page.html").as_uri()):
        show(page, where)
        page.keyboard.press("c")
        assert page.locator("#matches li").all_inner_texts()[: len(HOSTILE)] == HOSTILE
        page.keyboard.type(HOSTILE[0][:6])
        page.keyboard.press("Enter")
        page.wait_for_selector(".card.class")
        assert HOSTILE[0] in page.inner_text(".card.class")
        assert page.inner_text("h1") == hostile_run.name
        assert page.locator("img").count() == page.locator("body b img").count() == 0
    assert not alerts


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1440, "light")])
def test_it_fits_a_phone_and_a_desk_in_either_light(browser, serve, hostile_run, width, scheme):
    context = browser.new_context(viewport={"width": width, "height": 844}, color_scheme=scheme)
    page = show(context.new_page(), serve(hostile_run))
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (paper == "rgb(255, 255, 255)") == (scheme == "light")
    for _ in range(40):
        page.keyboard.press("j")
    box = page.locator(".card[aria-current=true]").bounding_box()
    stage = page.locator("#stage").bounding_box()
    assert box is not None
    assert stage is not None
    covered = stage["y"] + stage["height"] if width < 820 else 0
    assert covered <= box["y"] <= 844 - box["height"]  # the one in question is in sight
    context.close()
