"""The page: one HTML file over one run or several, without network or script."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined, Template

from imgcollapse.core.errors import UserError
from imgcollapse.core.sanitize import with_home
from imgcollapse.io import atomic, checksums
from imgcollapse.report.data import PageData, titles
from imgcollapse.report.formatting import with_tooltips
from imgcollapse.report.section import Block, Section, Text, load_section
from imgcollapse.report.sections import SECTIONS
from imgcollapse.runs.run_dir import Run
from imgcollapse.sweeps import is_sweep, open_sweep


def write_report(
    runs: Sequence[Path | str],
    out: Path | str | None = None,
    baseline: str | None = None,
    sections: Sequence[str | Section] = (),
    log: Callable[[str], None] = lambda line: None,
) -> Path:
    """Write one page over one run, or one that compares several; returns its path.

    Args:
        runs: run folders; a sweep's folder stands for all its arms.
        out: the page; none is report.html in the folder of a single run or sweep.
        baseline: of several, the one that the others are compared with; none is the first.
        sections: sections of your own, as objects or by import path (`my_package.mod:Class`);
            they stand before the citation, after those that the runs' studies name in
            `report.sections`.
        log: gets a line for each thing that the studies name and the page has to leave out.

    Raises:
        UserError: a folder is no run, holds no generation yet, a section cannot be imported, or
            the page cannot be written.
    """
    folders = [with_home(run) for run in runs]
    if out is None and len(folders) != 1:
        raise UserError("--out: a page over several runs needs a name, such as --out report.html")
    name = (folders[0] if len(folders) == 1 else with_home(out or "")).resolve()
    out = folders[0] / "report.html" if out is None else with_home(out)
    if len(folders) > 1 or is_sweep(folders[0]):
        heading = name.name if len(folders) == 1 else name.stem
        data = PageData.of_several(heading, _arms(folders), baseline)
    elif baseline is not None:
        raise UserError("--baseline: one run has nothing to be compared with; name several")
    else:
        data = PageData.of_one(folders[0])
    given = [load_section(x) if isinstance(x, str) else x for x in sections]
    named, missing = _study_sections(data)
    missing += dict.fromkeys(reason for run in data.runs for reason in run.left_out.values())
    lines = [f"Left out: {reason}." for reason in missing]
    for line in lines:
        log(line)
    page = render(data, [*SECTIONS[:-1], *named, _LeftOut(lines), *given, *SECTIONS[-1:]])
    atomic.make_folder(out.parent)
    checksums.write_page(out, page)
    return out


def render(data: PageData, sections: Sequence[Section]) -> str:
    """The page as HTML: those of the sections that apply, in order."""
    shown = [
        {"name": section.name, "title": section.title(data), "blocks": blocks}
        for section in sections
        if section.applies(data) and (blocks := section.blocks(data))
    ]
    return template("page.html.j2").render(name=data.name, kicker=_kicker(data), sections=shown)


def template(name: str, *packages: str) -> Template:
    """A template of this package or of others: values are escaped, undefined names are errors."""
    folders = [PackageLoader(package) for package in (*packages, "imgcollapse.report")]
    loader = ChoiceLoader(folders)
    options = {"undefined": StrictUndefined, "trim_blocks": True, "lstrip_blocks": True}
    environment = Environment(loader=loader, autoescape=True, **options)
    environment.filters["terms"] = with_tooltips
    return environment.get_template(name)


def _arms(folders: Sequence[Path]) -> dict[Path, str]:
    """Run folders with their titles: the arms of sweeps, and other runs by name."""
    found: dict[Path, str] = {}
    for path in folders:
        if is_sweep(path):
            found |= {path / arm: title for arm, title in open_sweep(path).items()}
        else:
            found[Run.open(path).path] = titles(folders)[path]
    return found


class _LeftOut(Section):
    """Says in a line each what the studies name and is not installed here."""

    name = "left-out"

    def __init__(self, lines: Sequence[str]) -> None:
        self._lines = lines

    def blocks(self, data: PageData) -> Sequence[Block]:
        """The lines."""
        return [Text(line, "remark") for line in self._lines]


def _study_sections(data: PageData) -> tuple[list[Section], list[str]]:
    """Sections that the studies of the runs name, each once, and why others cannot be loaded."""
    named = [run.study.get("report", {}).get("sections", ()) for run in data.runs]
    found: list[Section] = []
    missing = []
    for path in dict.fromkeys(path for paths in named for path in paths):
        try:
            found.append(load_section(path))
        except UserError as error:
            missing.append(str(error))
    return found, missing


def _kicker(data: PageData) -> str:
    """The small line above the heading."""
    if not data.several:
        return "which classes vanish, and when"
    numbers = [len(run.lineages) for run in data.runs]
    least, most = min(numbers), max(numbers)
    lineages = f"{least} to {most} lineages" if least < most else f"{most} lineages"
    lineages = f"{'one lineage' if most == 1 else lineages} an arm"
    return f"{len(data.runs)} arms side by side, {lineages}, compared in generation {data.last}"
