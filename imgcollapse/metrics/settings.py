"""Settings of a study's metrics."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
)

from imgcollapse.metrics.features import AnyExtractor, OracleFeatures
from imgcollapse.metrics.imported import checked_metrics
from imgcollapse.metrics.vocabulary import Vocabulary


class MetricSettings(BaseModel):
    """Settings of the comparison of generations with real images.

    Attributes:
        features: what the metrics see of an image.
        neighbours: k of precision, recall, density and coverage.
        splits: random halvings of the real images that a floor is taken from.
        per_class: whether every class is measured too.
        memorized_quantile: share of held-out real images that may be called memorized.
        vocabulary: how images are written as words; none leaves the words out.
        also: import paths `module:Class` of further metrics: `imgcollapse.metrics.Metric`s, or
            torchmetrics that take images, such as `torchmetrics.image:TotalVariation`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    features: AnyExtractor = OracleFeatures()
    neighbours: Annotated[int, Field(ge=1)] = 5
    splits: Annotated[int, Field(ge=2)] = 20
    per_class: bool = True
    memorized_quantile: Annotated[float, Field(gt=0, lt=1)] = 0.01
    vocabulary: Vocabulary | None = Vocabulary()
    also: Annotated[tuple[str, ...], AfterValidator(checked_metrics)] = ()

    @model_serializer(mode="wrap")
    def _without_empty_also(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave `also` out where it is empty: run.json of most studies does not know it."""
        found: dict[str, Any] = handler(self)
        if not self.also:
            found.pop("also", None)
        return found
