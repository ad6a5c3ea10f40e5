"""Curation within a lineage: applies a study's filters to each generation."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import torch

from imgcollapse import curation, metrics
from imgcollapse.core import signals
from imgcollapse.core.images import Images
from imgcollapse.core.lineage_images import LineageImages, Selection
from imgcollapse.core.seeds import Seed
from imgcollapse.curation.base import Filter, FilterInput
from imgcollapse.experiment.evaluator import Evaluator
from imgcollapse.runs.lineage_dir import SAMPLES, Lineage


class CurationStage:
    """Applies a study's filters to the generations of one lineage."""

    def __init__(self, evaluator: Evaluator, lineage: Lineage) -> None:
        self.evaluator, self.lineage = evaluator, lineage
        self.filters = evaluator.study.curation

    def restore(self, lineage_images: LineageImages) -> LineageImages:
        """Returns the lineage's images so far, restricted to what the filters kept of each."""
        for g in self.lineage.resume():
            removed = SAMPLES in self.lineage.pruned(g)  # then no later model trains on them
            samples = self.evaluator.real.train[:0] if removed else self.lineage.samples(g)
            lineage_images.append(samples)
            if len(lineage_images.generations[g - 1]):
                selection = self.lineage.selection(g - 1)
                if selection is not None:
                    lineage_images.restrict(g - 1, selection)
        return lineage_images

    def apply(
        self, lineage_images: LineageImages, g: int, seed: Seed
    ) -> tuple[Selection | None, dict[str, Any]]:
        """Filters generation g, and restricts the lineage's images to what is kept of it.

        Waits for what a filter waits for, such as a person's picks. Returns the selection, and
        findings: the audit's rows, and the sha256 of the files it rests on.
        """
        if not self.filters:
            return None, {}
        for each in self.filters:
            self._wait_for(each, g)
        images, classes = self.lineage.samples(g), self.evaluator.real.classes
        predictions = self.evaluator.classify(images.pixels)
        rows, held_out = (
            torch.arange(len(images), dtype=torch.int32),
            self.evaluator.oracle.held_out,
        )
        candidates = FilterInput(
            *(g, rows, classes, images, predictions.counted, predictions.probabilities),
            *(predictions.features, predictions.atypicality),
            *(held_out.atypicality, self.lineage.path),
        )
        files, selection = self.dependencies(g), curation.curate(self.filters, candidates, seed)
        while files != (now := self.dependencies(g)):  # a person may pick while they are read
            files, selection = now, curation.curate(self.filters, candidates, seed)
        lineage_images.restrict(g, selection)
        counted = predictions.counted
        return selection, {
            "curation": curation.selection_audit(g, selection, counted, images.labels, classes),
            "evidence": files,
        }

    def dependencies(self, g: int) -> dict[str, str]:
        """Returns the sha256 of the files in the lineage's folder that the selection rests on."""
        return {
            name: digest
            for each in self.filters
            for name, digest in each.dependencies(g, self.lineage.path).items()
        }

    def watermark(self, drawn: Images, seed: Seed) -> Images:
        """Returns a model's samples as they are published: watermarked if a filter does so."""
        return curation.mark(self.filters, drawn, seed)

    def metric_rows(self, g: int, drawn: Images, samples: Images, seed: Seed) -> list[metrics.Row]:
        """Returns the filters' own metrics of generation g, as rows of metrics.csv."""
        return [
            metrics.metric_row(g, name, value, n)
            for index, each in enumerate(self.filters)
            for name, value, n in each.metrics(
                drawn, samples, self.evaluator.real.reference, seed / index
            )
        ]

    def _wait_for(self, each: Filter, g: int) -> None:
        """Asks once a second whether the filter still waits; logs each new reason."""
        reason, logged = partial(each.pending_reason, g, self.lineage.path), None
        while line := reason():
            if line != logged:
                self.evaluator.reporter.log(line)
            logged = line
            signals.raise_if_stop_requested()
            time.sleep(1)
