"""Feature extractors: what the metrics see of an image.

extractor.py  what an extractor is, and the study's own oracle as one
backbone.py   a torchvision network
inception.py  the Inception of the FID literature
dinov2.py     DINOv2
"""

from typing import Annotated

from imgcollapse.core.components import ComponentUnion
from imgcollapse.metrics.features.backbone import BackboneFeatures
from imgcollapse.metrics.features.dinov2 import DINOv2Features
from imgcollapse.metrics.features.extractor import Extractor, OracleFeatures
from imgcollapse.metrics.features.inception import InceptionFeatures

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
