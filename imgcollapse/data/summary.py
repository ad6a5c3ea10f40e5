"""Describes what was understood of a source, for `imgcollapse data`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import torch

from imgcollapse.core.images import ImageSet
from imgcollapse.data.base import InMemoryImages, SourceData, find_copies

_SAMPLED = 256
"""Images whose values are looked at, of a source that does not hold its images in memory."""


def summarize(source: SourceData) -> dict[str, Any]:
    """Layout, images of each class, what was passed over, copies and the range of values."""
    sets = {"train": source.train} | ({"test": source.test} if source.test else {})
    pixels = [_pixels(images) for images in sets.values()]
    passed = sorted(source.passed_over, key=lambda one: one.kind)
    kinds = [list(group) for _, group in groupby(passed, key=lambda one: one.kind)]
    return {
        "layout": source.layout or "of the source's own",
        "splits": {name: class_counts(source.classes, images) for name, images in sets.items()},
        "passed_over": [
            {
                "kind": group[0].kind,
                "number": len(group),
                "example": group[0].path,
                "reason": group[0].reason,
            }
            for group in kinds
        ],
        "copies": _copies(sets),
        "shape": list(pixels[0].shape[1:]),
        "values": [int(min(p.min() for p in pixels)), int(max(p.max() for p in pixels))],
        "remarks": list(source.remarks),
    }


def describe(summary: Mapping[str, Any]) -> list[str]:
    """The lines of a summary that are in no table."""
    low, high = summary["values"]
    lines = [f"images {' x '.join(map(str, summary['shape']))}, values {low} to {high}"]
    lines += [
        f"passed over: {kind['number']:,} {kind['kind']}, such as {kind['example']}"
        + (f" ({kind['reason']})" if kind["reason"] != kind["kind"] else "")
        for kind in summary["passed_over"]
    ]
    if copies := summary["copies"]:
        lines.append(
            f"copies: {copies['number']:,}, of which {copies['across']:,} in test and train, "
            f"{copies['conflicting']:,} in several classes"
        )
    return lines


def class_counts(classes: Sequence[str], images: ImageSet) -> dict[str, int]:
    """Images of each class by its name."""
    counts = images.labels.long().bincount(minlength=len(classes)).tolist()
    return dict(zip(classes, counts, strict=True))


def _pixels(images: ImageSet) -> torch.Tensor:
    if isinstance(images, InMemoryImages):
        return images.pixels
    number = len(images.labels)
    return images.read(torch.linspace(0, number - 1, min(number, _SAMPLED)).long())


def _copies(sets: dict[str, ImageSet]) -> dict[str, int] | None:
    """Counts of equal images; None if the source does not hold its images in memory."""
    held = [images for images in sets.values() if isinstance(images, InMemoryImages)]
    if len(held) < len(sets):
        return None
    found = find_copies(
        [image for images in held for image in images.pixels.numpy()],
        [label for images in held for label in images.labels.tolist()],
        [name == "test" for name, images in sets.items() for _ in images.labels],
    )
    return {
        "number": len(found.rows),
        "across": found.across,
        "conflicting": found.conflicting,
    }
