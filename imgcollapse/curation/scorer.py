"""A user's own opinion of images, named by import path."""

from __future__ import annotations

import importlib
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator
from torch import Tensor

from imgcollapse.core.errors import UserError


def _found(path: str | None) -> str | None:
    if path is not None:
        module, _, name = path.partition(":")
        try:
            if not callable(getattr(importlib.import_module(module), name)):
                raise ValueError(f"{path} is no function")
        except (ImportError, AttributeError) as error:
            raise ValueError(f"cannot be imported: {error}") from None
    return path


Scorer = Annotated[str | None, AfterValidator(_found)]
"""`module:function`, uint8[N, C, H, W] => N numbers, the larger the better; or none."""


def scores(scorer: str, pixels: Tensor) -> NDArray[np.float64]:
    """What a scorer says of uint8[N, C, H, W] images: float64[N].

    Raises:
        UserError: it does not answer with one finite number for each image.
    """
    module, _, name = scorer.partition(":")
    said = np.asarray(getattr(importlib.import_module(module), name)(pixels), dtype=np.float64)
    if said.shape != (len(pixels),) or not np.isfinite(said).all():
        raise UserError(
            f"curation.scorer: {scorer} answered {len(pixels)} images with shape {said.shape}, "
            "or with numbers that are not finite; give one finite number for each image"
        )
    return said
