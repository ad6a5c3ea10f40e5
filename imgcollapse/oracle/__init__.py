"""The oracle: a classifier trained once on real images and then frozen, which names what it sees.

`frozen.py` what every oracle does once trained · `cnn.py` a small network trained from scratch ·
`backbone.py` a torchvision network with pretrained weights and a linear head.
"""

from typing import Annotated

from imgcollapse.core.components import ComponentUnion
from imgcollapse.oracle.backbone import Backbone
from imgcollapse.oracle.cnn import CNN
from imgcollapse.oracle.frozen import FrozenOracle, Oracle, Predictions

AnyOracle = Annotated[Oracle, ComponentUnion(CNN, Backbone)]

__all__ = ["CNN", "AnyOracle", "Backbone", "FrozenOracle", "Oracle", "Predictions"]
