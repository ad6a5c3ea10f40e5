"""Sections "The oracle" and "What was run": settings, software, and how to cite and repeat it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from hashlib import sha256
from io import StringIO
from typing import Any

import numpy as np
from ruamel.yaml import YAML

from imgcollapse.report.chart import Download, file_name, text_uri
from imgcollapse.report.data import PageData, ReportedRun
from imgcollapse.report.formatting import listed
from imgcollapse.report.section import (
    Block,
    Bullets,
    Code,
    Details,
    Facts,
    Files,
    Group,
    Matrix,
    Section,
    Text,
)

SHUMAILOV = """\
@article{shumailov2024collapse,
  author  = {Shumailov, Ilia and Shumaylov, Zakhar and Zhao, Yiren and Papernot, Nicolas
             and Anderson, Ross and Gal, Yarin},
  title   = {{AI} models collapse when trained on recursively generated data},
  journal = {Nature},
  volume  = {631},
  pages   = {755--759},
  year    = {2024},
  doi     = {10.1038/s41586-024-07566-y}
}
"""
"""The study whose question the program asks of images."""


class Citation(Section):
    """The runs' settings, with a box to cite them and files to run them again."""

    name, runs = "cite", "any"
    heading = "What was run"

    def blocks(self, data: PageData) -> Sequence[Block]:
        """Facts and software, and the box "Cite this"."""
        run, record = data.run, data.run.run.record
        made = [
            (name, str(value)) for name, value in (record["made_with"] | changes_of(run)).items()
        ]
        begun = ("began", record["started"])
        entries = bibtex(record)
        stem = file_name(data.name)
        if data.several:
            settings = sweep_file([_settings(run) for run in data.runs])
            sentence, label = _comparison_sentence(data), "Sweep file (YAML)"
            summary = (
                f"Settings of {run.title}, and what each arm changes: imgcollapse sweep reads this "
                "file"
            )
        else:
            settings, label = to_yaml(record["study"]), "Settings (YAML)"
            sentence = _sentence(data.name, record)
            summary = "All settings: imgcollapse run reads this file"
        files = [
            Download(label, f"{stem}.yaml", text_uri("text/yaml", settings)),
            Download("References (BibTeX)", f"{stem}.bib", text_uri("text/x-bibtex", entries)),
        ]
        which = "A fingerprint stands" if data.several else "The fingerprint stands"
        prints = Facts(
            [(x.title, fingerprint(x.run.record)) for x in data.runs], [x.css for x in data.runs]
        )
        box = [
            Text(sentence, style=""),
            Text(
                f"{which} for the settings, the real images and the versions of the software: two "
                "runs that share it have the same samples, bit for bit, on the same kind of "
                "processor."
            ),
            *([prints] if data.several else []),
            Files(files, "to cite and run again"),
            Details("BibTeX", [Code("BibTeX entries", entries)], opened=True),
            Details(summary, [Code("All settings", settings)]),
        ]
        made_with = Details(
            f"{run.title} was made with" if data.several else "Made with",
            [
                Facts([*made, begun]),
                Text(f"sha256 of the real images and their split: {record['data']['sha256']}"),
            ],
        )
        first = [] if data.several else [Facts(_facts(run))]
        return [*first, made_with, Group("Cite this", box, framed=True)]


def _facts(run: ReportedRun) -> list[tuple[str, str]]:
    record, census = run.run.record, run.census
    study = record["study"]
    channels, height, width = record["shape"]
    done = "" if census.last == study["generations"] else f", {census.last} done"
    complete = "" if len(census.lineages) == study["lineages"] else f", {len(census.lineages)} done"
    color = "gray" if channels == 1 else "color"
    return [
        ("images", f"{study['data']['kind']}, {width} × {height}, {color}"),
        ("imbalance", study["longtail"]["kind"]),
        ("generator", study["generator"]["kind"]),
        ("regime", study["regime"]["kind"]),
        ("generations", f"{study['generations']}{done}"),
        ("lineages", f"{study['lineages']}{complete}"),
        ("real training images", f"{census.training.sum():,}"),
        ("samples a generation", f"{census.n[0, census.last]:,.0f}"),
        ("seed", str(study["seed"])),
    ]


def changes_of(run: ReportedRun) -> dict[str, str]:
    """Software that the run was resumed with and had not begun with, by when it was."""
    return {
        f"since {change['when']}": ", ".join(f"{name} {to}" for name, to in change["to"].items())
        for change in run.run.environment_changes
    }


def fingerprint(record: Mapping[str, Any]) -> str:
    """12 hexadecimal digits that settings, real images and software decide; lineages of two runs
    with the same ones are the same bit for bit.
    """
    parts = [record["study"], record["data"]["sha256"], record["made_with"]]
    parts += [drift["to"] for drift in record.get("drifts", ())]
    return sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]


def bibtex(record: Mapping[str, Any]) -> str:
    """Entries of this software, in the version the run was made with, and of `SHUMAILOV`."""
    version = record["made_with"].get("imgcollapse", "")
    software = f"""\
@software{{imgcollapse,
  author  = {{{{The imgcollapse contributors}}}},
  title   = {{imgcollapse: a study of image generators that are trained on their own
             samples}},
  version = {{{version}}},
  year    = {{{record["started"][:4]}}},
  license = {{Apache-2.0}}
}}
"""
    return f"{software}\n{SHUMAILOV}"


def to_yaml(study: Mapping[str, Any]) -> str:
    """Settings as `imgcollapse run` reads them."""
    text = StringIO()
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # pyright: ignore[reportAttributeAccessIssue]
    yaml.dump(dict(study), text)
    return text.getvalue()


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
    """Changes that turn settings `one` into `other`; a component of another kind is whole."""
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


def _settings(run: ReportedRun) -> tuple[str, str, dict[str, Any]]:
    """Folder, title and study; one that left the number of threads open has that it was run with,
    where a sweep would take one.
    """
    study, made = run.run.record["study"], run.run.record["made_with"]
    threads = study.get("threads") or made.get("threads")
    settled = {"threads": threads} if threads else {}
    return run.run.path.resolve().name, run.title, study | settled


def _name(folder: str, taken: Mapping[str, Any]) -> str:
    """A folder's name as a sweep takes it, and not another arm's."""
    name = re.sub(r"[^A-Za-z0-9 ._,=+-]+", "-", folder).lstrip(" ._,=+-") or "arm"
    while name in taken:
        name += "-again"
    return name


def _sentence(name: str, record: Mapping[str, Any]) -> str:
    made, study = record["made_with"], record["study"]
    version = f"imgcollapse {made['imgcollapse']}" if "imgcollapse" in made else "imgcollapse"
    return (
        f"Run “{name}”, seed {study['seed']}, {version}, torch {made['torch']}, begun "
        f"{record['started'][:10]}, fingerprint {fingerprint(record)}."
    )


def _comparison_sentence(data: PageData) -> str:
    made = [run.run.record["made_with"] for run in data.runs]
    versions = [
        listed(sorted({one[what] for one in made if what in one}))
        for what in ("imgcollapse", "torch")
    ]
    seeds = listed(sorted({str(run.run.record["study"]["seed"]) for run in data.runs}))
    begun = min(run.run.record["started"] for run in data.runs)[:10]
    software = f"imgcollapse {versions[0]}".strip()
    several = "seeds" if " and " in seeds else "seed"
    return (
        f"Comparison “{data.name}” of {len(data.runs)} runs, {several} {seeds}, {software}, torch "
        f"{versions[1]}, begun {begun}."
    )


LARGEST_CONFUSION = 20
"""Classes that a confusion matrix is legible with."""


class Oracle(Section):
    """Held-out accuracy, and the confusion matrix or the commonest mistakes."""

    name, runs = "oracle", "one"
    heading = "The oracle"

    def blocks(self, data: PageData) -> Sequence[Block]:
        """A paragraph, and details to open."""
        record = data.run.run.record
        oracle, names = record["oracle"], record["classes"]
        said = (
            f"A classifier trained once on real images and then frozen. It names "
            f"{oracle['accuracy']:.1%} of {oracle['held_out']:,} held-out real images rightly. "
            "What lies farther from real images, in what its layers see, than nearly all held-out "
            "real images do is like no real image and counts as unrecognized, however sure the "
            f"classifier is: {oracle['recognised']:.1%} of the held-out real images are recognized."
        )
        confusion = np.asarray(oracle["confusion"], dtype=np.float64)
        rates = confusion / confusion.sum(axis=1, keepdims=True).clip(min=1)
        if len(names) <= LARGEST_CONFUSION:
            how = "Rows are true classes, columns the oracle's answers, in percent of the row."
            rows = list(zip(names, rates.tolist(), strict=True))
            matrix = Details("Confusion matrix", [Text(how), Matrix("Confusion matrix", rows)])
            return [Text(said, style=""), matrix]
        mistakes = rates * (1 - np.eye(len(names)))
        worst = [
            divmod(int(at), len(names)) for at in (-mistakes).argsort(axis=None, kind="stable")[:10]
        ]
        lines = [
            f"{rates[true, answered]:.1%} of {names[true]} are named {names[answered]}"
            for true, answered in worst
            if mistakes[true, answered] > 0
        ]
        found: list[Block] = [Text(said, style="")]
        return [*found, Details("Commonest mistakes", [Bullets("", lines)])] if lines else found
