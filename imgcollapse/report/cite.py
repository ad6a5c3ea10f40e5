"""What a reader needs to cite a run, and to run it again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256
from io import StringIO
from typing import Any

from ruamel.yaml import YAML

from imgcollapse.report.figure import Download, file_name, text_uri

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


def citation(name: str, record: Mapping[str, Any]) -> dict[str, Any]:
    """The box "Cite this" of a run.

    Args:
        name: of the run.
        record: the contents of its run.json.
    """
    settings, entries = to_yaml(record["study"]), bibtex(record)
    stem = file_name(name)
    return {
        "sentence": _sentence(name, record),
        "settings": settings,
        "bibtex": entries,
        "fingerprint": fingerprint(record),
        "files": [
            Download("Settings (YAML)", f"{stem}.yaml", text_uri("text/yaml", settings)),
            Download("References (BibTeX)", f"{stem}.bib", text_uri("text/x-bibtex", entries)),
        ],
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
  title   = {{imgcollapse: a laboratory for image generators that are trained on their own
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


def _sentence(name: str, record: Mapping[str, Any]) -> str:
    made, study = record["made_with"], record["study"]
    version = f"imgcollapse {made['imgcollapse']}" if "imgcollapse" in made else "imgcollapse"
    return (
        f"Run “{name}”, seed {study['seed']}, {version}, torch {made['torch']}, begun "
        f"{record['started'][:10]}, fingerprint {fingerprint(record)}."
    )
