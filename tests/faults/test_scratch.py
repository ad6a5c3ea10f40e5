"""What is kept of unfinished work: the furthest whole checkpoint counts, whatever clocks say."""

import os
import shutil

import pytest
import torch

from imgcollapse.core.errors import UserError
from imgcollapse.io import checkpoints as room
from imgcollapse.io.checkpoints import Scratch


def kept(folder, *numbers, **more):
    scratch = Scratch(folder, every=0, **more)
    for number in numbers:
        scratch.record("number", number)
        scratch.keep("fit", number, {"at": torch.tensor(number)})
    return scratch


def test_two_are_kept_and_the_last_one_is_taken(tmp_path):
    kept(tmp_path / "work", 3, 20, 100)
    assert sorted(p.name for p in (tmp_path / "work").iterdir()) == [
        "fit_000000020.json",
        "fit_000000020.safetensors",
        "fit_000000100.json",
        "fit_000000100.safetensors",
    ]
    scratch = Scratch(tmp_path / "work")
    latest = scratch.latest("fit")
    assert (latest.number, latest.tensors["at"].item()) == (100, 100)
    assert scratch.facts == {"number": 100}
    assert scratch.latest("sample") is None
    scratch.drop()
    assert not (tmp_path / "work").exists()


def test_the_age_of_a_file_says_nothing(tmp_path):
    kept(tmp_path / "work", 1, 2)
    for path, when in zip(sorted((tmp_path / "work").iterdir()), (9e8, 4e9, 1e9, 0), strict=True):
        os.utime(path, (when, when))
    assert Scratch(tmp_path / "work").latest("fit").number == 2


@pytest.mark.parametrize("suffix", [".json", ".safetensors"])
@pytest.mark.parametrize("damage", ["flipped", "cut", "empty", "gone"])
def test_a_damaged_checkpoint_is_named_and_the_one_before_is_taken(tmp_path, suffix, damage):
    kept(tmp_path / "work", 7, 8)
    path = tmp_path / "work" / f"fit_000000008{suffix}"
    data = bytearray(path.read_bytes())
    if damage == "flipped":
        data[len(data) // 2] ^= 0x10
    path.write_bytes({"cut": data[:-5], "empty": b""}.get(damage, bytes(data)))
    if damage == "gone":
        path.unlink()
    lines = []
    scratch = Scratch(tmp_path / "work", say=lines.append)
    assert scratch.latest("fit").number == 7
    assert scratch.facts == {"number": 7}
    if not (suffix == ".json" and damage == "gone"):  # then it had not come to its end
        assert len(lines) == 1
        assert "fit_000000008" in lines[0]
    kept(tmp_path / "work", 9)
    assert Scratch(tmp_path / "work").latest("fit").number == 9


def test_all_of_them_damaged_is_a_start_afresh(tmp_path):
    kept(tmp_path / "work", 7, 8)
    for path in (tmp_path / "work").glob("*.safetensors"):
        path.write_bytes(path.read_bytes()[:-1])
    lines = []
    assert Scratch(tmp_path / "work", say=lines.append).latest("fit") is None
    assert len(lines) == 2


def test_another_training_s_work_is_dropped(tmp_path):
    kept(tmp_path / "work", 7, belongs={"seed": [0, 1]})
    lines = []
    scratch = Scratch(tmp_path / "work", belongs={"seed": [0, 2]}, say=lines.append)
    assert scratch.latest("fit") is None
    assert scratch.facts == {}
    assert not (tmp_path / "work").exists()
    assert lines == [f"{tmp_path / 'work'}: belongs to another training; dropped"]


def test_checkpoints_take_a_hundredth_of_the_time_at_most(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(room.time, "monotonic", lambda: now[0])

    def slow(path, tensors):  # a disk that takes three seconds
        now[0] += 3
        path.write_bytes(b"")

    monkeypatch.setattr(room.storage, "write_tensors", slow)
    scratch = Scratch(tmp_path / "work", every=60)
    now[0] = 59
    assert not scratch.due()
    now[0] = 60
    assert scratch.due()
    scratch.keep("fit", 1, {})
    now[0] = 63 + 299
    assert not scratch.due()
    assert scratch.due(ends=True)
    now[0] = 63 + 300
    assert scratch.due()


def test_without_a_folder_nothing_is_kept():
    scratch = Scratch(every=0)
    assert not scratch.due()
    scratch.keep("fit", 1, {"at": torch.zeros(1)})
    assert scratch.latest("fit") is None


def test_a_run_folder_that_is_lost_on_the_way_is_one_line(tmp_path):
    run = tmp_path / "disk" / "run"
    run.mkdir(parents=True)
    scratch = kept(run / "gen_001.work", 1)
    shutil.move(tmp_path / "disk", tmp_path / "away")
    with pytest.raises(UserError, match="no longer there; bring it back") as lost:
        scratch.keep("fit", 2, {"at": torch.tensor(2)})
    assert "\n" not in str(lost.value)
    assert not run.exists()  # nothing is written where the disk was mounted
    shutil.move(tmp_path / "away", tmp_path / "disk")
    assert Scratch(run / "gen_001.work").latest("fit").number == 1
