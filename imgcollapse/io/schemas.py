"""Schemas of a run folder's files: the keys, types and sizes that the program relies on.

A file may have the right checksum and yet come from a stranger, who wrote the checksum as well. So
every file is validated before it is used; whether its values are true is not checked here.
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
"""Images of a training set at most: their rows take 1.6 GB of memory."""
Value = bool | int | float | str | None


def _inside(name: str) -> str:
    path = PureWindowsPath(name)  # it recognizes what leads elsewhere on any system
    if path.anchor or ".." in path.parts or not name.isprintable():
        raise ValueError("names a file elsewhere")
    return name


class _Record(BaseModel):
    """A JSON object with keys that the program reads; there may be others."""

    model_config = ConfigDict(strict=True, extra="allow", allow_inf_nan=True)


class _StudyKeys(_Record):
    lineages: Annotated[int, Field(ge=1, le=999)]
    generations: Annotated[int, Field(ge=1, le=999)]
    seed: Count


class _DataKeys(_Record):
    sha256: Sha256
    remarks: list[str] = []


class _OracleKeys(_Record):
    accuracy: Share
    held_out: Count


class _EnvironmentChange(_Record):
    when: str
    before: Annotated[dict[str, Any], Field(alias="from")]
    after: Annotated[dict[str, Any], Field(alias="to")]


class _RunRecord(_Record):
    study: _StudyKeys
    classes: Annotated[list[str], Field(min_length=1, max_length=32_767)]
    shares: list[Share]
    shape: Annotated[list[Side], Field(min_length=3, max_length=3)]
    data: _DataKeys
    oracle: _OracleKeys
    made_with: dict[str, Any]
    started: str
    features: str = ""
    files: dict[FileName, Sha256]
    coming: dict[FileName, Sha256] = {}
    drifts: list[_EnvironmentChange] = []


class _Row(_Record):
    generation: Count
    name: Annotated[str, Field(alias="class")]
    n: Count


class _CensusRow(_Row):
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


class _MetricRow(_Row):
    metric: str
    value: float | None
    low: float | None
    high: float | None
    reference_n: Count | None
    features: str | None
    note: str | None


class _CurationRow(_Row):
    kept: Count
    expected: float
    low: Count
    high: Count
    relabelled: Count


class _Manifest(_Record):
    generation: Count
    files: dict[FileName, Sha256]
    census: Annotated[list[_CensusRow], Field(min_length=1)]
    metrics: list[_MetricRow]
    curation: list[_CurationRow] = []
    seconds: dict[str, float] = {}
    training: dict[str, Any] = {}
    remarks: list[str] = []
    made_with: dict[str, Any]
    pruned: list[FileName] = []
    evidence: dict[Annotated[str, AfterValidator(_inside)], Sha256] = {}


class _DivergedRecord(_Record):
    generation: Count
    why: str


def validate_run_record(path: Path, record: Mapping[str, Any], fix: str) -> None:
    """Validates run.json.

    Raises:
        UserError: a key is missing, or a value is not possible; `fix` says what the user can do.
    """
    run = _validate(_RunRecord, path, record, fix)
    if len(run.shares) != len(run.classes) or len(set(run.classes)) != len(run.classes):
        raise _invalid(path, "its classes and shares do not match", fix)
    for name in run.classes:
        if why := invalid_name_reason(name):
            raise _invalid(path, f"its class {name[:40]!r} {why}", fix)


def validate_manifest(path: Path, manifest: Mapping[str, Any], fix: str) -> None:
    """Validates a generation's manifest; raises as `validate_run_record`."""
    checked = _validate(_Manifest, path, manifest, fix)
    for name in ("census", "metrics", "curation"):
        for row in getattr(checked, name):
            # Curation rows are in the manifest of the model that was trained on the selection.
            off = checked.generation - row.generation
            if off if name != "curation" else off < 1:
                raise _invalid(path, f"its {name} is of generation {row.generation}", fix)
            extra = row.model_extra or {}
            if any(not isinstance(value, Value) for value in extra.values()):
                raise _invalid(path, f"its {name} holds values other than text and numbers", fix)


def validate_diverged(path: Path, record: Mapping[str, Any], fix: str) -> None:
    """Validates the record of a diverged lineage; raises as `validate_run_record`."""
    _validate(_DivergedRecord, path, record, fix)


Tensors = Mapping[str, tuple[torch.dtype, int]]
"""The dtype and the number of dimensions of each tensor of a file."""

_EXACT_TENSORS: Mapping[str, Tensors] = {
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
_NEEDED_TENSORS: Mapping[str, Tensors] = {
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


def validate_tensors(path: Path, tensors: Mapping[str, Tensor], fix: str) -> None:
    """Validates names, dtypes and dimensions of a file's tensors; raises as the others."""
    exact, least = _EXACT_TENSORS.get(path.name), _NEEDED_TENSORS.get(path.name, {})
    wanted = least if exact is None else exact
    if not wanted.keys() <= tensors.keys() or (exact and len(tensors) > len(exact)):
        raise _invalid(path, f"it holds {', '.join(sorted(tensors)) or 'nothing'}", fix)
    for name, (dtype, dimensions) in wanted.items():
        tensor = tensors[name]
        if tensor.dtype != dtype or tensor.ndim != dimensions:
            raise _invalid(path, f"its {name} is {tensor.dtype} {list(tensor.shape)}", fix)
    if exact and "count" in exact and not _countable(tensors["count"]):
        raise _invalid(path, "its runs are empty, or have too many images", fix)
    if exact and len({len(tensors[name]) for name in exact}) > 1:
        raise _invalid(path, "its tensors differ in length", fix)


def _countable(count: Tensor) -> bool:
    return not len(count) or (
        int(count.min()) >= 1 and int(count.long().sum()) <= MAX_TRAINING_IMAGES
    )


def _validate(model: type[_Record], path: Path, held: Any, fix: str) -> Any:
    try:
        return model.model_validate(held)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part)[:40] for part in found["loc"])
        raise _invalid(path, f"{where}: {found['msg']}".removeprefix(": "), fix) from None


def _invalid(path: Path, why: str, fix: str) -> UserError:
    return UserError(f"{path}: is not valid ({one_line(why, 200)}); {fix}")
