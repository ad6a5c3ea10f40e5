"""The classification sets that torchvision knows, by their names there."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torchvision.datasets
from pydantic import Field, field_validator
from torch import Tensor
from torchvision.transforms.v2.functional import resize

from imgcollapse.core.errors import UserError
from imgcollapse.data.base import Source, SourceData
from imgcollapse.data.decode import UnusableError, in_threads, quietly, to_array
from imgcollapse.data.file_tree import expand_home
from imgcollapse.data.image_sets import InMemoryImages, stack

Arguments = Mapping[str, Any]
Parts = tuple[Sequence[Arguments], Sequence[Arguments]]
"""Constructor arguments of the training images and of the test images."""


def _split(train: Sequence[str], test: str) -> Parts:
    return [{"split": name} for name in train], [{"split": test}]


_FLAG: Parts = ([{"train": True}], [{"train": False}])
_WHOLE: Parts = ([{}], [])
SETS: dict[str, Parts] = {
    "MNIST": _FLAG,
    "FashionMNIST": _FLAG,
    "KMNIST": _FLAG,
    "EMNIST": (
        [{"split": "balanced", "train": True}],
        [{"split": "balanced", "train": False}],
    ),
    "USPS": _FLAG,
    "CIFAR10": _FLAG,
    "CIFAR100": _FLAG,
    "SVHN": _split(["train"], "test"),
    "STL10": _split(["train"], "test"),
    "OxfordIIITPet": _split(["trainval"], "test"),
    "Flowers102": _split(["train", "val"], "test"),
    "Food101": _split(["train"], "test"),
    "DTD": _split(["train", "val"], "test"),
    "FGVCAircraft": _split(["trainval"], "test"),
    "StanfordCars": _split(["train"], "test"),
    "GTSRB": _split(["train"], "test"),
    "Country211": _split(["train", "valid"], "test"),
    "Imagenette": _split(["train"], "val"),
    "EuroSAT": _WHOLE,
    "Caltech101": _WHOLE,
    "Caltech256": _WHOLE,
    "SUN397": _WHOLE,
}
DIGITS = ("MNIST", "USPS", "SVHN")
"""Sets whose classes are called by their digit."""


class TorchvisionSet(Source):
    """A torchvision classification set.

    Attributes:
        name: its class in torchvision.datasets.
        root: the folder torchvision keeps it in.
        download: fetch it where it is missing.
        size: side of the square every image is scaled and cropped to; None if all are of one size.
    """

    kind: Literal["torchvision"] = "torchvision"
    name: str
    root: Path = Path("data")
    download: bool = False
    size: int | None = Field(default=None, ge=4, le=1024)

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in SETS:
            by_lower = {known.lower(): known for known in SETS}
            near = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.5)
            mend = f"did you mean {by_lower[near[0]]}?" if near else f"use {', '.join(SETS)}"
            raise UserError(f"data.name: no torchvision set {name!r} is known here; {mend}")
        return name

    def load(self) -> SourceData:
        """Open the set.

        Raises:
            UserError: its files are missing or damaged.
        """
        root = expand_home(self.root)
        try:
            train, test = ([self._open(root, each) for each in part] for part in SETS[self.name])
            stocks = [self._stock(part) for part in (train, test) if part]
            classes = _class_names(self.name, train[0], stocks[0].labels)
            for stock in stocks:
                most = 10 if self.name in DIGITS else len(classes)
                if not 0 <= int(stock.labels.min()) <= int(stock.labels.max()) < most:
                    raise ValueError("its labels are not those of its classes")
        except UserError:
            raise
        except Exception as error:  # its readers, given other files, may raise anything
            first = (str(error).splitlines() or [""])[0].partition(". ")[0]
            reason = first or type(error).__name__
            mend = "set data.download=true, or data.root= to the folder that holds it"
            if self.download:
                mend = "see to the network or the folder, or set data.root= to one that holds it"
            raise UserError(
                f"data.root: {root} holds no whole {self.name} ({reason}); {mend}"
            ) from None
        return SourceData(classes, stocks[0], stocks[1] if test else None)

    def _open(self, root: Path, arguments: Arguments) -> Any:
        make = getattr(torchvision.datasets, self.name)
        return make(root=str(root), download=self.download, **arguments)

    def _stock(self, parts: Sequence[Any]) -> InMemoryImages:
        if hasattr(parts[0], "data"):
            (part,) = parts
            labels = torch.as_tensor(part.targets if hasattr(part, "targets") else part.labels)
            return InMemoryImages(self._pixels(part.data), labels.to(torch.int16))
        places = [(part, row) for part in parts for row in range(len(part))]
        with quietly():
            read = in_threads(lambda place: self._read(*place), places)
        images, labels = zip(*read, strict=True)
        return stack(images, labels, f"data: {self.name}")

    def _pixels(self, data: Any) -> Tensor:
        pixels = torch.as_tensor(data)
        if pixels.ndim == 3:
            pixels = pixels[:, None]
        elif pixels.shape[-1] == 3:
            pixels = pixels.permute(0, 3, 1, 2)
        if self.name == "EMNIST":  # its files lie on their side
            pixels = pixels.transpose(2, 3)
        if self.size not in (None, pixels.shape[-1]):
            pixels = resize(pixels, [self.size, self.size], antialias=True)
        return pixels.contiguous()

    def _read(self, part: Any, row: int) -> tuple[np.ndarray, int]:
        try:
            image, label = part[row]
            return to_array(image, self.size, channels=3), int(label)
        except (OSError, SyntaxError, UnusableError) as error:
            raise UserError(
                f"data.root: image {row} of {self.name} in {self.root} cannot be read ({error}); "
                "remove its folder and set data.download=true"
            ) from None


def _class_names(name: str, part: Any, labels: Tensor) -> tuple[str, ...]:
    """Names the set gives its classes, or their numbers where it gives none."""
    given = getattr(part, "classes", None) or getattr(part, "categories", None)
    if given is None or name in DIGITS:
        return tuple(str(label) for label in range(int(labels.max()) + 1))
    return tuple(each if isinstance(each, str) else each[0] for each in given)
