"""Reading a study from YAML, and saying in one line what is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticCustomError

from imgcollapse.config import yaml
from imgcollapse.config.study import Study
from imgcollapse.core.components import IMPORTED, Component, choices_of, import_class
from imgcollapse.core.errors import UserError
from imgcollapse.core.sanitize import did_you_mean, with_home

SMOKE = "smoke"
"""The key of a config that holds overrides for a run of about a minute."""

SWEEP_KEYS = ("study", "arms", "grid")
"""Keys that only a sweep file has."""

_STEP = re.compile(rf"(?:{yaml.QUOTED})(?=\.|$)|[^.]+")

_LONG = 100
"""Characters of a key or value that an error shows."""


def load_study(path: Path | str, overrides: Sequence[str] = (), smoke: bool = False) -> Study:
    """Read a study from a YAML 1.2 file, with its own `smoke:` section if asked for.

    Overrides are `key.subkey=value` each, the value in YAML. Setting `part.kind` to another kind
    drops what the file says about that part.

    Raises:
        UserError: file, key, value and fix in one line.
    """
    if isinstance(overrides, str):
        raise UserError(f"overrides: {overrides!r} is one string; write [{overrides!r}]")
    raw = read_settings(path)
    if several := [key for key in SWEEP_KEYS if key in raw]:
        raise UserError(
            f"{path}: {several[0]}: makes it a sweep of many studies; run it with imgcollapse sweep"
        )
    smaller = take_smoke(raw, str(path))
    apply_smoke(raw)
    if smoke:
        if not smaller:
            raise UserError(f"{path}: has no {SMOKE}: section; add one, or leave out --smoke")
        override(raw, smaller, f"{path}: {SMOKE}")
    return with_overrides(raw, overrides, str(path))


def read_settings(path: Path | str, example: str = "configs/demo.yaml") -> dict[str, Any]:
    """The settings in a YAML 1.2 file; a `data.path` may be relative to it.

    Raises UserError if it is no mapping in YAML.
    """
    raw = yaml.read(with_home(path), f"name a YAML file, such as {example}")
    if not isinstance(raw, dict):
        raise UserError(f"{path}: holds no settings; see {example} for an example")
    for study in (raw, raw.get("study")):  # of a sweep
        data = study.get("data") if isinstance(study, dict) else None
        images = data.get("path") if isinstance(data, dict) else None
        if data and isinstance(images, str) and not _exists(with_home(images)):
            beside = with_home(path).parent / images
            data["path"] = str(beside) if _exists(beside) else images
    return raw


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def take_smoke(raw: dict[str, Any], where: str) -> dict[str, Any]:
    """Take the `smoke:` section out of settings; empty where they have none."""
    smaller = raw.pop(SMOKE, {})
    if not isinstance(smaller, dict):
        raise UserError(f"{where}: {SMOKE}: {smaller!r} holds no settings; give it some, or none")
    return smaller


def apply_smoke(raw: dict[str, Any]) -> None:
    """Name the kind of each part that is left out, so that one setting of it can be replaced."""
    for name, field in Study.model_fields.items():
        if isinstance(field.default, Component):
            raw.setdefault(name, {"kind": field.default.kind})


def override(raw: dict[str, Any], tree: Mapping[str, Any], where: str) -> None:
    """Write nested or dotted settings into others; another kind of a part starts it afresh."""
    for key, value in sorted(_flat(tree), key=lambda setting: setting[0][-1] != "kind"):
        _put(raw, key, value, where)


def with_overrides(raw: dict[str, Any], overrides: Sequence[str], where: str) -> Study:
    """A study of plain settings, into which `overrides` are written; `where` is their name.

    Raises:
        UserError: key, value and fix in one line.
    """
    for override in sorted(overrides, key=lambda text: not text.split("=")[0].endswith("kind")):
        key, value = yaml.setting(override)
        _put(raw, split_key(key), value, override)
    try:
        return Study.model_validate(raw)
    except ValidationError as error:
        raise UserError(f"{where}: {_explain(error, raw)}") from None


def _flat(tree: Mapping[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[list[str], Any]]:
    for key, value in tree.items():
        keys = split_key(key, above) if isinstance(key, str) else [*above, key]
        if isinstance(value, Mapping):
            yield from _flat(value, tuple(keys))
        else:
            yield keys, value


def split_key(key: str, above: Sequence[str] = ()) -> list[str]:
    """Split a dotted key: not within quotes, nor below a mapping by class name."""
    keys, models = list(above), [Study]
    for name in keys:
        if any(_is_mapping(model, name) for model in models):
            return [*keys, _unquoted(key)]
        models = [choice for model in models for choice in choices_of(model, name)]
    first = _STEP.match(key)
    if not first:
        return [*keys, key]
    name, rest = _unquoted(first[0]), key[first.end() + 1 :]
    return split_key(rest, (*keys, name)) if first.end() < len(key) else [*keys, name]


def _is_mapping(model: type[BaseModel], name: str) -> bool:
    field = model.model_fields.get(name)
    return field is not None and get_origin(field.annotation) is dict


def _unquoted(key: str) -> str:
    return key[1:-1] if len(key) > 1 and key[0] == key[-1] and key[0] in "\"'" else key


def _put(tree: dict[str, Any], keys: list[str], value: Any, where: str) -> None:
    for depth, key in enumerate(keys[:-1]):
        below = tree.setdefault(key, {})
        if isinstance(below, str):  # `regime: replace` is short for `regime: {kind: replace}`
            below = tree[key] = {"kind": below}
        if not isinstance(below, dict):
            name = ".".join(keys[: depth + 1])
            raise UserError(f"{where}: {name} is a value and has no {keys[-1]}; set {name} itself")
        tree = below
    if keys[-1] == "kind" and tree.get("kind") != value:
        tree.clear()
    tree[keys[-1]] = value


def _explain(error: ValidationError, raw: Any) -> str:
    """The first problem in one line: key, value, what is wrong, the nearest valid key."""
    problems = error.errors(include_url=False)
    first = problems[0]
    models, keys = [Study], []
    for depth, step in enumerate(first["loc"]):
        chosen = [m for m in models if _kind(m) == step]
        if chosen:
            models = chosen  # the tag of a union: it names the part, and is no key
            continue
        if step == IMPORTED:  # the tag of a part of the user's own
            models = _imported(raw)
            continue
        raw = raw.get(step) if isinstance(raw, Mapping) else None
        keys.append(str(step))
        if depth < len(first["loc"]) - 1:
            models = [m for model in models for m in choices_of(model, str(step))]
    where = ".".join(key if len(key) <= _LONG else f"{key[:_LONG]}…" for key in keys)
    known = sorted({name for model in models for name in model.model_fields})
    if first["type"] == "extra_forbidden":
        message = f"unknown key; {did_you_mean(keys[-1][:_LONG], known)}"
    elif first["type"] == "missing":
        message = "is missing; add it"
    elif first["type"] == "kind":
        given = first["input"].get("kind") if isinstance(first["input"], dict) else first["input"]
        kinds = [_kind(m) for model in models for m in choices_of(model, keys[-1])]
        message = (
            f"has no kind; it may be one of {', '.join(kinds)}"
            if given is None
            else f"{_shown(given)} is no kind; {did_you_mean(str(given)[:_LONG], kinds)}"
        )
    else:
        said = first["msg"].removeprefix("Value error, ")
        given = first["input"]
        message = (
            said if isinstance(given, dict) else f"{_shown(given)}: {said[:1].lower()}{said[1:]}"
        )
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return f"{where}: {message}{more}" if where else f"{message}{more}"


def _imported(value: Any) -> list[type[BaseModel]]:
    """The class of a user's own component, if it can be imported."""
    try:
        return [import_class(value["kind"] if isinstance(value, Mapping) else value, BaseModel)]
    except PydanticCustomError:
        return []


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _LONG else f"{text[:_LONG]}…"


def _kind(model: type[BaseModel]) -> Any:
    return model.model_fields["kind"].default if "kind" in model.model_fields else None
