from __future__ import annotations

import numpy as np
import pytest
import torch

from imgcollapse.report.grid_layout import (
    MOST_CLASSES,
    MOST_GENERATIONS,
    class_note,
    column,
    shown_classes,
    shown_generations,
)
from imgcollapse.report.grid_painters import tile
from imgcollapse.runs.run_dir import Run


@pytest.mark.parametrize("generations", [1, 2, 9, 10, 11, 31, 100])
def test_the_first_and_the_last_generation_are_always_shown(generations: int) -> None:
    shown = shown_generations(generations)
    assert shown[0] == 0
    assert shown[-1] == generations - 1
    assert len(shown) == min(generations, MOST_GENERATIONS)
    steps = np.diff(shown)
    assert (steps > 0).all()
    assert not len(steps) or steps.max() - steps.min() <= 1


@pytest.mark.parametrize("classes", [1, 2, 12, 13, 14, 120])
def test_the_commonest_and_the_rarest_classes_are_always_shown(classes: int) -> None:
    shown = shown_classes(classes)
    assert shown == sorted(set(shown))
    assert shown[0] == 0
    assert shown[-1] == classes - 1
    assert len(shown) == min(classes, MOST_CLASSES)
    assert bool(class_note(classes)) == (len(shown) < classes)


def test_a_column_holds_the_first_samples_that_the_oracle_names_so(vanishing: Run) -> None:
    lineage = vanishing.lineages[0]
    dogs, cats, foxes, unrecognized = column(lineage, 2, [0, 1, 2], most=4)
    assert [c.count for c in (dogs, cats, foxes, unrecognized)] == [700, 299, 0, 1]
    first = (lineage.counted(2) == 1).nonzero().flatten()[:4]
    assert torch.equal(cats.pixels, lineage.samples(2).pixels[first])
    assert len(foxes.pixels) == 0


@pytest.mark.parametrize("channels", [1, 3])
def test_a_tile_keeps_every_pixel(channels: int) -> None:
    pixels = torch.randint(256, (3, channels, 5, 7), dtype=torch.uint8)
    picture = np.asarray(tile(pixels, across=2, down=2, side=16))
    assert picture.shape == (5 + 1 + 5, 7 + 1 + 7, 4)
    rgb = pixels.expand(-1, 3, -1, -1).permute(0, 2, 3, 1).numpy()
    np.testing.assert_array_equal(picture[:5, 8:, :3], rgb[1])
    np.testing.assert_array_equal(picture[6:, :7, :3], rgb[2])
    assert (picture[:5, :7, 3] == 255).all()
    assert not picture[6:, 8:].any(), "the place without an image is transparent"
    assert not picture[5].any(), "and so is the gap"


def test_large_images_are_reduced_in_proportion() -> None:
    pixels = torch.zeros(1, 3, 128, 64, dtype=torch.uint8)
    assert tile(pixels, across=1, down=1, side=32).size == (16, 32)
