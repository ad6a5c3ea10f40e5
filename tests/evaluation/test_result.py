"""The folder and the text of an evaluation."""

from __future__ import annotations

import io
import json

import numpy as np
import pandas as pd
import pytest
import torch
from rich.console import Console

import imgcollapse as ic
from imgcollapse import census, cli, metrics
from imgcollapse.cli.console import print_evaluation
from imgcollapse.core.images import unlabeled

FILES = {"evaluation.json", "census.csv", "metrics.csv"}


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def npz(path, images):
    np.savez(path, images.pixels.numpy())
    return path


def test_the_folder(run, held_out, tmp_path):
    images = npz(tmp_path / "a.npz", held_out[:40])
    found = ic.evaluate(images, run, tmp_path / "deep" / "out")
    folder = tmp_path / "deep" / "out"
    first = contents(folder)
    assert set(first) == FILES
    table = pd.read_csv(folder / "census.csv", dtype={"frequency": str})
    assert tuple(table.columns) == census.COLUMNS
    assert table["frequency"].map(float).equals(found.census["frequency"])  # it keeps every bit
    assert tuple(pd.read_csv(folder / "metrics.csv").columns) == metrics.COLUMNS
    record = json.loads(first["evaluation.json"], parse_constant=pytest.fail)
    assert record["images"]["number"] == 40
    assert record["images"]["path"] == str(images)
    assert [row["counted"] for row in record["census"]] == found.census["counted"].tolist()
    assert len(record["metrics"]) == len(found.metrics)
    assert record["made_with"] == run.record["made_with"]
    assert record["study"] == run.record["study"]

    ic.evaluate(images, run, folder)
    assert contents(folder) == first
    npz(images, held_out[:30])
    ic.evaluate(images, run, folder)
    assert json.loads((folder / "evaluation.json").read_text())["images"]["number"] == 30
    assert [path.name for path in folder.parent.iterdir()] == ["out"]


def test_nothing_else_is_overwritten(run, held_out, tmp_path):
    images = npz(tmp_path / "a.npz", held_out[:3])
    out = tmp_path / "out"
    out.mkdir()  # an empty folder is nobody's
    ic.evaluate(images, run, out)
    before = contents(out)
    with pytest.raises(ic.UserError, match="is the evaluation of other images"):
        ic.evaluate(npz(tmp_path / "b.npz", held_out[:3]), run, out)
    with pytest.raises(ic.UserError, match="or by another study"):
        ic.evaluate(images, run, out, ["metrics.neighbours=3"])
    assert contents(out) == before
    (out / "notes.txt").write_text("mine")
    with pytest.raises(ic.UserError, match=r"not an evaluation \(it holds notes.txt\)"):
        ic.evaluate(images, run, out)
    (out / "notes.txt").unlink()
    (out / "evaluation.json").write_text("{")
    with pytest.raises(ic.UserError, match="cannot be read"):
        ic.evaluate(images, run, out)
    with pytest.raises(ic.UserError, match="a file stands where a folder is needed"):
        ic.evaluate(images, run, images)


def test_a_failed_write_keeps_what_was_there(run, held_out, tmp_path, monkeypatch):
    images, out = npz(tmp_path / "a.npz", held_out[:3]), tmp_path / "out"
    found = ic.evaluate(images, run, out)
    before = contents(out)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(ic.UserError, match="No space left"):
        found.write(out)
    assert contents(out) == before
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["out"]


def text(evaluation):
    console = Console(file=io.StringIO(), width=80)
    print_evaluation(evaluation, console)
    return console.file.getvalue()


def test_the_text_fits_eighty_columns(run, held_out):
    said = text(ic.evaluate(unlabeled(held_out.pixels), run))
    assert max(map(len, said.splitlines())) <= 80
    assert "…" not in said
    assert "250 images of 8x8." in said
    assert "\nfid " in said
    assert "fid_floor" not in said
    assert "fid_infinity: undefined, needs" in said
    assert "than chance allows" not in said
    assert "More are unrecognised" not in said


def test_what_can_be_said_of_classes(run, held_out):
    nothing_but_0 = held_out.pixels[held_out.labels == 0].repeat(5, 1, 1, 1)
    said = " ".join(text(ic.evaluate(unlabeled(nothing_but_0), run)).split())
    assert "not distinguishable from absent: 1, 2, 3, 4, 5, 6, 7, 8, 9." in said
    assert "Rarer than chance allows: 1, 2, 3, 4" in said
    assert "More common than chance allows: 0." in said


def test_mush_is_said_to_be_mush(run):
    white = torch.full((20, 1, 8, 8), 255, dtype=torch.uint8)
    said = text(ic.evaluate(unlabeled(white), run))
    assert "More are unrecognized than of real images" in said


def test_the_command(run, held_out, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    npz(tmp_path / "a.npz", held_out[:5])

    def call(*arguments):
        monkeypatch.setattr("sys.argv", ["imgcollapse", "evaluate", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return ended.value.code or 0, *capsys.readouterr()

    code, out, _ = call("a.npz", run.path, "metrics.per_class=false")
    assert code == 0
    assert out.splitlines()[-1] == "evaluation"
    assert set(contents(tmp_path / "evaluation")) == FILES
    code, out, err = call("b.npz", run.path, "--out", "other")
    assert (code, out) == (2, "")
    assert err.splitlines() == [
        "imgcollapse: b.npz: does not exist; name a folder, zip, npz or safetensors of images"
    ]
    assert not (tmp_path / "other").exists()
