"""What a reader needs to cite a comparison, and to run all of its arms again."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from imgcollapse.report.cite import bibtex, fingerprint, to_yaml
from imgcollapse.report.comparison.aligned_runs import Arm, Arms
from imgcollapse.report.figure import Download, file_name, text_uri
from imgcollapse.report.formatting import listed


def citation(name: str, arms: Arms) -> dict[str, Any]:
    """The box "Cite this" of a comparison."""
    settings, entries = (
        sweep_file([_settings(arm) for arm in arms.all]),
        bibtex(arms.baseline.run.record),
    )
    stem = file_name(name)
    return {
        "sentence": _sentence(name, arms.all),
        "settings": settings,
        "bibtex": entries,
        "arms": [
            {"title": arm.title, "colour": arm.css, "fingerprint": fingerprint(arm.run.record)}
            for arm in arms.all
        ],
        "files": [
            Download("Sweep file (YAML)", f"{stem}.yaml", text_uri("text/yaml", settings)),
            Download("References (BibTeX)", f"{stem}.bib", text_uri("text/x-bibtex", entries)),
        ],
    }


def sweep_file(arms: Sequence[tuple[str, str, Mapping[str, Any]]]) -> str:
    """Studies as `imgcollapse sweep` reads them: the first whole, of each other what it changes.

    Args:
        arms: folder, title and settings of each, defaults filled in.
    """
    first = arms[0][2]
    members: dict[str, Any] = {}
    for folder, title, study in arms:
        name, changed = _name(folder, members), changes(first, study)
        members[name] = changed if title == name else {"title": title, **changed}
    return to_yaml({"study": dict(first), "arms": members})


def changes(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """What to write over the settings `one` to have `other`; a part of another kind is whole."""
    found: dict[str, Any] = {}
    for key, theirs in other.items():
        mine = one.get(key)
        if key in one and mine == theirs:
            continue
        found[key] = theirs
        if isinstance(mine, Mapping) and isinstance(theirs, Mapping):
            same = mine.get("kind") == theirs.get("kind")
            found[key] = changes(mine, theirs) if same else theirs
    return found


def _settings(arm: Arm) -> tuple[str, str, dict[str, Any]]:
    """Folder, title and study; one that left the number of threads open has that it was run with,
    where a sweep would take one.
    """
    study, made = arm.run.record["study"], arm.run.record["made_with"]
    threads = study.get("threads") or made.get("threads")
    settled = {"threads": threads} if threads else {}
    return arm.run.path.resolve().name, arm.title, study | settled


def _name(folder: str, taken: Mapping[str, Any]) -> str:
    """A folder's name as a sweep takes it, and not another arm's."""
    name = re.sub(r"[^A-Za-z0-9 ._,=+-]+", "-", folder).lstrip(" ._,=+-") or "arm"
    while name in taken:
        name += "-again"
    return name


def _sentence(name: str, arms: Sequence[Arm]) -> str:
    made = [arm.run.record["made_with"] for arm in arms]
    versions = [
        listed(sorted({one[what] for one in made if what in one}))
        for what in ("imgcollapse", "torch")
    ]
    seeds = listed(sorted({str(arm.run.record["study"]["seed"]) for arm in arms}))
    begun = min(arm.run.record["started"] for arm in arms)[:10]
    software = f"imgcollapse {versions[0]}".strip()
    several = "seeds" if " and " in seeds else "seed"
    return (
        f"Comparison “{name}” of {len(arms)} runs, {several} {seeds}, {software}, torch "
        f"{versions[1]}, begun {begun}."
    )
