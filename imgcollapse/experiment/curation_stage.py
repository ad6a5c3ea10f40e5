"""At the gate of the pool: a study's filters at work on a lineage."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from imgcollapse import curation, metrics
from imgcollapse.core import signals
from imgcollapse.core.images import Images
from imgcollapse.core.lineage_images import LineageImages, Selection
from imgcollapse.core.progress import ProgressReporter
from imgcollapse.core.seeds import Seed
from imgcollapse.curation.base import FilterInput
from imgcollapse.experiment.evaluator import Evaluator
from imgcollapse.runs.lineage_dir import SAMPLES, Lineage


class CurationStage:
    """The filters of a study, and what they are shown of one lineage."""

    def __init__(self, evaluator: Evaluator, lineage: Lineage) -> None:
        self.evaluator, self.lineage = evaluator, lineage
        self.filters = evaluator.study.curation

    def restore(self, archive: LineageImages) -> LineageImages:
        """The archive with all that the lineage has so far, as it was let in then."""
        for g in self.lineage.resume():
            archive.append(self._born(g))
            kept = self.lineage.selection(g - 1) if len(archive.generations[g - 1]) else None
            if kept is not None:
                archive.restrict(g - 1, kept)
        return archive

    def _born(self, g: int) -> Images:
        """The samples of generation g; of those that were removed, which nobody trains on, none."""
        if SAMPLES not in self.lineage.pruned(g):
            return self.lineage.samples(g)
        return self.evaluator.real.train[:0]

    def apply(
        self, archive: LineageImages, g: int, seed: Seed
    ) -> tuple[Selection | None, dict[str, Any]]:
        """Let of generation g into the pool what the filters keep; say what it was, and by what.

        Waits for what a filter waits for, such as a person's picks.
        """
        if not self.filters:
            return None, {}
        for judge in self.filters:
            _wait(partial(judge.pending_reason, g, self.lineage.path), self.evaluator.reporter)
        images, classes = self.lineage.samples(g), self.evaluator.real.classes
        answers = self.evaluator.classify(images.pixels)
        seen = FilterInput(
            g,
            torch.arange(len(images), dtype=torch.int32),
            classes,
            images,
            answers.counted,
            answers.probabilities,
            answers.features,
            answers.atypicality,
            self.evaluator.oracle.held_out.atypicality,
            self.lineage.path,
        )
        evidence = self.dependencies(g)
        kept = curation.curate(self.filters, seen, seed)
        while evidence != (now := self.dependencies(g)):  # people may go on while it is read
            evidence, kept = now, curation.curate(self.filters, seen, seed)
        archive.restrict(g, kept)
        return kept, {
            "curation": curation.selection_audit(g, kept, answers.counted, images.labels, classes),
            "evidence": evidence,
        }

    def dependencies(self, g: int) -> dict[str, str]:
        """Files in the lineage's folder that the filters' choice rests on, and their sha256."""
        return {
            name: digest
            for judge in self.filters
            for name, digest in judge.dependencies(g, self.lineage.path).items()
        }

    def watermark(self, drawn: Images, seed: Seed) -> Images:
        """The model's output as it leaves the house: marked, where a filter marks."""
        return curation.mark(self.filters, drawn, seed)

    def notes(self, g: int, drawn: Images, samples: Images, seed: Seed) -> list[dict[str, Any]]:
        """What the filters say of a generation beside their choice, as metric rows."""
        return [
            metrics.metric_row(g, name, value, n)
            for place, judge in enumerate(self.filters)
            for name, value, n in judge.metrics(
                drawn, samples, self.evaluator.real.reference, seed / place
            )
        ]


def _wait(reason: Callable[[], str | None], reporter: ProgressReporter) -> None:
    """Look once a second whether there is still something to wait for, and say what."""
    said = None
    while line := reason():
        if line != said:
            reporter.log(line)
        said = line
        signals.raise_if_stop_requested()
        time.sleep(1)
