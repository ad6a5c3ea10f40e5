"""Links and paths in the documentation lead to files that exist."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "data" / "README.md"],
)
LINK = re.compile(r"\]\(([^)\s]+(?:\([^)]*\)[^)\s]*)*)\)")
PACKAGE_PATH = re.compile(r"imgcollapse/[A-Za-z0-9_/]+(?:\.py|/)?")
MODULE = re.compile(r"`imgcollapse((?:\.\w+)+)`")
TEST_PATH = re.compile(r"(?:tests|benchmarks|configs)/[A-Za-z0-9_/]+(?:\.py|\.yaml)")


def _anchors(page):
    headings = re.findall(r"^#+ (.+)$", page.read_text(), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links_resolve(page):
    broken = []
    for link in LINK.findall(page.read_text()):
        path, _, anchor = link.partition("#")
        if "://" in link:
            continue
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in _anchors(target)):
            broken.append(link)
    assert not broken


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_named_files_and_modules_exist(page):
    text = page.read_text()
    named = {*PACKAGE_PATH.findall(text), *TEST_PATH.findall(text)}
    assert not [path for path in named if not (ROOT / path).exists()]
    for dotted in MODULE.findall(text):
        _exists(dotted[1:].split("."))


def _exists(names):
    """A module of the package, or a name in one."""
    path = ROOT / "imgcollapse"
    for at, name in enumerate(names):
        if (path / name).is_dir():
            path /= name
            continue
        if (path / f"{name}.py").is_file():
            path, at = path / f"{name}.py", at + 1
        else:
            path /= "__init__.py"
        rest = names[at:]
        assert len(rest) <= 2, names
        assert all(re.search(rf"\b{part}\b", path.read_text()) for part in rest), names
        return


def test_every_document_is_reached_from_the_readme():
    seen, waiting = set(), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        seen.add(page)
        for link in LINK.findall(page.read_text()):
            target = (page.parent / link.partition("#")[0]).resolve()
            if target.suffix == ".md" and target.exists() and target not in seen:
                waiting.append(target)
    assert set((ROOT / "docs").rglob("*.md")) <= seen


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 200


def test_every_config_is_named_in_the_readme():
    readme = (ROOT / "README.md").read_text()
    tracked = subprocess.run(
        ["git", "ls-files", "configs"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.split()
    assert all(f"({path})" in readme for path in tracked)
