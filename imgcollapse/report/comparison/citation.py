"""What a reader needs to cite a comparison, and to run all of its arms again."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from imgcollapse.report.cite import bibtex, fingerprint, to_yaml
from imgcollapse.report.comparison.arms import Arm, Arms
from imgcollapse.report.figure import Download, file_name, text_uri
from imgcollapse.report.words import listed


def citation(name: str, arms: Arms) -> dict[str, Any]:
    """The box "Cite this" of a comparison."""
    settings, entries = sweep_file(arms.all), bibtex(arms.baseline.run.record)
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


def sweep_file(arms: Sequence[Arm]) -> str:
    """The arms' studies as `imgcollapse sweep` reads them: the first whole, of each other what it
    changes. A study that left the number of threads open gets the one it was run with.
    """
    studies = [_study(arm) for arm in arms]
    members: dict[str, Any] = {}
    for arm, study in zip(arms, studies, strict=True):
        name, changed = _name(arm, members), changes(studies[0], study)
        members[name] = changed if arm.title == name else {"title": arm.title, **changed}
    return to_yaml({"study": studies[0], "arms": members})


def changes(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """What to write over the settings `one` to have `other`; a part of another kind is whole."""
    found: dict[str, Any] = {}
    for key, theirs in other.items():
        mine = one.get(key)
        if key in one and mine == theirs:
            continue
        both = isinstance(mine, Mapping) and isinstance(theirs, Mapping)
        same = both and mine.get("kind") == theirs.get("kind")
        found[key] = changes(mine, theirs) if same else theirs
    return found


def _study(arm: Arm) -> dict[str, Any]:
    record = arm.run.record
    threads = record["study"].get("threads") or record["made_with"].get("threads")
    return record["study"] | ({"threads": threads} if threads else {})


def _name(arm: Arm, taken: Mapping[str, Any]) -> str:
    """Its folder's, as a sweep takes it, and not another arm's."""
    folder = arm.run.path.resolve().name
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
