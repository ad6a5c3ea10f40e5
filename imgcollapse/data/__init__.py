"""Real images: sources, long-tail profiles, and the disjoint sets of a study.

base.py              Source, and the image sets that sources return
torchvision_sets.py  MNIST, CIFAR10, OxfordIIITPet and other sets of torchvision
folder.py            a folder, zip or tar of images, one folder per class
layout.py            classes and splits, read out of paths alone
digits.py            scikit-learn's scanned digits
paper_dogs/          eight dog breeds, drawn in any number
longtail.py          profiles from the most common class to the rarest
summary.py           what was understood of a source
splits.py            train, oracle, calibration, reference and reserve: sizes and draws
image_import.py      images of other generators, for `evaluate`
passed_over.py       what is not read, and the remarks on it
file_tree.py         files of a folder, zip or tar
archives.py          zip and tar files within limits
arrays.py            images in .npz and .safetensors files
decode.py            one image file to pixels
"""

from __future__ import annotations

from typing import Annotated

from imgcollapse.core.components import ComponentUnion
from imgcollapse.data.base import Source
from imgcollapse.data.digits import Digits
from imgcollapse.data.folder import Folder
from imgcollapse.data.longtail import Explicit, Exponential, LongTailProfile, Step, Zipf
from imgcollapse.data.paper_dogs.source import PaperDogs
from imgcollapse.data.splits import RealData, Splits, split
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
