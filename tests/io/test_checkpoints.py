"""What is kept of unfinished work: the furthest whole checkpoint counts, whatever clocks say."""

import os
import shutil

import pytest
import torch

from imgcollapse.core.errors import UserError
from imgcollapse.io import checkpoints as room
from imgcollapse.io.checkpoints import CheckpointManager


def kept(folder, *numbers, **more):
    checkpoints = CheckpointManager(folder, interval=0, **more)
    for number in numbers:
        checkpoints.add_metadata("number", number)
        checkpoints.save("fit", number, {"at": torch.tensor(number)})
    return checkpoints


def test_two_are_kept_and_the_last_one_is_taken(tmp_path):
    kept(tmp_path / "work", 3, 20, 100)
    assert sorted(p.name for p in (tmp_path / "work").iterdir()) == [
        "fit_000000020.json",
        "fit_000000020.safetensors",
        "fit_000000100.json",
        "fit_000000100.safetensors",
    ]
    checkpoints = CheckpointManager(tmp_path / "work")
    latest = checkpoints.load_latest("fit")
    assert (latest.step, latest.tensors["at"].item()) == (100, 100)
    assert checkpoints.metadata == {"number": 100}
    assert checkpoints.load_latest("sample") is None
    checkpoints.delete()
    assert not (tmp_path / "work").exists()


def test_the_age_of_a_file_says_nothing(tmp_path):
    kept(tmp_path / "work", 1, 2)
    for path, when in zip(sorted((tmp_path / "work").iterdir()), (9e8, 4e9, 1e9, 0), strict=True):
        os.utime(path, (when, when))
    assert CheckpointManager(tmp_path / "work").load_latest("fit").step == 2


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
    checkpoints = CheckpointManager(tmp_path / "work", log=lines.append)
    assert checkpoints.load_latest("fit").step == 7
    assert checkpoints.metadata == {"number": 7}
    if not (suffix == ".json" and damage == "gone"):  # then it had not come to its end
        assert len(lines) == 1
        assert "fit_000000008" in lines[0]
    kept(tmp_path / "work", 9)
    assert CheckpointManager(tmp_path / "work").load_latest("fit").step == 9


def test_all_of_them_damaged_is_a_start_afresh(tmp_path):
    kept(tmp_path / "work", 7, 8)
    for path in (tmp_path / "work").glob("*.safetensors"):
        path.write_bytes(path.read_bytes()[:-1])
    lines = []
    assert CheckpointManager(tmp_path / "work", log=lines.append).load_latest("fit") is None
    assert len(lines) == 2


def test_another_training_s_work_is_dropped(tmp_path):
    kept(tmp_path / "work", 7, key={"seed": [0, 1]})
    lines = []
    checkpoints = CheckpointManager(tmp_path / "work", key={"seed": [0, 2]}, log=lines.append)
    assert checkpoints.load_latest("fit") is None
    assert checkpoints.metadata == {}
    assert not (tmp_path / "work").exists()
    assert lines == [f"{tmp_path / 'work'}: belongs to another training; deleted"]


def test_checkpoints_take_a_hundredth_of_the_time_at_most(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(room.time, "monotonic", lambda: now[0])

    def slow(path, tensors):  # a disk that takes three seconds
        now[0] += 3
        path.write_bytes(b"")

    monkeypatch.setattr(room.atomic, "write_tensors", slow)
    checkpoints = CheckpointManager(tmp_path / "work", interval=60)
    now[0] = 59
    assert not checkpoints.should_save()
    now[0] = 60
    assert checkpoints.should_save()
    checkpoints.save("fit", 1, {})
    now[0] = 63 + 299
    assert not checkpoints.should_save()
    assert checkpoints.should_save(ends=True)
    now[0] = 63 + 300
    assert checkpoints.should_save()


def test_without_a_folder_nothing_is_kept():
    checkpoints = CheckpointManager(interval=0)
    assert not checkpoints.should_save()
    checkpoints.save("fit", 1, {"at": torch.zeros(1)})
    assert checkpoints.load_latest("fit") is None


def test_a_run_folder_that_is_lost_on_the_way_is_one_line(tmp_path):
    run = tmp_path / "disk" / "run"
    run.mkdir(parents=True)
    checkpoints = kept(run / "gen_001.work", 1)
    shutil.move(tmp_path / "disk", tmp_path / "away")
    with pytest.raises(UserError, match="no longer there; bring it back") as lost:
        checkpoints.save("fit", 2, {"at": torch.tensor(2)})
    assert "\n" not in str(lost.value)
    assert not run.exists()  # nothing is written where the disk was mounted
    shutil.move(tmp_path / "away", tmp_path / "disk")
    assert CheckpointManager(run / "gen_001.work").load_latest("fit").step == 1
