"""The code blocks of a documentation page."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```(python|yaml)\n# (\S+)\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Example:
    """A code block whose first line is a comment with the name of its file."""

    language: str
    name: str
    text: str

    @property
    def lines(self) -> int:
        return len(self.text.splitlines())


def examples(page: str) -> list[Example]:
    """Reads the named code blocks of a page, in order."""
    text = (ROOT / page).read_text()
    return [
        Example(language, name, f"# {name}\n{body}") for language, name, body in BLOCK.findall(text)
    ]


def write_examples(page: str, folder: Path) -> list[Example]:
    """Writes the named code blocks of a page to a folder, word for word."""
    found = examples(page)
    for example in found:
        (folder / example.name).write_text(example.text)
    return found
