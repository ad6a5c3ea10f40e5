from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from imgcollapse.core.errors import UserError
from imgcollapse.io import atomic


def test_a_folder_appears_whole_or_not_at_all(tmp_path):
    with atomic.new_folder(tmp_path / "gen") as folder:
        atomic.write_json(folder / "a.json", {"x": 1})
        assert not (tmp_path / "gen").exists()
    assert (tmp_path / "gen/a.json").read_text().strip().startswith("{")

    with pytest.raises(ZeroDivisionError), atomic.new_folder(tmp_path / "broken") as folder:
        (folder / "half").write_text(str(1 / 0))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["gen"]


def test_a_file_is_replaced_whole(tmp_path):
    path = tmp_path / "x.safetensors"
    atomic.write_tensors(path, {"a": torch.arange(3)})
    atomic.write_tensors(path, {"a": torch.arange(4)})
    assert load_file(path)["a"].tolist() == [0, 1, 2, 3]
    assert path.stat().st_mode & 0o044, "others in the group may read"
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_orphans_are_swept(tmp_path):
    (tmp_path / "gen_003.tmp").mkdir()
    (tmp_path / "gen_003.tmp/half").write_text("x")
    (tmp_path / "census.csv.tmp").write_text("x")
    (tmp_path / "census.csv").write_text("x")
    atomic.remove_orphans(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["census.csv"]


def test_a_file_in_the_way_is_one_line(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="a file stands where a folder is needed"):
        atomic.check_writable(tmp_path / "file" / "run")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_one_line(tmp_path):
    # /dev/full answers every write with ENOSPC, as a full disk does.
    (tmp_path / "census.csv.tmp").symlink_to("/dev/full")
    (tmp_path / "census.csv").write_text("old")
    with pytest.raises(UserError, match="No space left on device; free some space"):
        atomic.write_bytes(tmp_path / "census.csv", b"new" * 10_000)
    assert (tmp_path / "census.csv").read_text() == "old"
