"""Weights of strangers: tensors, or nothing; none of it is run."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
import torch

from imgcollapse.io.pretrained import PretrainedWeights

from .refusals import refusal


class Trap:
    def __reduce__(self):
        return exec, ("raise SystemExit('unpickled')",)


def deflated(path: Path) -> Path:
    """The same file with its members compressed, one of them a bomb."""
    with zipfile.ZipFile(path) as archive:
        held = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in held.items():
            archive.writestr(name, data if "data/" not in name else bytes(10**7))
    return path


def saved(path: Path, value) -> Path:
    torch.save(value, path)
    return path


def cut(path: Path, length: int) -> Path:
    path.write_bytes(saved(path, {"w": torch.ones(99)}).read_bytes()[:length])
    return path


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


WEIGHTS = {
    "a trap": (lambda p: saved(p, {"w": Trap()}), "does not hold"),
    "empty": (lambda p: written(p, b""), "does not hold"),
    "a folder": (lambda p: (p.mkdir(), p)[1], "is not there"),
    "an old pickle": (lambda p: written(p, b"cos\nsystem\n(S'echo'\ntR."), "does not hold"),
    "a list": (lambda p: saved(p, [torch.ones(1)]), "something else"),
    "numbers for names": (lambda p: saved(p, {0: torch.ones(1)}), "something else"),
    "compressed": (lambda p: deflated(saved(p, {"w": torch.ones(99)})), "compressed"),
    "stretched": (lambda p: saved(p, {"w": torch.ones(1).expand(10**12)}), "larger than its data"),
    "sparse": (lambda p: saved(p, {"w": torch.eye(3).to_sparse()}), "not a plain tensor"),
    "not finite": (lambda p: saved(p, {"w": torch.tensor([1.0, torch.nan])}), "not finite"),
    "other weights": (lambda p: saved(p, {"v": torch.ones(2, 2)}), "Missing key"),
    "another shape": (lambda p: saved(p, {"weight": torch.ones(3, 3)}), "size mismatch"),
} | {f"cut at {n}": (lambda p, n=n: cut(p, n), "does not hold") for n in (1, 3, 40, 200, 500, 900)}


@pytest.mark.filterwarnings("ignore")  # torch's own words on sparse and typed storages
@pytest.mark.parametrize("name", WEIGHTS)
def test_weights_that_hold_something_else_are_refused(tmp_path, name):
    make, says = WEIGHTS[name]
    source = PretrainedWeights(
        "oracle.weights", make(tmp_path / "w.pth"), [], "https://there", "another"
    )

    def load():
        source.copy_into(torch.nn.Linear(2, 2, bias=False), source.load_state(), assign=False)

    said = refusal(load)
    assert says in said
    assert said.startswith("oracle.weights: ")


def test_weights_whose_name_bears_another_hash_are_refused(tmp_path):
    path = saved(tmp_path / "resnet18-f37072fd.pth", {"weight": torch.ones(2, 2)})
    said = refusal(
        PretrainedWeights("oracle.weights", path, [], "https://there", "another").load_state
    )
    assert "its name says f37072fd" in said
