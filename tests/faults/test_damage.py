"""Every type of file with a flipped bit, and cut short: found and named, and never used."""

import html

import pytest

import imgcollapse as ic
from imgcollapse.core.progress import NullProgress
from imgcollapse.report import write_report
from imgcollapse.tools.verify.files import check_files, check_tables

from .conftest import FILTERED

TENSORS = ("oracle", "splits", "vocabulary", "real_side", "chance")
TABLES = ("census.csv", "metrics.csv", "curation.csv")
FILES = (
    "run.json",
    *(f"{name}.safetensors" for name in TENSORS),
    "events.jsonl",
    "report.html",
    *(f"gen_000/{name}" for name in ("manifest.json", "samples.safetensors", "words.safetensors")),
    "gen_000/grid.png",
    *(f"gen_002/{name}.safetensors" for name in ("training_set", "model", "samples", "kept")),
    *(f"gen_002/{name}" for name in ("manifest.json", "words.safetensors", "grid.png")),
)
LENGTHS, PLACES = 20, 8
AGAIN = ("splits.safetensors", "real_side.safetensors", "chance.safetensors")
DERIVED = (*TABLES, *AGAIN, "report.html")
"""What the study's command, or the report's, makes again."""


def damaged(data: bytes):
    """The same with one bit flipped, at several places, and cut short at many lengths."""
    n = len(data)
    for i in range(PLACES):
        at = i * (n - 1) // (PLACES - 1)
        yield data[:at] + bytes([data[at] ^ 1 << i]) + data[at + 1 :]
    for i in range(LENGTHS):
        yield data[: i * n // LENGTHS]


def refusal(work) -> str | None:
    try:
        work()
    except ic.UserError as error:
        return str(error)
    return None


def flipped(data: bytes) -> bytes:
    at = len(data) // 2
    return data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :]


def test_all_types_of_files_are_tried(finished):
    """A file that nobody here knows of would not be tried."""
    there = {p.name for p in finished.rglob("*") if p.is_file()}
    assert there == {name.rpartition("/")[2] for name in (*FILES, *TABLES)}


@pytest.mark.parametrize("name", FILES)
def test_damage_is_found_and_named(run_folder, name):
    path = run_folder / name
    for data in damaged(path.read_bytes()):
        path.write_bytes(data)
        found = ic.verify(run_folder, quick=True) if name == "run.json" else None
        wrong = found.wrong if found else check_files(ic.Run.open(run_folder), NullProgress()).wrong
        assert [line for line in wrong if str(path) in line], f"cut to {len(data)} bytes"
        assert all("\n" not in line and "; " in line for line in wrong)


@pytest.mark.parametrize("name", TABLES)
def test_a_damaged_table_is_found_and_named(run_folder, name):
    path = run_folder / name
    for data in damaged(path.read_bytes()):
        path.write_bytes(data)
        (line,) = check_tables(ic.Run.open(run_folder)).wrong
        assert line.startswith(str(path))


@pytest.mark.parametrize("name", [*FILES, *TABLES])
def test_a_run_that_goes_on_never_uses_damage(study, run_folder, finished, name):
    path = run_folder / name
    path.write_bytes(flipped(path.read_bytes()))
    refused = refusal(lambda: ic.run(study, run_folder, FILTERED))
    if refused is not None:
        assert refused.startswith(str(path))
        assert "\n" not in refused
        assert name not in DERIVED, "it could have been made again"
        return
    for table in TABLES:
        assert (run_folder / table).read_bytes() == (finished / table).read_bytes()
    if name in (*AGAIN, *TABLES):
        assert path.read_bytes() == (finished / name).read_bytes()


@pytest.mark.faults
@pytest.mark.parametrize("name", [*FILES, *TABLES])
def test_a_report_never_shows_damage(run_folder, name):
    page, path = write_report([run_folder]), run_folder / name
    sound = page.read_bytes()
    path.write_bytes(flipped(path.read_bytes()))
    if refused := refusal(lambda: write_report([run_folder])):
        assert refused.startswith(str(path))
    elif page.read_bytes() != sound:  # it leaves out what it cannot tell, and says why
        assert f"{path}: cannot be read" in html.unescape(page.read_text())


@pytest.mark.faults
@pytest.mark.parametrize("name", FILES)
def test_a_longer_run_never_uses_damage(study, run_folder, tmp_path, name):
    """It reads what a finished run does not: the last generation's samples, and what was kept."""
    longer = [*FILTERED, "generations=3"]
    whole = ic.run(study, tmp_path / "whole", longer)
    path = run_folder / name
    path.write_bytes(flipped(path.read_bytes()))
    refused = refusal(lambda: ic.run(study, run_folder, longer))
    if refused is not None:
        assert refused.startswith(str(path))
        return
    for same in ("census.csv", "gen_003/model.safetensors"):
        assert (run_folder / same).read_bytes() == (whole.path / same).read_bytes()
