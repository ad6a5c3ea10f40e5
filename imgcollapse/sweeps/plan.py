"""Reads a sweep file, one study and the arms in which it differs; writes and reads sweep.json."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import joblib
import torch

from imgcollapse.config.loader import (
    SMOKE,
    SWEEP_KEYS,
    apply_smoke,
    override,
    read_settings,
    take_smoke,
    with_overrides,
)
from imgcollapse.config.study import Study
from imgcollapse.core.errors import UserError
from imgcollapse.core.sanitize import did_you_mean, invalid_folder_reason, with_home
from imgcollapse.io import atomic, checksums
from imgcollapse.io.lock import LOCK
from imgcollapse.runs.run_dir import Run

FORMAT, RECORD = 2, "sweep.json"
KEYS = (*SWEEP_KEYS, "set", SMOKE)
MAX_ARMS = 10_000
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._,=+-]*")
"""Names of arms, which are names of folders."""


@dataclass(frozen=True)
class Arm:
    """One study of a sweep: the name of its run folder, its title on the page, its settings."""

    name: str
    title: str
    study: Study


@dataclass(frozen=True)
class Plan:
    """The arms of a sweep; the first is the baseline of comparisons."""

    arms: tuple[Arm, ...]

    def jobs(self) -> int:
        """Number of tasks that fill this machine: cores by threads, or 1 where there is a GPU."""
        if any(arm.study.device != "cpu" for arm in self.arms) and torch.cuda.is_available():
            return 1
        threads = max(arm.study.threads or 1 for arm in self.arms)
        return max(1, joblib.cpu_count() // threads)

    def check(self, folder: Path) -> None:
        """Raises a `UserError` if a folder holds anything but this sweep; writes nothing."""
        atomic.restore(folder / RECORD)
        with atomic.wrap_os_errors(folder):
            names = sorted(p.name for p in folder.iterdir()) if folder.exists() else []
        foreign = [name for name in names if name != LOCK and ".tmp" not in name]
        if foreign and RECORD not in names:
            raise UserError(
                f"{folder}: not empty and not a sweep's folder (it holds {foreign[0]}); choose "
                "another --out"
            )
        atomic.check_writable(folder)
        for arm in self.arms:
            Run.find(folder / arm.name, arm.study.resolved())

    def write(self, folder: Path) -> None:
        """Write sweep.json."""
        arms = [vars(arm) | {"study": arm.study.resolved()} for arm in self.arms]
        checksums.write_json(folder / RECORD, {"format": FORMAT, "arms": arms})


def is_sweep(folder: Path) -> bool:
    """Whether a folder is a sweep's."""
    return (folder / RECORD).is_file()


def open_sweep(folder: Path) -> dict[str, str]:
    """Names and titles of a sweep's arms, in order; `UserError` if sweep.json cannot be read."""
    record = checksums.read_json(folder / RECORD, "run the sweep's command again", FORMAT)
    return {arm["name"]: arm["title"] for arm in record["arms"]}


def load_plan(path: Path | str, overrides: Sequence[str] = (), smoke: bool = False) -> Plan:
    """Read a sweep file; docs/sweeps.md describes it.

    The order of precedence rises: the study's file, `set`, `smoke`, the arm, the grid, `overrides`.
    A study that sets no `threads` gets one: bits depend on them, and must not depend on how many
    tasks run at a time.

    Raises:
        UserError: file, arm, key and fix in one line.
    """
    path = with_home(path)
    raw = read_settings(path, "configs/remedies/verifier.yaml")
    for key in raw:
        if key not in KEYS:
            raise UserError(f"{path}: {key}: unknown key; {did_you_mean(str(key), KEYS)}")
    smaller = take_smoke(raw, str(path))
    if smoke and not smaller:
        raise UserError(f"{path}: has no {SMOKE}: section; add one, or leave out --smoke")
    settings = _study(raw.get("study"), path)
    for key, tree in (("set", _mapping(raw, "set", path)), (SMOKE, smaller if smoke else {})):
        override(settings, tree, f"{path}: {key}")
    arms = [
        _arm(name, title, changes, settings, overrides, path)
        for name, title, changes in _expand_arms(raw, path)
    ]
    names = [arm.name for arm in arms]
    if duplicates := [name for name in names if names.count(name) > 1]:
        raise UserError(f"{path}: two arms are called {duplicates[0]!r}; give them different names")
    return Plan(tuple(arms))


def _study(given: Any, path: Path) -> dict[str, Any]:
    """The settings that all arms share."""
    if not isinstance(given, str | dict):
        raise UserError(
            f"{path}: study: is missing; give the path of a study's YAML file, or its settings"
        )
    settings = dict(given) if isinstance(given, dict) else read_settings(path.parent / given)
    if isinstance(given, str):
        take_smoke(settings, str(path.parent / given))
    apply_smoke(settings)
    return settings


def _expand_arms(
    raw: dict[str, Any], path: Path
) -> Iterator[tuple[str, str, list[Mapping[str, Any]]]]:
    """Name, title and settings of each arm: every arm at every point of the grid."""
    arms, grid = _mapping(raw, "arms", path), _mapping(raw, "grid", path)
    if not arms and not grid:
        raise UserError(f"{path}: has no arms; add arms: or grid: (docs/sweeps.md has an example)")
    for key, values in grid.items():
        if not isinstance(values, list) or not values:
            raise UserError(f"{path}: grid.{key}: {values!r} is not a list of values; write [a, b]")
    if (number := max(1, len(arms)) * prod(map(len, grid.values()))) > MAX_ARMS:
        raise UserError(f"{path}: {number:,} arms, more than {MAX_ARMS:,}; ask for fewer")
    for arm, changes in (arms or {"": {}}).items():
        if not isinstance(changes, dict | None):
            raise UserError(_no_mapping(path, f"arms.{arm}", changes))
        changes = dict(changes or {})
        title = str(changes.pop("title", arm))
        for point in itertools.product(*grid.values()):
            values = dict(zip(grid, point, strict=True))
            words = [f"{str(key).split('.')[-1]}={_word(value)}" for key, value in values.items()]
            name = ",".join([str(arm)] * bool(arm) + words)
            yield name, ", ".join([title] * bool(title) + words), [changes, values]


def _word(value: Any) -> str:
    if isinstance(value, dict):
        return str(value.get("kind", "-".join(map(str, value.values()))))
    return str(value)


def _arm(
    name: str,
    title: str,
    changes: list[Mapping[str, Any]],
    settings: dict[str, Any],
    overrides: Sequence[str],
    path: Path,
) -> Arm:
    where = f"{path}: arms.{name}"
    if not NAME.fullmatch(name):
        raise UserError(f"{where}: not a folder name; use letters, digits and .-_ only")
    if why := invalid_folder_reason(name):
        raise UserError(f"{where}: as a folder name it {why}; choose another")
    settings = deepcopy(settings)
    for tree in changes:
        override(settings, tree, where)
    study = with_overrides(settings, overrides, where)
    return Arm(name, title, study if study.threads else study.model_copy(update={"threads": 1}))


def _mapping(raw: dict[str, Any], key: str, path: Path) -> dict[str, Any]:
    tree = raw.get(key) or {}
    if not isinstance(tree, dict):
        raise UserError(_no_mapping(path, key, tree))
    return tree


def _no_mapping(path: Path, key: str, value: Any) -> str:
    return f"{path}: {key}: {value!r} is no mapping; write key: value below it"
