from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import imgcollapse as ic
from imgcollapse.metrics import Codebook
from imgcollapse.report import write_report
from imgcollapse.report.data import PageData
from imgcollapse.report.section import Charts, Text
from imgcollapse.report.sections.vocabulary import Words, lost_patches, sentences, zipf
from imgcollapse.runs.run_dir import Run

from .conftest import Make
from .test_page import Page

STUDY = """
generations: 3
data: {kind: digits}
longtail: {kind: exponential, factor: 8, images: 60}
splits: {oracle: 60, calibration: 30, reference: 60}
generator: {kind: resample}
oracle: {kind: cnn, steps: 40, width: 8}
metrics: {splits: 4, per_class: false}
precision: float32
threads: 1
"""


@pytest.fixture(scope="module")
def worded(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of the program itself, whose images are written as words."""
    folder = tmp_path_factory.mktemp("worded")
    (folder / "study.yaml").write_text(STUDY)
    return ic.run(folder / "study.yaml", folder / "run")


def test_the_page_has_words_and_which_noticed_first(worded: Run, tmp_path: Path) -> None:
    page = Page(write_report([worded.path], tmp_path / "report.html"))
    text = " ".join(page.text.split())
    for said in (
        "Classes, words, pixels: which noticed first?",
        "patches of 4 × 4 pixels",
        "The rare words have ",
        " by generation 3; drift alone leaves ",
        "dashed: drift alone, 95% of lineages; dotted: real against real, 95%",
        "Not quite a fair race: the census looks at 10 classes",
    ):
        assert said in text
    assert all(image["alt"] for image in page.all("img"))
    assert all(svg["aria-label"] for svg in page.all("svg"))


def test_what_is_drawn_is_what_was_measured(worded: Run) -> None:
    blocks = Words().blocks(PageData.of_one(worded.path))
    (charts,) = (block for block in blocks if isinstance(block, Charts))
    assert [figure.alt.partition(" by ")[0] for figure in charts.figures] == [
        "Share of each word",
        "Share of the rare words",
        "Words lost",
    ]
    lost = worded.metrics.set_index(["generation", "metric"]).loc[(3, "vocab_words_lost"), "value"]
    (said,) = (block.text for block in blocks[3:4] if isinstance(block, Text)) if lost else ("",)
    assert bool(lost) == said.startswith(f"Lost in generation 3: {lost:.0f} of ")
    assert len(sentences(worded.metrics, 3)) == 2


def test_a_run_without_words_has_no_such_section(vanishing: Run) -> None:
    assert not Words().blocks(PageData.of_one(vanishing.path))


def test_a_lost_word_says_when_it_was_last_seen() -> None:
    patches = torch.arange(3, dtype=torch.uint8).view(3, 1, 1, 1).expand(-1, 3, 4, 4)
    codebook = Codebook(patches, torch.tensor([9, 5, 1]), 2, 2)
    images = [[9, 7, 4], [9, 2, 0], [9, 0, 0]]
    there = [
        {"images": torch.tensor(row), "lost": torch.tensor([0, row[1] == 0, 0]).to(torch.uint8)}
        for row in images
    ]
    number, (picture,) = lost_patches(codebook, there)
    assert number == 1
    assert picture.alt == "Word 2 of 3, in 7 real training images, last seen in generation 1"
    assert (picture.width, picture.height, picture.sharp) == (32, 32, True)


def test_few_curves_by_rank() -> None:
    counts = np.arange(40 * 5).reshape(40, 5)
    assert zipf(counts).alt.count(",") == 3  # generations 13, 26, 39 and "in logs"
    for odd in (counts[:1], counts[:, :1], np.zeros((2, 5), dtype=int)):
        assert "Share of each word" in zipf(odd).alt


def test_words_of_a_lineage_under_way_are_not_shown(make_run: Make) -> None:
    run = make_run([[5, 3, 0]], measured=False)
    assert sentences(run.metrics, 0) == []
    assert not Words().blocks(PageData.of_one(run.path))
