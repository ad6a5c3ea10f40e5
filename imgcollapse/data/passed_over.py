"""What is passed over in a source of image files, and the remarks that say so."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from imgcollapse.core.sanitize import one_line

Parts = tuple[str, ...]
"""A path relative to the top folder, split at its slashes."""

MAX_LISTED = 10
"""Number of left-out files that remarks name; others are counted."""


SYSTEM_NAME = re.compile(
    r"__macosx|@eadir|@__thumb|@tmp|@recycle|@recently-snapshot|#recycle|#snapshot|lost\+found"
    r"|\$recycle\.bin|recycle[rd]|system volume information|found\.\d{3}|desktop\.ini|thumbs\.db"
    r"|network trash folder|temporary items|_?thumbnails|.*\.lr(data|cat-data)|__pycache__",
    re.IGNORECASE,
)
"""Folders of thumbnails, bins and indexes that systems, NAS and photo programs leave."""


class PassedOver(NamedTuple):
    """A path that is not read: the kind of thing it is, its name and the reason."""

    kind: str
    path: str
    reason: str


def display_path(parts: Parts | str) -> str:
    """Format a path for a message: one printable line."""
    return one_line(parts if isinstance(parts, str) else "/".join(parts), 200)


def remarks_on(passed: Sequence[PassedOver]) -> list[str]:
    """Lines on what is passed over: the first `MAX_LISTED` by name, then counts by kind."""
    by_kind: dict[str, list[PassedOver]] = {}
    for one in passed:
        by_kind.setdefault(one.kind, []).append(one)
    lines, named = [], [one for one in passed if one.kind in ("refused", "circle", "outside")]
    lines += first_of([f"{one.path}: left out, {one.reason}" for one in named], _kinds(named))
    if others := by_kind.get("not an image"):
        count = count_of(len(others), "file")
        lines.append(f"{count} ignored, not named like an image: {others[0].path}")
    if empty := by_kind.get("empty folder"):
        is_no = "are no classes" if empty[1:] else "is no class"
        lines.append(f"{count_of(len(empty), 'folder')} without images {is_no}: {empty[0].path}")
    if free := by_kind.get("unlabeled"):
        count = count_of(len(free), "image")
        lines.append(f"{count} in no class folder of a split left out: {free[0].path}")
    return lines


def first_of(lines: list[str], more: str = "") -> list[str]:
    """The first `MAX_LISTED` lines, and one that counts the others."""
    if len(lines) <= MAX_LISTED:
        return lines
    rest = f"and {len(lines) - MAX_LISTED:,} more left out" + (f" (in all {more})" if more else "")
    return [*lines[:MAX_LISTED], rest]


def _kinds(passed: Sequence[PassedOver]) -> str:
    counts = Counter(one.reason for one in passed)
    return ", ".join(f"{number:,}: {reason}" for reason, number in counts.most_common(5))


def count_of(number: int, noun: str) -> str:
    """A number and its noun."""
    return f"{number:,} {noun}{'s' * (number != 1)}"


def clutter(parts: Parts) -> tuple[Parts, str] | None:
    """The outermost hidden or system file or folder of a path, and its kind; None without one."""
    for at, name in enumerate(parts):
        if SYSTEM_NAME.fullmatch(name):
            return parts[: at + 1], "system file"
        if name.startswith("."):
            return parts[: at + 1], "hidden"
    return None
