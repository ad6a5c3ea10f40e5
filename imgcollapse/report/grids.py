"""Pictures of a run: the vanishing grid, grids of one generation, an animation."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from io import BytesIO
from pathlib import Path

import matplotlib as mpl
from PIL import Image, ImageDraw, ImageFont

from imgcollapse.census import UNRECOGNISED
from imgcollapse.core import storage
from imgcollapse.core.errors import UserError
from imgcollapse.core.grid import sample_grid
from imgcollapse.core.images import Images
from imgcollapse.lineage import Lineage
from imgcollapse.report.cells import (
    LOSSLESS,
    Cell,
    cells,
    class_note,
    column,
    shown_classes,
    shown_generations,
    tile,
)
from imgcollapse.report.words import short
from imgcollapse.run_folder import Run

INK, MUTED, LINE, EMPTY, BAR = "#1a1c1f", "#6b7078", "#c9cdd3", "#f4f5f7", "#3b78b8"
MOST_FRAMES = 100
GAP, EDGE, SIDE = 10, 24, 64
"""Pixels between cells, around the picture, and about how long an image's side is drawn."""


def vanishing_grid(lineage: Lineage) -> Image.Image:
    """Classes from common to rare against generations; a hatched cell where a class is not seen.

    Each cell holds the first four samples that the oracle names so; with many classes or
    generations only some are shown.
    """
    names, shares = _classes(lineage)
    labels, generations = shown_classes(len(names)), shown_generations(lineage.generations)
    columns = [column(lineage, g, labels, most=4) for g in generations]
    headers = ["real" if g == 0 else str(g) for g in generations]
    rows = [(names[k], f"{shares[k]:.1%} of real images") for k in labels]
    rows.append((UNRECOGNISED, "like no real image"))
    return _sheet(rows, headers, columns, per_row=2, note=class_note(len(names)))


def class_grid(images: Images, classes: Sequence[str]) -> Image.Image:
    """The first 16 images of each class, common to rare, by their labels."""
    labels = shown_classes(len(classes))
    shown = list(cells(images, images.labels, labels, most=16))
    rows = [(short(classes[k]), f"{c.count:,} images") for k, c in zip(labels, shown, strict=True)]
    return _sheet(rows, [""], [shown], per_row=16, note=class_note(len(classes)))


def animation(lineage: Lineage, path: Path) -> Path:
    """Write a film of a lineage, one frame a generation: samples and share of each class.

    Of more than `MOST_FRAMES` generations it shows that many, evenly.

    Args:
        lineage: with at least generation 0.
        path: its suffix, .webp or .gif, is the format.
    """
    names, _ = _classes(lineage)
    labels = shown_classes(len(names))
    frames = [
        _frame(lineage, g, names, labels)
        for g in shown_generations(lineage.generations, MOST_FRAMES)
    ]
    kind = path.suffix.removeprefix(".").upper()
    # The first and the last picture are the ones to compare.
    pause = [1500] + [700] * (len(frames) - 2) + [2500]
    small = lineage.samples(0).pixels[0].numel() <= LOSSLESS
    options = {} if kind == "GIF" else {"lossless": True} if small else {"quality": 85}
    data = BytesIO()
    frames[0].save(
        data,
        kind,
        save_all=True,
        append_images=frames[1:],
        duration=pause[: len(frames)],
        loop=0,
        **options,
    )
    storage.write_bytes(path, data.getvalue())
    return path


def write_grids(run: Path | str, out: Path | str) -> list[Path]:
    """Write a grid of every generation, the vanishing grid and the animation, as image files.

    Args:
        run: the run folder.
        out: the folder for the pictures; each of several lineages has its own inside.

    Returns:
        What was written.

    Raises:
        UserError: `run` is no run folder, or `out` cannot be written to.
    """
    written = []
    opened = Run.open(run)
    for lineage in opened.lineages:
        if not lineage.generations:
            continue
        several = len(opened.lineages) > 1
        folder = storage.make_folder(Path(out) / lineage.path.name if several else Path(out))
        for g in range(lineage.generations):
            picture = sample_grid(lineage.samples(g))
            written.append(folder / f"generation_{g:03d}.png")
            storage.write_png(written[-1], picture)
        written.append(folder / "vanishing_grid.png")
        storage.write_png(written[-1], vanishing_grid(lineage))
        written.append(animation(lineage, folder / "animation.webp"))
    if not written:
        raise UserError(f"{run}: holds no generation yet; run the study first")
    return written


def _classes(lineage: Lineage) -> tuple[list[str], list[float]]:
    """Names and real shares, common to rare."""
    census = lineage.census
    first = census[(census["generation"] == 0) & (census["class"] != UNRECOGNISED)]
    return [short(name) for name in first["class"]], first["expected"].tolist()


def _sheet(
    rows: Sequence[tuple[str, str]],
    headers: Sequence[str],
    columns: Sequence[Sequence[Cell]],
    per_row: int,
    note: str,
) -> Image.Image:
    """Cells with row names on the left and headers on top."""
    drawn = [[_draw(cell, per_row) for cell in cells] for cells in columns]
    made = [picture for pictures in drawn for picture in pictures if picture]
    width = max((p.width for p in made), default=SIDE)
    height = max((p.height for p in made), default=SIDE)
    left = EDGE + max(_width(text) for row in rows for text in row) + 2 * GAP
    top = EDGE + (34 if any(headers) else 0)
    gaps = any(
        picture is None and name != UNRECOGNISED
        for pictures in drawn
        for picture, (name, _) in zip(pictures, rows, strict=True)
    )
    below = 40 if gaps or note else 0
    size = (
        left + len(columns) * (width + GAP) - GAP + EDGE,
        top + len(rows) * (height + GAP) - GAP + below + EDGE,
    )
    sheet = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(sheet)
    for i, (name, detail) in enumerate(rows):
        middle = top + i * (height + GAP) + height // 2
        pen.text((left - 2 * GAP, middle - 1), name, INK, _font(17, bold=True), anchor="rs")
        pen.text((left - 2 * GAP, middle + 4), detail, MUTED, _font(14), anchor="rt")
    if any(headers):
        pen.text((left - 2 * GAP, top - 14), "generation", MUTED, _font(14), anchor="rs")
    for j, (header, pictures) in enumerate(zip(headers, drawn, strict=True)):
        x = left + j * (width + GAP)
        pen.text((x + width / 2, top - 14), header, INK, _font(17), anchor="ms")
        for i, picture in enumerate(pictures):
            box = _gap((width, height), hatched=rows[i][0] != UNRECOGNISED)
            _paste(sheet, picture or box, (x, top + i * (height + GAP)))
    x, y = left, size[1] - EDGE
    if gaps:
        _paste(sheet, _gap((28, 16), hatched=True), (x, y - 14))
        pen.text((x + 28 + GAP, y), "none seen", MUTED, _font(14), anchor="ls")
        x += 150
    if note:
        pen.text((x, y), f"Shown: {note}", MUTED, _font(14), anchor="ls")
    return sheet


def _frame(lineage: Lineage, g: int, names: Sequence[str], labels: list[int]) -> Image.Image:
    """One picture of the animation."""
    shown = column(lineage, g, labels, most=8)
    anything = _draw(Cell(lineage.samples(g).pixels[:1], 1, 1), per_row=8)
    width, height = anything.size if anything else (SIDE, SIDE)
    texts = [names[k] for k in labels] + [UNRECOGNISED]
    left, bar, step = EDGE + max(map(_width, texts)) + 2 * GAP, 220, height + GAP
    top = EDGE + 50
    size = left + width + 2 * GAP + bar + 70 + EDGE, top + len(texts) * step - GAP + EDGE
    frame = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(frame)
    title = "real images (generation 0)" if g == 0 else f"generation {g}"
    pen.text((left, EDGE + 20), title, INK, _font(24, bold=True), anchor="ls")
    pen.text((left + width + 2 * GAP, EDGE + 20), "share of samples", MUTED, _font(14), anchor="ls")
    for i, (name, cell) in enumerate(zip(texts, shown, strict=True)):
        y, x = top + i * step, left + width + 2 * GAP
        share, middle = cell.count / cell.n, y + height // 2
        colour = MUTED if name == UNRECOGNISED else INK
        pen.text((left - 2 * GAP, middle), name, colour, _font(17, bold=True), anchor="rm")
        box = _gap((width, height), hatched=name != UNRECOGNISED)
        _paste(frame, _draw(cell, 8) or box, (left, y))
        pen.rectangle((x, middle - 9, x + bar, middle + 9), EMPTY)
        if cell.count:
            fill = MUTED if name == UNRECOGNISED else BAR
            pen.rectangle((x, middle - 9, x + max(1, round(bar * share)), middle + 9), fill)
        text = f"{share:.1%}" if cell.count else "none"
        pen.text((x + bar + GAP, middle), text, INK, _font(14), anchor="lm")
    return frame


def _draw(cell: Cell, per_row: int) -> Image.Image | None:
    if not cell.count:
        return None
    rows = -(-len(cell.pixels) // per_row)
    picture = tile(cell.pixels, per_row, rows, SIDE)
    zoom = max(1, round(SIDE / max(cell.pixels.shape[-2:])))
    return picture.resize((picture.width * zoom, picture.height * zoom), Image.Resampling.NEAREST)


def _gap(size: tuple[int, int], hatched: bool) -> Image.Image:
    """What stands where there is nothing to see."""
    width, height = size
    gap = Image.new("RGBA", size, EMPTY)
    if hatched:
        pen = ImageDraw.Draw(gap)
        for x in range(-height, width, 9):
            pen.line((x, height, x + height, 0), LINE)
        pen.rectangle((0, 0, width - 1, height - 1), outline=LINE)
    return gap


def _paste(sheet: Image.Image, picture: Image.Image, at: tuple[int, int]) -> None:
    sheet.paste(picture, at, picture)


def _width(text: str) -> int:
    return int(_font(17, bold=True).getlength(text)) + 1


@cache
def _font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(Path(mpl.get_data_path()) / "fonts" / "ttf" / name, size)
