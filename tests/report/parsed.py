"""A page as its tests read it."""

from __future__ import annotations

import base64
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote_to_bytes


class Page(HTMLParser):
    """Tags with their attributes, the text, and the files that can be taken away."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]

    @property
    def files(self) -> dict[str, bytes]:
        """By name, without the run's."""
        found = {}
        for link in self.all("a"):
            if name := link.get("download"):
                head, _, body = (link["href"] or "").partition(",")
                assert head.startswith("data:")
                content = unquote_to_bytes(body)
                found[name.removeprefix("run-")] = (
                    base64.b64decode(content) if head.endswith(";base64") else content
                )
        return found
