"""Real images: where they come from, how imbalanced they are, and who may see which.

torchvision_sets.py  MNIST, CIFAR10, OxfordIIITPet and the other sets torchvision knows
folder.py            a folder or a zip of images, one folder a class
  files.py           the files of either, never unpacked to disk
  decode.py          one file to pixels, whatever is odd about it
digits.py            scikit-learn's scanned digits
paper_dogs.py        eight breeds of dogs, drawn without limit
  kennel.py, breeds.py  how they are drawn
stocks.py            images in memory, and a chosen few of somebody else's
longtail.py          profiles from the most common class to the rarest
allotment.py         how many images of each class every set gets
splits.py            train, oracle, calibration, reference and reserve: disjoint
"""

from __future__ import annotations

from typing import Annotated

from imgcollapse.core.components import ComponentUnion
from imgcollapse.data.base import Source
from imgcollapse.data.digits import Digits
from imgcollapse.data.folder import Folder
from imgcollapse.data.longtail import Explicit, Exponential, LongTailProfile, Step, Zipf
from imgcollapse.data.paper_dogs.source import PaperDogs
from imgcollapse.data.split_sizes import Splits
from imgcollapse.data.splits import RealData, split
from imgcollapse.data.torchvision_sets import TorchvisionSet

Data = Annotated[Source, ComponentUnion(TorchvisionSet, Folder, Digits, PaperDogs)]
LongTail = Annotated[LongTailProfile, ComponentUnion(Exponential, Step, Zipf, Explicit)]

__all__ = [
    "Data",
    "Digits",
    "Explicit",
    "Exponential",
    "Folder",
    "LongTail",
    "LongTailProfile",
    "PaperDogs",
    "RealData",
    "Splits",
    "Step",
    "TorchvisionSet",
    "Zipf",
    "split",
]
