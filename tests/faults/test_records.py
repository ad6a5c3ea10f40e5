"""Files of a run folder that have the right hash, for who wrote them wrote the hash: nonsense."""

import os
from pathlib import Path

import pytest
import torch

from imgcollapse.curation import Picks
from imgcollapse.io import atomic, checksums, schemas
from imgcollapse.runs.run_dir import FORMAT, Run

from .fuzz.targets import SUBJECT
from .refusals import refusal


@pytest.mark.parametrize(
    "text",
    ["", "[]", "null", "[" * 5000, '{"a":' * 5000, "{" + '"n": ' + "9" * 5000 + "}", "\ud800x"],
    ids=["empty", "list", "null", "deep", "deeper", "digits", "half"],
)
def test_json_that_is_no_record(tmp_path, text):
    path = tmp_path / "run.json"
    path.write_bytes(text.encode(errors="surrogatepass"))
    assert str(path) in refusal(atomic.read_json, path, "restore it")
    refusal(Run.open, tmp_path)


@pytest.mark.parametrize("class_name", ["\x1b[2J", "\u202egnp", "", "x" * 300])
def test_a_record_with_names_that_lie(tmp_path, class_name):
    record = {
        "format": FORMAT,
        "study": {"lineages": 1, "generations": 1, "seed": 0},
        "classes": ["cat", class_name],
        "shares": [0.5, 0.5],
        "shape": [1, 8, 8],
        "data": {"sha256": "0" * 64, "remarks": []},
        "oracle": {"accuracy": 0.5, "held_out": 1},
        "made_with": {},
        "started": "2026",
        "files": {},
    }
    checksums.write_json(tmp_path / "run.json", record)
    assert "its class" in refusal(Run.open, tmp_path)
    record["classes"][1] = "dog"
    checksums.write_json(tmp_path / "run.json", record)
    assert Run.open(tmp_path).record == record
    assert "study.data" in refusal(lambda: Run.open(tmp_path).study)


@pytest.mark.parametrize(
    "count", [[schemas.MAX_TRAINING_IMAGES + 1], [2**31 - 1] * 3, [0], [-1, 2]]
)
def test_a_few_bytes_do_not_stand_for_more_images_than_there_is_memory_for(count):
    runs = {
        "generation": torch.zeros(len(count), dtype=torch.int16),
        "start": torch.zeros(len(count), dtype=torch.int32),
        "count": torch.tensor(count, dtype=torch.int32),
    }
    path = Path("training_set.safetensors")
    assert "its runs" in refusal(schemas.validate_tensors, path, runs, "restore it")


def test_picks_that_lead_out_of_the_run_or_never_come(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "picks").symlink_to(tmp_path / "elsewhere")
    said = refusal(Picks.empty(SUBJECT).write, folder)
    assert "a link out of the run folder" in said
    assert list((tmp_path / "elsewhere").iterdir()) == []
    os.mkfifo(tmp_path / "elsewhere/gen_001.json")
    assert "is a pipe" in refusal(Picks.load, folder, SUBJECT)
