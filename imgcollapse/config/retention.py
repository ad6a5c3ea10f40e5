"""Retention: the files of old generations that stay on disk."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Keep = Literal["all"] | Annotated[int, Field(ge=1)]
"""All generations, or the latest N."""


class Retention(BaseModel):
    """The number of latest generations that keep their samples, and their models.

    It changes no result: counts, metrics and grids of all generations stay, and generation 0 whole.

    Attributes:
        samples: all, or the latest N generations.
        models: likewise.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    samples: Keep = "all"
    models: Keep = "all"

    def expired_files(self, files: Mapping[str, Keep], age: int) -> list[str]:
        """Those of the files that a generation loses when `age` younger ones are there.

        Args:
            files: names, and how many generations keep each.
            age: 0 for the latest generation.
        """
        return [name for name, keep in files.items() if keep != "all" and age >= keep]
