"""What must be the same in a run and its unbroken twin: everything but times."""

from __future__ import annotations

from pathlib import Path

from imgcollapse.io import atomic

SAME = ("**/*.csv", "**/*.safetensors", "**/grid.png")


def differences(one: Path, other: Path) -> list[str]:
    """Files of two run folders, by their path there, that are missing in one or not the same."""
    mine, theirs = _hashes(one), _hashes(other)
    return sorted(
        name for name in mine.keys() | theirs.keys() if mine.get(name) != theirs.get(name)
    )


def _hashes(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): atomic.sha256(path)
        for pattern in SAME
        for path in folder.glob(pattern)
    }
