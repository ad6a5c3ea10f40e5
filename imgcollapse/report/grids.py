"""Image files of a run: the vanishing grid, grids of each generation, an animation."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

from PIL import Image, ImageDraw

from imgcollapse.census import UNRECOGNIZED
from imgcollapse.core.errors import UserError
from imgcollapse.core.images import Images
from imgcollapse.core.sanitize import with_home
from imgcollapse.io import atomic
from imgcollapse.report import grid_layout as layout
from imgcollapse.report import grid_painters as paint
from imgcollapse.report.formatting import short
from imgcollapse.report.grid_painters import BAR, EDGE, EMPTY, GAP, INK, LOSSLESS, MUTED, SIDE
from imgcollapse.runs.lineage_dir import Lineage, PrunedError, sample_grid
from imgcollapse.runs.run_dir import Run

MOST_FRAMES = 100


def vanishing_grid(lineage: Lineage) -> Image.Image:
    """Classes from common to rare against generations; a hatched cell where a class has no sample.

    Each cell holds the first four samples that the oracle names so; with many classes or
    generations only some are shown. The side of an image is about 64 pixels.
    """
    return paint.to_image(layout.vanishing_layout(lineage, lineage.generations - 1, SIDE))


def class_grid(images: Images, classes: Sequence[str]) -> Image.Image:
    """The first 16 images of each class, common to rare, by their labels."""
    return paint.to_image(layout.class_layout(images, classes, SIDE))


def animation(lineage: Lineage, path: Path) -> Path:
    """Write an animation as .webp or .gif, one frame a generation: samples and shares of classes.

    Of more than `MOST_FRAMES` generations it shows that many, evenly; only those whose samples are
    there.
    """
    names = [short(name) for name in layout.class_names(lineage)[0]]
    labels = layout.shown_classes(len(names))
    generations = layout.pictured(lineage, lineage.generations - 1, MOST_FRAMES)
    frames = [_frame(lineage, g, names, labels) for g in generations]
    kind = path.suffix.removeprefix(".").upper()
    # The first and the last picture are the ones to compare.
    pause = [1500] + [700] * (len(frames) - 2) + [2500]
    small = lineage.samples(0).pixels[0].numel() <= LOSSLESS
    options = {} if kind == "GIF" else {"lossless": True} if small else {"quality": 85}
    moving = {"save_all": True, "append_images": frames[1:], "loop": 0, **options}
    data = BytesIO()
    frames[0].save(data, kind, duration=pause[: len(frames)], **moving)
    atomic.write_bytes(path, data.getvalue())
    return path


def write_grids(run: Path | str, out: Path | str) -> list[Path]:
    """Write a grid of every generation, the vanishing grid and the animation, as image files.

    In the folder `out`; each of several lineages has its own inside. Returns the files.

    Raises:
        UserError: `run` is no run folder, or `out` cannot be written to.
    """
    written, out = [], with_home(out)
    opened = Run.open(run)
    for lineage in opened.lineages:
        if not lineage.generations:
            continue
        several = len(opened.lineages) > 1
        folder = atomic.make_folder(out / lineage.path.name if several else out)
        for g in range(lineage.generations):
            picture = _sample_grid(lineage, g)
            written.append(folder / f"generation_{g:03d}.png")
            atomic.write_png(written[-1], picture)
        written.append(folder / "vanishing_grid.png")
        atomic.write_png(written[-1], vanishing_grid(lineage))
        written.append(animation(lineage, folder / "animation.webp"))
    if not written:
        raise UserError(f"{run}: holds no generation yet; run the study first")
    return written


def _sample_grid(lineage: Lineage, g: int) -> Image.Image:
    """The first samples of a generation, or its stored grid where retention removed them."""
    try:
        return sample_grid(lineage.samples(g))
    except PrunedError:
        with atomic.wrap_os_errors(lineage.folder(g)):
            return Image.open(lineage.folder(g) / "grid.png")


def _frame(lineage: Lineage, g: int, names: Sequence[str], labels: list[int]) -> Image.Image:
    """One picture of the animation."""
    shown = layout.column(lineage, g, labels, most=8)
    anything = paint.draw(layout.Cell(lineage.samples(g).pixels[:1], 1, 1), across=8)
    width, height = anything.size if anything else (SIDE, SIDE)
    texts = [names[k] for k in labels] + [UNRECOGNIZED]
    left, top = EDGE + max(map(paint.text_width, texts)) + 2 * GAP, EDGE + 50
    x, bar, step = left + width + 2 * GAP, 220, height + GAP
    frame = Image.new("RGB", (x + bar + 70 + EDGE, top + len(texts) * step - GAP + EDGE), "white")
    pen, small = ImageDraw.Draw(frame), paint.font(14)
    title = "real images (generation 0)" if g == 0 else f"generation {g}"
    pen.text((left, EDGE + 20), title, INK, paint.font(24, bold=True), anchor="ls")
    pen.text((x, EDGE + 20), "share of samples", MUTED, small, anchor="ls")
    for i, (name, cell) in enumerate(zip(texts, shown, strict=True)):
        y, share = top + i * step, cell.count / cell.n
        middle, ink = y + height // 2, INK if cell.expected else MUTED
        pen.text((left - 2 * GAP, middle), name, ink, paint.font(17, bold=True), anchor="rm")
        box = paint.empty_cell((width, height), hatched=cell.expected)
        paint.paste(frame, paint.draw(cell, across=8) or box, (left, y))
        pen.rectangle((x, middle - 9, x + bar, middle + 9), EMPTY)
        if cell.count:
            end = x + max(1, round(bar * share))
            pen.rectangle((x, middle - 9, end, middle + 9), BAR if cell.expected else MUTED)
        text = f"{share:.1%}" if cell.count else "none"
        pen.text((x + bar + GAP, middle), text, INK, small, anchor="lm")
    return frame
