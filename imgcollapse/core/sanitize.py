"""Words from strangers: names and messages that end up in a terminal, a table or a folder."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

LONGEST = 2000
"""Characters of a message; what is longer loses its middle."""

LONGEST_NAME = 200
"""Characters of a class's name."""

LONGEST_FOLDER = 200
"""Characters of a folder's name: file systems take 255 bytes, and files are written aside it."""

_JOINERS = "\u200c\u200d"
"""The only invisible characters that words are spelt with, in Persian, Hindi and others."""

_WINDOWS = frozenset(("con", "prn", "aux", "nul", "conin$", "conout$")) | {
    f"{port}{n}" for port in ("com", "lpt") for n in "0123456789¹²³"
}


def one_line(text: str, longest: int = LONGEST) -> str:
    """The text with all that could move a cursor, turn a line around or break it spelt out.

    What is printable stays as it is, and so does a text that was made one line before.
    """
    if len(text) > longest:
        text = f"{text[: longest - longest // 4 - 1]}…{text[-(longest // 4) :]}"
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def first_line(error: BaseException) -> str:
    """The first line of what an error says, or its kind where it says nothing."""
    return next(iter(str(error).strip().splitlines()), repr(error))


def invalid_name_reason(name: str) -> str | None:
    """Why a class cannot be called so, or None."""
    if not name.strip():
        return "is empty"
    if len(name) > LONGEST_NAME:
        return f"has {len(name)} characters, more than {LONGEST_NAME}"
    for character in name:
        if looks_spoofed(character):
            return f"holds U+{ord(character):04X}, which does not show or turns text around"
    return None


def invalid_folder_reason(name: str) -> str | None:
    """Why a folder cannot be called so on every system, or None."""
    if name in ("", ".", ".."):
        return "is no name"
    if len(name) > LONGEST_FOLDER:
        return f"has {len(name)} characters, more than {LONGEST_FOLDER}"
    if any(looks_spoofed(c) or c in '/\\:*?"<>|' for c in name):
        return "holds a character that a folder's name cannot have everywhere"
    if name[-1] in " .":
        return "ends in a space or a dot, which Windows cuts off"
    if name.split(".")[0].rstrip().lower() in _WINDOWS:
        return "is a device on Windows"
    return None


def looks_spoofed(character: str) -> bool:
    """Whether it is a control, an invisible character, half a character, or turns text around."""
    kind = unicodedata.category(character)
    return kind in ("Cc", "Cs", "Zl", "Zp") or (kind == "Cf" and character not in _JOINERS)


def confusable(names: Sequence[str]) -> list[str]:
    """What readers should know of names that are easily taken for others, a sentence each."""
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
