"""Makes untrusted text safe to show, and error messages short."""

from __future__ import annotations

import difflib
import os
import unicodedata
from collections.abc import Collection, Sequence
from pathlib import Path

LONGEST = 2000
"""Characters of a message; what is longer loses its middle."""

LISTED = 40
"""Known names that an error lists at most."""

LONGEST_NAME = 200
"""Characters of a class's name."""

LONGEST_FOLDER = 200
"""Characters of a folder's name: file systems take 255 bytes, and temporary files add some."""

_JOINERS = "\u200c\u200d"
"""The only invisible characters used in spelling, in Persian, Hindi and others."""

_WINDOWS = frozenset(("con", "prn", "aux", "nul", "conin$", "conout$")) | {
    f"{port}{n}" for port in ("com", "lpt") for n in "0123456789¹²³"
}


def with_home(path: Path | str) -> Path:
    """Returns a path with the home folder in place of a leading ~; an unknown ~x stays."""
    return Path(os.path.expanduser(path))  # noqa: PTH111 - Path's own raises where it is unknown


def one_line(text: str, longest: int = LONGEST) -> str:
    """Returns the text with control and other unprintable characters escaped, on one line.

    Printable text stays as it is; a text longer than `longest` loses its middle.
    """
    if len(text) > longest:
        text = f"{text[: longest - longest // 4 - 1]}…{text[-(longest // 4) :]}"
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def first_line(error: BaseException) -> str:
    """Returns the first line of an error's message; without a message, the error's class."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def did_you_mean(given: str, known: Collection[str]) -> str:
    """Returns "did you mean X?" with the most similar known name; without one, the known names."""
    by_lower = {name.lower(): name for name in known}
    if near := difflib.get_close_matches(given.lower(), by_lower, n=1, cutoff=0.5):
        return f"did you mean {by_lower[near[0]]}?"
    more = ", ..." if len(known) > LISTED else ""
    return f"it may be one of {', '.join(list(known)[:LISTED])}{more}"


def invalid_name_reason(name: str) -> str | None:
    """Returns why a class cannot have this name; None if it can."""
    if not name.strip():
        return "is empty"
    if len(name) > LONGEST_NAME:
        return f"has {len(name)} characters, more than {LONGEST_NAME}"
    for character in name:
        if looks_spoofed(character):
            return f"holds U+{ord(character):04X}, which does not show or turns text around"
    return None


def invalid_folder_reason(name: str) -> str | None:
    """Returns why a folder cannot have this name on every system; None if it can."""
    if name in ("", ".", ".."):
        return "is not a name"
    if len(name) > LONGEST_FOLDER:
        return f"has {len(name)} characters, more than {LONGEST_FOLDER}"
    if any(looks_spoofed(c) or c in '/\\:*?"<>|' for c in name):
        return "has a character that not every system allows in a folder's name"
    if name[-1] in " .":
        return "ends in a space or a dot, which Windows cuts off"
    if name.split(".")[0].rstrip().lower() in _WINDOWS:
        return "is a device on Windows"
    return None


def looks_spoofed(character: str) -> bool:
    """Whether it is a control character, is invisible, or changes the direction of text."""
    kind = unicodedata.category(character)
    return kind in ("Cc", "Cs", "Zl", "Zp") or (kind == "Cf" and character not in _JOINERS)


def confusable(names: Sequence[str]) -> list[str]:
    """Returns a sentence for each class name that looks like another or mixes alphabets."""
    said: list[str] = []
    seen: dict[str, str] = {}
    for name in names:
        spelt = "".join(c for c in unicodedata.normalize("NFKC", name) if c not in _JOINERS)
        shown = " ".join(spelt.split())
        if shown in seen:
            said.append(f"classes {seen[shown]!a} and {name!a} look the same")
        seen.setdefault(shown, name)
        scripts = {unicodedata.name(c, "").partition(" ")[0] for c in name if c.isalpha()}
        if len(mixed := sorted(scripts & _MIXED)) > 1:
            said.append(f"class {name!a} mixes letters of {' and '.join(mixed).lower()}")
    return said


_MIXED = {"LATIN", "CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE"}
"""Scripts with letters that look like one another's."""
