"""Section "The oracle": its held-out accuracy and its mistakes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from imgcollapse.report.data import PageData
from imgcollapse.report.section import Block, Bullets, Details, Matrix, Section, Text

LARGEST_CONFUSION = 20
"""Classes that a confusion matrix is legible with."""


class Oracle(Section):
    """Held-out accuracy, and the confusion matrix or the commonest mistakes."""

    name, runs = "oracle", "one"
    heading = "The oracle"

    def blocks(self, data: PageData) -> Sequence[Block]:
        """A paragraph, and details to open."""
        oracle, names = data.run.run.record["oracle"], data.run.run.record["classes"]
        said = (
            f"A classifier trained once on real images and then frozen. It names "
            f"{oracle['accuracy']:.1%} of {oracle['held_out']:,} held-out real images rightly. "
            "What lies farther from real images, in what its layers see, than nearly all held-out "
            "real images do is like no real image and counts as unrecognized, however sure the "
            f"classifier is: {oracle['recognised']:.1%} of the held-out real images are recognized."
        )
        found: list[Block] = [Text(said, style="")]
        confusion = np.asarray(oracle["confusion"], dtype=np.float64)
        rates = confusion / confusion.sum(axis=1, keepdims=True).clip(min=1)
        if len(names) <= LARGEST_CONFUSION:
            how = "Rows are true classes, columns the oracle's answers, in percent of the row."
            rows = list(zip(names, rates.tolist(), strict=True))
            matrix = Matrix("Confusion matrix", rows)
            return [*found, Details("Confusion matrix", [Text(how), matrix])]
        mistakes = rates * (1 - np.eye(len(names)))
        lines = [
            f"{rates[true, answered]:.1%} of {names[true]} are named {names[answered]}"
            for true, answered in zip(
                *np.unravel_index((-mistakes).argsort(axis=None, kind="stable")[:10], rates.shape),
                strict=True,
            )
            if mistakes[true, answered] > 0
        ]
        return [*found, Details("Commonest mistakes", [Bullets("", lines)])] if lines else found
