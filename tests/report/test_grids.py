from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from imgcollapse.core.errors import UserError
from imgcollapse.core.images import Images
from imgcollapse.report import animation, class_grid, vanishing_grid, write_grids
from imgcollapse.report.grid_painters import EMPTY, GAP, LINE
from imgcollapse.runs.run_dir import Run

from .conftest import Make


def colors(picture: Image.Image) -> set[str]:
    return {f"#{r:02x}{g:02x}{b:02x}" for r, g, b in np.asarray(picture).reshape(-1, 3)}


def cell(picture: Image.Image, row: int, column: int, rows: int, columns: int) -> Image.Image:
    """A cell of a vanishing grid of 8 px images, two by two, counted from the lower right."""
    side = 8 * 8 * 2 + 8  # two images and a gap of one pixel, eight times
    x = picture.width - 24 - (columns - column) * (side + GAP) + GAP
    y = picture.height - 24 - 40 - (rows - row) * (side + GAP) + GAP
    return picture.crop((x, y, x + side, y + side))


def test_a_class_that_is_gone_leaves_a_hatched_gap(vanishing: Run) -> None:
    picture = vanishing_grid(vanishing.lineages[0])
    for g, counts in enumerate([[600, 300, 100], [640, 310, 50], [700, 299, 0]]):
        for k, count in enumerate(counts):
            found = colors(cell(picture, k, g, rows=4, columns=3))
            assert (found == {EMPTY, LINE}) == (count == 0), f"class {k} in generation {g}"
    # That nothing is unrecognized is no loss, and is not hatched.
    assert colors(cell(picture, 3, 0, rows=4, columns=3)) == {EMPTY}
    assert len(colors(cell(picture, 3, 2, rows=4, columns=3))) > 2


def test_a_cell_shows_the_samples_enlarged_pixel_by_pixel(vanishing: Run) -> None:
    lineage = vanishing.lineages[0]
    picture = cell(vanishing_grid(lineage), 0, 0, rows=4, columns=3)
    sample = lineage.samples(0).pixels[0].permute(1, 2, 0).numpy()
    np.testing.assert_array_equal(np.asarray(picture)[4:64:8, 4:64:8], sample)


@pytest.mark.parametrize(
    ("classes", "generations", "size", "channels"),
    [(1, 1, 8, 1), (2, 20, 8, 3), (120, 2, 8, 3), (3, 2, 128, 3), (2, 1, 28, 1)],
)
def test_any_shape_of_run_can_be_drawn(
    make_run: Make, tmp_path: Path, classes: int, generations: int, size: int, channels: int
) -> None:
    counts = [[2] * classes + [1]] * generations
    run = make_run(counts, size=size, channels=channels, measured=False)
    picture = vanishing_grid(run.lineages[0])
    assert max(picture.size) < 4000
    with Image.open(animation(run.lineages[0], tmp_path / "film.webp")) as film:
        assert getattr(film, "n_frames", 1) == generations


def test_pictures_are_the_same_every_time(vanishing: Run, tmp_path: Path) -> None:
    written = write_grids(vanishing.path, tmp_path / "a")
    again = write_grids(vanishing.path, tmp_path / "b")
    assert [p.name for p in written] == [
        "generation_000.png",
        "generation_001.png",
        "generation_002.png",
        "vanishing_grid.png",
        "animation.webp",
    ]
    assert [p.read_bytes() for p in written] == [p.read_bytes() for p in again]
    assert sorted((tmp_path / "a").iterdir()) == sorted(written)


@pytest.mark.parametrize("suffix", [".webp", ".gif"])
def test_the_animation_has_a_frame_for_each_generation(
    vanishing: Run, tmp_path: Path, suffix: str
) -> None:
    with Image.open(animation(vanishing.lineages[0], tmp_path / f"film{suffix}")) as film:
        assert film.format == suffix[1:].upper()
        assert getattr(film, "n_frames", 1) == 3
        assert film.info["loop"] == 0


def test_each_lineage_has_its_own_pictures(make_run: Make, tmp_path: Path) -> None:
    run = make_run([[5, 5, 0]], [[5, 5, 0]], [])
    written = write_grids(run.path, tmp_path / "grids")
    assert {p.parent.name for p in written} == {"lineage_000", "lineage_001"}


def test_class_grid_shows_the_classes_by_label() -> None:
    pixels = torch.stack([torch.full((3, 16, 16), 50 * k, dtype=torch.uint8) for k in (1, 2, 2)])
    picture = class_grid(Images(pixels, torch.tensor([0, 1, 1], dtype=torch.int16)), ["a", "b"])
    assert {"#323232", "#646464"} <= colors(picture)


def test_names_of_any_kind_can_be_drawn(make_run: Make) -> None:
    names = ["two\nlines", "$x_{", "狗", "n" * 300]
    run = make_run([[2, 2, 2, 2, 0]], classes=names)
    assert vanishing_grid(run.lineages[0]).width < 1000


def test_a_folder_that_is_no_run_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not a run folder"):
        write_grids(tmp_path, tmp_path / "grids")
    assert not (tmp_path / "grids").exists()
