"""What of a study can be counted without training anything: the course of one lineage."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from imgcollapse.config.study import Study
from imgcollapse.core.images import Images
from imgcollapse.core.lineage_images import LineageImages
from imgcollapse.core.seeds import Seed
from imgcollapse.curation import simulated_selection
from imgcollapse.data import RealData


@dataclass(frozen=True)
class Schedule:
    """One lineage of a study, generation by generation.

    Attributes:
        training: images in the training set of models 1 .. G.
        runs: runs of consecutive rows that each training set is recorded as.
        steps: optimizer steps of each model; None of a generator that takes none.
    """

    training: tuple[int, ...]
    runs: tuple[int, ...]
    steps: tuple[int | None, ...]

    @classmethod
    def of(cls, study: Study, real: RealData) -> Schedule:
        """Ask the regime for the rows of every training set, and the generator for its steps.

        What a filter keeps that looks at images is not known before there are any: such a one is
        taken to keep as many as it does whatever they are.
        """
        n = study.samples or len(real.train)
        seed, archive = Seed((study.seed, "course")), LineageImages(real.train, real.reserve)
        labels = study.labels.draw(real.shares, real.shares, n, seed / "labels")
        born = Images(torch.empty(n, 1, 0, 0, dtype=torch.uint8), labels)
        training, runs, steps = [], [], []
        for g in range(1, study.generations + 1):
            rows = simulated_selection(
                study.curation, g - 1, archive.size(g - 1), seed / g / "curate"
            )
            if rows is not None:
                archive.restrict_to_rows(g - 1, rows)
            chosen = study.regime.select(archive, g, seed / g / "select")
            training.append(len(chosen))
            runs.append(len(chosen.runs()["count"]))
            steps.append(study.generator.training_steps(len(chosen), warm=g > 1))
            archive.append(born)
        return cls(tuple(training), tuple(runs), tuple(steps))
