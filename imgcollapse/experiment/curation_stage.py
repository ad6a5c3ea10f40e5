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
from imgcollapse.core.lineage_images import Archive, Kept
from imgcollapse.core.seeds import Seed
from imgcollapse.curation.base import Candidates
from imgcollapse.experiment.evaluator import Laboratory
from imgcollapse.experiment.progress import Watcher
from imgcollapse.runs.lineage_dir import SAMPLES, Lineage


class Gate:
    """The filters of a study, and what they are shown of one lineage."""

    def __init__(self, laboratory: Laboratory, lineage: Lineage) -> None:
        self.laboratory, self.lineage = laboratory, lineage
        self.filters = laboratory.study.curation

    def reopen(self, archive: Archive) -> Archive:
        """The archive with all that the lineage has so far, as it was let in then."""
        for g in self.lineage.resume():
            archive.append(self._born(g))
            kept = self.lineage.kept(g - 1) if len(archive.generations[g - 1]) else None
            if kept is not None:
                archive.admit(g - 1, kept)
        return archive

    def _born(self, g: int) -> Images:
        """The samples of generation g; of those that were removed, which nobody trains on, none."""
        if SAMPLES not in self.lineage.pruned(g):
            return self.lineage.samples(g)
        return self.laboratory.real.train[:0]

    def admit(self, archive: Archive, g: int, seed: Seed) -> tuple[Kept | None, dict[str, Any]]:
        """Let of generation g into the pool what the filters keep; say what it was, and by what.

        Waits for what a filter waits for, such as a person's picks.
        """
        if not self.filters:
            return None, {}
        for judge in self.filters:
            _wait(partial(judge.waits, g, self.lineage.path), self.laboratory.watcher)
        images, classes = self.lineage.samples(g), self.laboratory.real.classes
        answers = self.laboratory.name(images.pixels)
        seen = Candidates(
            g,
            torch.arange(len(images), dtype=torch.int32),
            classes,
            images,
            answers.counted,
            answers.probabilities,
            answers.features,
            answers.atypicality,
            self.laboratory.oracle.held_out.atypicality,
            self.lineage.path,
        )
        evidence = self.evidence(g)
        kept = curation.curate(self.filters, seen, seed)
        while evidence != (now := self.evidence(g)):  # people may go on while it is read
            evidence, kept = now, curation.curate(self.filters, seen, seed)
        archive.admit(g, kept)
        return kept, {
            "curation": curation.account(g, kept, answers.counted, images.labels, classes),
            "evidence": evidence,
        }

    def evidence(self, g: int) -> dict[str, str]:
        """Files in the lineage's folder that the filters' choice rests on, and their sha256."""
        return {
            name: digest
            for judge in self.filters
            for name, digest in judge.rests_on(g, self.lineage.path).items()
        }

    def marked(self, drawn: Images, seed: Seed) -> Images:
        """The model's output as it leaves the house: marked, where a filter marks."""
        return curation.mark(self.filters, drawn, seed)

    def remarks(self, g: int, drawn: Images, samples: Images, seed: Seed) -> list[dict[str, Any]]:
        """What the filters say of a generation beside their choice, as metric rows."""
        return [
            metrics.row(g, name, value, n)
            for place, judge in enumerate(self.filters)
            for name, value, n in judge.findings(
                drawn, samples, self.laboratory.real.reference, seed / place
            )
        ]


def _wait(reason: Callable[[], str | None], watcher: Watcher) -> None:
    """Look once a second whether there is still something to wait for, and say what."""
    said = None
    while line := reason():
        if line != said:
            watcher.say(line)
        said = line
        signals.heed()
        time.sleep(1)
