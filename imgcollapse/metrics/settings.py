"""What a study may set about its metrics."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from imgcollapse.metrics.features import AnyExtractor, OracleFeatures
from imgcollapse.metrics.vocabulary import Vocabulary


class MetricSettings(BaseModel):
    """How generations are compared with real images.

    Attributes:
        features: what the metrics see of an image.
        neighbours: k of precision, recall, density and coverage.
        splits: random halvings of the real images that a floor is taken from.
        per_class: whether every class is measured too.
        memorized_quantile: share of held-out real images that may be called memorised.
        vocabulary: how images are written as words; none leaves the words out.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    features: AnyExtractor = OracleFeatures()
    neighbours: Annotated[int, Field(ge=1)] = 5
    splits: Annotated[int, Field(ge=2)] = 20
    per_class: bool = True
    memorized_quantile: Annotated[float, Field(gt=0, lt=1)] = 0.01
    vocabulary: Vocabulary | None = Vocabulary()
