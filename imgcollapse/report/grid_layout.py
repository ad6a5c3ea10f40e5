"""Which samples stand for a class in a generation: the cells of a vanishing grid."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.functional import resize, to_pil_image
from torchvision.utils import make_grid

from imgcollapse.core.images import UNKNOWN, Images
from imgcollapse.runs.lineage_dir import SAMPLES, Lineage

MOST_GENERATIONS, MOST_CLASSES = 10, 12
LOSSLESS = 800
"""Bytes of an image above which many of them, kept without loss, are too heavy for a page."""


@dataclass(frozen=True)
class Cell:
    """The samples of one generation that the oracle gives one name.

    Attributes:
        pixels: uint8[m, C, H, W], the first of them.
        count: how many there are.
        n: samples of the generation.
    """

    pixels: Tensor
    count: int
    n: int


def shown_generations(generations: int, most: int = MOST_GENERATIONS) -> list[int]:
    """At most that many of 0 .. generations-1, evenly, with the first and the last."""
    columns = min(generations, most)
    return [round(i * (generations - 1) / max(columns - 1, 1)) for i in range(columns)]


def kept_generations(lineage: Lineage, last: int) -> list[int]:
    """Those of generations 0 .. last whose samples retention has left."""
    return [g for g in range(last + 1) if SAMPLES not in lineage.pruned(g)]


def pictured(lineage: Lineage, last: int, most: int = MOST_GENERATIONS) -> list[int]:
    """`shown_generations` of 0 .. last, among those whose samples are there."""
    kept = kept_generations(lineage, last)
    return [kept[i] for i in shown_generations(len(kept), most)]


def shown_classes(classes: int) -> list[int]:
    """All labels, or of more than `MOST_CLASSES` the commonest, the middle and the rarest."""
    if classes <= MOST_CLASSES:
        return list(range(classes))
    third = MOST_CLASSES // 3
    middle = (classes - third) // 2
    starts = 0, middle, classes - third
    return [start + i for start in starts for i in range(third)]


def class_note(classes: int) -> str:
    """Says which classes `shown_classes` leaves out; empty where it leaves out none."""
    if classes <= MOST_CLASSES:
        return ""
    third = MOST_CLASSES // 3
    return f"the {third} commonest, {third} middle and {third} rarest of {classes} classes"


def removed_note(lineage: Lineage, last: int) -> str:
    """Says of how many generations no samples are left; empty where there are all."""
    kept = len(kept_generations(lineage, last))
    if kept == last + 1:
        return ""
    return f"the {kept} of {last + 1} generations whose samples were kept"


def cells(samples: Images, counted: Tensor, labels: list[int], most: int) -> Iterator[Cell]:
    """The first `most` samples of each label, by what the oracle named them (int16[N])."""
    for label in labels:
        rows = (counted == label).nonzero().flatten()
        yield Cell(samples.pixels[rows[:most]], len(rows), len(counted))


def column(lineage: Lineage, g: int, labels: list[int], most: int) -> list[Cell]:
    """The cells of one generation, `UNKNOWN` below the labels."""
    return list(cells(lineage.samples(g), lineage.counted(g), [*labels, UNKNOWN], most))


def tile(pixels: Tensor, columns: int, rows: int, side: int) -> Image.Image:
    """uint8[m, C, H, W] on a transparent ground, 1 pixel apart, not enlarged.

    Args:
        pixels: at most columns x rows images of 1, 3 or more channels, of which 3 are shown.
        columns: images a row; places without an image stay transparent.
        rows: how many rows.
        side: images larger than this are reduced to it.
    """
    height, width = pixels.shape[-2:]
    rgb = pixels.expand(-1, 3, -1, -1) if pixels.shape[1] == 1 else pixels[:, :3]
    if (longest := max(height, width)) > side:
        size = [max(1, round(edge * side / longest)) for edge in (height, width)]
        rgb = resize(rgb, size, antialias=True)
    rgba = torch.zeros(columns * rows, 4, *rgb.shape[-2:], dtype=torch.uint8)
    rgba[: len(rgb), :3], rgba[: len(rgb), 3] = rgb, 255
    if len(rgba) == 1:  # make_grid frames only several
        return to_pil_image(rgba[0])
    return to_pil_image(make_grid(rgba, nrow=columns, padding=1)[:, 1:-1, 1:-1])
