"""Feature extractors: what the metrics see of an image.

extractor.py   the base class, and the study's own oracle as an extractor
pretrained.py  a torchvision network, the Inception of the FID literature, DINOv2
"""

from typing import Annotated

from imgcollapse.core.components import ComponentUnion
from imgcollapse.metrics.features.extractor import Extractor, OracleFeatures
from imgcollapse.metrics.features.pretrained import (
    BackboneFeatures,
    DINOv2Features,
    InceptionFeatures,
)

AnyExtractor = Annotated[
    Extractor, ComponentUnion(OracleFeatures, BackboneFeatures, InceptionFeatures, DINOv2Features)
]

__all__ = [
    "AnyExtractor",
    "BackboneFeatures",
    "DINOv2Features",
    "Extractor",
    "InceptionFeatures",
    "OracleFeatures",
]
