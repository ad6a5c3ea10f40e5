"""Reporting how far the work is."""

from __future__ import annotations

from typing import Protocol


class ProgressCallback(Protocol):
    """Somebody who wants to know how far the work is."""

    def __call__(
        self, stage: str, step: int, steps: int, images: int, loss: float | None = None
    ) -> None:
        """
        Args:
            stage: what is being done, such as "train".
            step: steps done, of `steps` in all.
            images: images done in this stage.
            loss: the latest training loss.
        """
