"""YAML of strangers: mappings, lists and plain values, and nothing that grows when it is read."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    CollectionStartEvent,
    NodeEvent,
    ScalarEvent,
)

from imgcollapse.core.errors import UserError
from imgcollapse.core.sanitize import first_line, looks_spoofed

QUOTED = r"""\"[^"]*\"|'[^']*'"""
_SETTING = re.compile(rf"((?:{QUOTED}|[^=])+)=(.*)", re.DOTALL)

LARGEST = 2**18
"""Bytes of a file; a study's has some hundred."""

DEEPEST, MOST = 20, 20_000
"""Levels, and values once every alias stands for what it repeats."""

GREATEST = 2**53
"""No setting is as large; past it, JSON is read differently by different programs."""


def read(path: Path, fix: str) -> Any:
    """The values in a YAML 1.2 file; raises as `parse`, and `fix` ends the message."""
    try:
        with path.open("rb") as file:  # which may have no end
            data = file.read(LARGEST + 1)
        if len(data) > LARGEST:
            raise UserError(f"{path}: has more than {LARGEST // 2**10} KiB; {fix}")
        text = data.decode("utf-8")
    except OSError as error:
        raise UserError(f"{path}: {first_line(error)}; {fix}") from None
    except ValueError:  # not UTF-8, or a NUL in the path
        raise UserError(f"{path}: not a UTF-8 text file; {fix}") from None
    return parse(text, str(path))


def setting(text: str) -> tuple[str, Any]:
    """Key and value of `key=value`, the value in YAML; raises as `parse`."""
    found = _SETTING.fullmatch(text)
    if not found or not found[2].strip():
        raise UserError(f"{text!r} is not a setting; write key=value, such as seed=1")
    return found[1], parse(found[2], text)


def parse(text: str, where: str) -> Any:
    """The values in a YAML 1.2 text; `where` names it in errors.

    Raises:
        UserError: it is no YAML, or asks for more than plain values: tags, aliases that hold
            themselves or multiply, numbers and text that no setting has.
    """
    try:
        _measure(YAML(typ="safe", pure=True).parse(text), where)
        value = YAML(typ="safe", pure=True).load(text)
    except MarkedYAMLError as error:
        line = f" line {error.problem_mark.line + 1}" if error.problem_mark else ""
        problem = error.problem or first_line(error)
        raise UserError(f"{where}:{line} is not YAML ({problem}); fix the line") from None
    except UserError:
        raise
    except Exception as error:  # its parser, given nonsense, may raise anything
        raise UserError(f"{where}: is not YAML ({first_line(error)}); fix it") from None
    return _plain(value, where)


def _measure(events: Iterable[Any], where: str) -> None:
    """See how large the values are before any is made."""
    sizes: dict[str, int] = {}
    within: list[tuple[str | None, int]] = []  # anchor of each open collection, and its size so far
    size = 0
    for event in events:
        if isinstance(event, CollectionEndEvent):
            anchor, before = within.pop()
            if anchor is not None:
                sizes[anchor] = size
            size += before
        elif isinstance(event, NodeEvent):
            line = f"{where}: line {event.start_mark.line + 1}"
            if isinstance(event, AliasEvent):
                if any(anchor == event.anchor for anchor, _ in within):
                    raise UserError(f"{line}: *{event.anchor} holds itself; write it out")
                size += sizes.get(event.anchor, 1)
            elif (tag := getattr(event, "tag", None)) is not None:
                raise UserError(f"{line}: tags such as {tag} are not read; leave it out")
            elif isinstance(event, ScalarEvent):
                size += 1
                if event.anchor is not None:
                    sizes[event.anchor] = 1
            elif isinstance(event, CollectionStartEvent):
                within.append((event.anchor, size))
                size = 1
                if len(within) > DEEPEST:
                    raise UserError(f"{line}: more than {DEEPEST} levels deep; no setting is")
            if size + sum(before for _, before in within) > MOST:
                raise UserError(f"{line}: more than {MOST:,} values; no study has as many")


def _plain(value: Any, where: str) -> Any:
    """A copy in which nothing is shared, of values that a setting may have."""
    if isinstance(value, dict):
        return {_plain(key, where): _plain(below, where) for key, below in value.items()}
    if isinstance(value, list):
        return [_plain(below, where) for below in value]
    if isinstance(value, str):
        if strange := next((c for c in value if c not in "\n\t" and looks_spoofed(c)), None):
            raise UserError(
                f"{where}: {value[:40]!r} holds U+{ord(strange):04X}, which does not show or turns "
                "text around; leave it out"
            )
    elif isinstance(value, int) and abs(value) >= GREATEST:
        raise UserError(
            f"{where}: a number of {len(str(abs(value)))} digits; no setting is so large"
        )
    return value
