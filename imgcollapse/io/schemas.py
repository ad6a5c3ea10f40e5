"""What a run folder's files must hold at the least before anything is made of them.

A file may have the hash that it was written with and yet come from a stranger, who wrote the hash
as well. What is checked here is that names, types and sizes make sense, not that they are true.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PureWindowsPath
from typing import Annotated, Any

import torch
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor

from imgcollapse.core.errors import UserError
from imgcollapse.core.sanitize import invalid_name_reason, one_line

Count = Annotated[int, Field(ge=0, lt=2**53)]
Side = Annotated[int, Field(ge=1, le=4096)]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Share = Annotated[float, Field(ge=0, le=1)]
FileName = Annotated[str, Field(pattern=r"^[a-z_]+\.[a-z]+$")]
MAX_TRAINING_IMAGES = 2**27
"""Images of a training set: 1.6 GB while its runs are written out."""
Value = bool | int | float | str | None


def _inside(name: str) -> str:
    """A file in a folder, by its path from there."""
    path = PureWindowsPath(name)  # which knows what leads elsewhere on any system
    if path.anchor or ".." in path.parts or not name.isprintable():
        raise ValueError("names a file elsewhere")
    return name


class _Known(BaseModel):
    """Keys that are looked at; there may be others."""

    model_config = ConfigDict(strict=True, extra="allow", allow_inf_nan=True)


class _Study(_Known):
    lineages: Annotated[int, Field(ge=1, le=999)]
    generations: Annotated[int, Field(ge=1, le=999)]
    seed: Count


class _Data(_Known):
    sha256: Sha256
    remarks: list[str] = []


class _Oracle(_Known):
    accuracy: Share
    held_out: Count


class _Drift(_Known):
    when: str
    before: Annotated[dict[str, Any], Field(alias="from")]
    after: Annotated[dict[str, Any], Field(alias="to")]


class _Run(_Known):
    study: _Study
    classes: Annotated[list[str], Field(min_length=1, max_length=32_767)]
    shares: list[Share]
    shape: Annotated[list[Side], Field(min_length=3, max_length=3)]
    data: _Data
    oracle: _Oracle
    made_with: dict[str, Any]
    started: str
    features: str = ""
    files: dict[FileName, Sha256]
    coming: dict[FileName, Sha256] = {}
    drifts: list[_Drift] = []


class _Census(_Known):
    generation: Count
    name: Annotated[str, Field(alias="class")]
    n: Count
    asked: Count | None
    counted: Count
    adjusted: float | None
    frequency: float | None
    low: float | None
    high: float | None
    detection_limit: float | None
    noise: float | None
    expected: float | None
    drift_low: float | None
    drift_high: float | None


class _Metric(_Known):
    generation: Count
    name: Annotated[str, Field(alias="class")]
    metric: str
    value: float | None
    low: float | None
    high: float | None
    n: Count
    reference_n: Count | None
    features: str | None
    note: str | None


class _Kept(_Known):
    generation: Count
    name: Annotated[str, Field(alias="class")]
    n: Count
    kept: Count
    expected: float
    low: Count
    high: Count
    relabelled: Count


class _Manifest(_Known):
    generation: Count
    files: dict[FileName, Sha256]
    census: Annotated[list[_Census], Field(min_length=1)]
    metrics: list[_Metric]
    curation: list[_Kept] = []
    seconds: dict[str, float] = {}
    training: dict[str, Any] = {}
    remarks: list[str] = []
    made_with: dict[str, Any]
    pruned: list[FileName] = []
    evidence: dict[Annotated[str, AfterValidator(_inside)], Sha256] = {}


class _Diverged(_Known):
    generation: Count
    why: str


def validate_run_record(path: Path, record: Mapping[str, Any], mend: str) -> None:
    """See that run.json makes sense.

    Args:
        path: what to call it.
        record: what it holds.
        mend: what to do about it.

    Raises:
        UserError: it does not.
    """
    run = _checked(_Run, path, record, mend)
    if len(run.shares) != len(run.classes) or len(set(run.classes)) != len(run.classes):
        raise _nonsense(path, "its classes and shares do not go together", mend)
    for name in run.classes:
        if why := invalid_name_reason(name):
            raise _nonsense(path, f"its class {name[:40]!r} {why}", mend)


def validate_manifest(path: Path, manifest: Mapping[str, Any], mend: str) -> None:
    """See that a generation's manifest makes sense; as `check_run`."""
    checked = _checked(_Manifest, path, manifest, mend)
    for name in ("census", "metrics", "curation"):
        for row in getattr(checked, name):
            # What was kept is told beside the model that was trained on it.
            off = checked.generation - row.generation
            if off if name != "curation" else off < 1:
                raise _nonsense(path, f"its {name} is of generation {row.generation}", mend)
            extra = row.model_extra or {}
            if any(not isinstance(value, Value) for value in extra.values()):
                raise _nonsense(path, f"its {name} holds more than words and numbers", mend)


def validate_diverged(path: Path, record: Mapping[str, Any], mend: str) -> None:
    """See that the end of a lineage makes sense; as `check_run`."""
    _checked(_Diverged, path, record, mend)


_TENSORS: Mapping[str, Mapping[str, tuple[torch.dtype, int]]] = {
    "samples.safetensors": {
        "pixels": (torch.uint8, 4),
        "labels": (torch.int16, 1),
        "counted": (torch.int16, 1),
    },
    "training_set.safetensors": {
        "generation": (torch.int16, 1),
        "start": (torch.int32, 1),
        "count": (torch.int32, 1),
    },
    "kept.safetensors": {"rows": (torch.int32, 1), "labels": (torch.int16, 1)},
}


_AT_LEAST: Mapping[str, Mapping[str, tuple[torch.dtype, int]]] = {
    "splits.safetensors": {"reserve_labels": (torch.int16, 1)},
    "real_side.safetensors": {
        "reference": (torch.float32, 2),
        "train": (torch.float32, 2),
        "nearest": (torch.float64, 1),
    },
    "chance.safetensors": {"drift_low": (torch.float64, 2), "drift_high": (torch.float64, 2)},
    "vocabulary.safetensors": {
        "patches": (torch.uint8, 4),
        "occurrences": (torch.int64, 1),
        "stride": (torch.int64, 0),
        "common": (torch.int64, 0),
    },
}


def validate_tensors(path: Path, tensors: Mapping[str, Tensor], mend: str) -> None:
    """See that the tensors of a run's file are those that it is for; as `check_run`."""
    exact, least = _TENSORS.get(path.name), _AT_LEAST.get(path.name, {})
    wanted = least if exact is None else exact
    if not wanted.keys() <= tensors.keys() or (exact and len(tensors) > len(exact)):
        raise _nonsense(path, f"it holds {', '.join(sorted(tensors)) or 'nothing'}", mend)
    for name, (dtype, dimensions) in wanted.items():
        tensor = tensors[name]
        if tensor.dtype != dtype or tensor.ndim != dimensions:
            raise _nonsense(path, f"its {name} is {tensor.dtype} {list(tensor.shape)}", mend)
    if exact and "count" in exact and not _countable(tensors["count"]):
        raise _nonsense(path, "its runs are empty, or of more images than there can be", mend)
    if exact and len({len(tensors[name]) for name in exact}) > 1:
        raise _nonsense(path, "its tensors differ in length", mend)


def _countable(count: Tensor) -> bool:
    """Whether runs of so many rows each may be written out."""
    return not len(count) or (
        int(count.min()) >= 1 and int(count.long().sum()) <= MAX_TRAINING_IMAGES
    )


def _checked(model: type[_Known], path: Path, held: Any, mend: str) -> Any:
    try:
        return model.model_validate(held)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part)[:40] for part in found["loc"])
        raise _nonsense(path, f"{where}: {found['msg']}".removeprefix(": "), mend) from None


def _nonsense(path: Path, why: str, mend: str) -> UserError:
    return UserError(f"{path}: makes no sense ({one_line(why, 200)}); {mend}")
