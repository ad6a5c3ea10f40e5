"""Section "What was run": settings, software, and how to cite and repeat it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from hashlib import sha256
from io import StringIO
from typing import Any

from ruamel.yaml import YAML

from imgcollapse.report import section
from imgcollapse.report.charts import Download, file_name, text_uri
from imgcollapse.report.data import PageData, ReportedRun
from imgcollapse.report.formatting import listed
from imgcollapse.report.section import Block, Details, Facts, Text

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


class Citation(section.Section):
    """The runs' settings, with a box to cite them and files to run them again."""

    name, runs = "cite", "any"
    heading = "What was run"

    def blocks(self, data: PageData) -> Sequence[Block]:
        """Facts and software, and the box "Cite this"."""
        run, record = data.run, data.run.run.record
        entries, stem = bibtex(record), file_name(data.name)
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
        prints = [(x.title, fingerprint(x.run.record)) for x in data.runs]
        box = [
            Text(sentence, style=""),
            Text(
                f"{'A' if data.several else 'The'} fingerprint stands for the settings, the real "
                "images and the versions of the software: two runs that share it have the same "
                "samples, bit for bit, on the same kind of processor."
            ),
            *([Facts(prints, [x.css for x in data.runs])] if data.several else []),
            section.Files(files, "to cite and run again"),
            Details("BibTeX", [section.Code("BibTeX entries", entries)], opened=True),
            Details(summary, [section.Code("All settings", settings)]),
        ]
        made = record["made_with"] | changes_of(run) | {"began": record["started"]}
        hashed = f"sha256 of the real images and their split: {record['data']['sha256']}"
        made_with = Details(
            f"{run.title} was made with" if data.several else "Made with",
            [Facts([(name, str(value)) for name, value in made.items()]), Text(hashed)],
        )
        first = [] if data.several else [Facts(_facts(run))]
        return [*first, made_with, section.Group("Cite this", box, framed=True)]


def _facts(run: ReportedRun) -> list[tuple[str, str]]:
    study, census = run.study, run.census
    channels, height, width = run.run.record["shape"]
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

    An arm is a folder, a title and settings with defaults filled in.
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
            found[key] = changes(mine, theirs) if mine.get("kind") == theirs.get("kind") else theirs
    return found


def _settings(run: ReportedRun) -> tuple[str, str, dict[str, Any]]:
    """Folder, title and study, with the number of threads that it was run with: where a study
    leaves it open a sweep would take one.
    """
    threads = run.study.get("threads") or run.run.record["made_with"].get("threads")
    settled = {"threads": threads} if threads else {}
    return run.run.path.resolve().name, run.title, run.study | settled


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
    ours, torch = (
        listed(sorted({one[what] for one in made if what in one}))
        for what in ("imgcollapse", "torch")
    )
    seeds = listed(sorted({str(run.study["seed"]) for run in data.runs}))
    begun = min(run.run.record["started"] for run in data.runs)[:10]
    several = "seeds" if " and " in seeds else "seed"
    return (
        f"Comparison “{data.name}” of {len(data.runs)} runs, {several} {seeds}, "
        f"{f'imgcollapse {ours}'.strip()}, torch {torch}, begun {begun}."
    )
