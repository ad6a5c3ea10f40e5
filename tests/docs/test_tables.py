"""Tables in the documentation hold everything that the package has."""

import re
from pathlib import Path
from typing import get_args

import pytest
from typer.main import get_command

from imgcollapse.census import COLUMNS as CENSUS_COLUMNS
from imgcollapse.cli.app import app
from imgcollapse.config.study import Study
from imgcollapse.core.components import ComponentUnion
from imgcollapse.metrics import MetricSettings, metric_infos

ROOT = Path(__file__).parents[2]


def _first_cells(page):
    rows = re.findall(r"^\| ([^|]+) \|", (ROOT / page).read_text(), flags=re.MULTILINE)
    return {name.strip("`*") for cell in rows for name in cell.split(", ")}


def test_every_metric_is_explained():
    assert {info.name for info in metric_infos(MetricSettings())} <= _first_cells("docs/numbers.md")


def test_every_column_of_the_census_is_explained():
    columns = {name for name in CENSUS_COLUMNS if name != "generation"}
    assert columns <= _first_cells("docs/run-folder.md")


def test_every_verb_is_in_the_readme():
    readme = (ROOT / "README.md").read_text()
    verbs = set(get_command(app).commands) - {"bench"}
    assert not [verb for verb in verbs if not re.search(rf"imgcollapse {verb}\b", readme)]


@pytest.mark.parametrize(
    ("setting", "page"),
    [
        ("data", "README.md"),
        ("generator", "README.md"),
        ("regime", "README.md"),
        ("labels", "README.md"),
        ("oracle", "README.md"),
        ("curation", "README.md"),
        ("longtail", "data/README.md"),
    ],
)
def test_every_kind_is_named(setting, page):
    text = (ROOT / page).read_text()
    assert not [kind for kind in _kinds(setting) if not re.search(rf"\b{kind}\b", text)]


def _kinds(setting):
    """Kinds of the component that a setting of a study holds."""
    waiting, found = [Study.model_fields[setting]], []
    while waiting:
        part = waiting.pop()
        metadata = getattr(part, "metadata", None) or getattr(part, "__metadata__", ())
        found += [kind for m in metadata if isinstance(m, ComponentUnion) for kind in m.components]
        waiting += get_args(getattr(part, "annotation", part))
    return found
