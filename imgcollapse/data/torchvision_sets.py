"""Source: the classification data sets of torchvision, by their class names there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
import torchvision.datasets
from pydantic import Field, field_validator
from torch import Tensor
from torchvision.transforms.v2.functional import resize

from imgcollapse.core.components import Setting
from imgcollapse.core.errors import UserError
from imgcollapse.core.sanitize import did_you_mean, first_line
from imgcollapse.data.base import InMemoryImages, Source, SourceData, stack_images
from imgcollapse.data.decode import UnusableError, map_threads, pillow_warnings_off, to_array
from imgcollapse.data.file_tree import expand_home

Arguments = Mapping[str, Any]
SetArguments = tuple[Sequence[Arguments], Sequence[Arguments]]
"""Constructor arguments of the training images and of the test images."""


def _split(train: Sequence[str], test: str) -> SetArguments:
    return [{"split": name} for name in train], [{"split": test}]


_FLAG: SetArguments = ([{"train": True}], [{"train": False}])
_WHOLE: SetArguments = ([{}], [])
SETS: dict[str, SetArguments] = {
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
"""Sets whose class names are their digits."""


class TorchvisionSet(Source):
    """A classification data set of torchvision.

    Attributes:
        name: its class in torchvision.datasets.
        root: the folder that torchvision stores it in.
        download: download it if it is missing.
        size: side of the square every image is scaled and cropped to; None if all have one size.
    """

    kind: Literal["torchvision"] = "torchvision"
    name: str
    root: Annotated[Path, Setting((), ("run", "evaluate"))] = Path("data")
    download: Annotated[bool, Setting((), ("run", "evaluate"))] = False
    size: int | None = Field(default=None, ge=4, le=1024)

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in SETS:
            raise UserError(
                f"data.name: {name!r} is not a supported torchvision set; "
                f"{did_you_mean(name, SETS)}"
            )
        return name

    def load(self) -> SourceData:
        """Load the set.

        Raises:
            UserError: its files are missing or damaged.
        """
        root = expand_home(self.root)
        try:
            train, test = (
                [self._open(root, arguments) for arguments in part] for part in SETS[self.name]
            )
            image_sets = [self._images(part) for part in (train, test) if part]
            classes = _class_names(self.name, train[0], image_sets[0].labels)
            for images in image_sets:
                most = 10 if self.name in DIGITS else len(classes)
                if not 0 <= int(images.labels.min()) <= int(images.labels.max()) < most:
                    raise ValueError("its labels are not those of its classes")
        except UserError:
            raise
        except Exception as error:  # torchvision's readers may raise anything on other files
            reason = first_line(error).partition(". ")[0]
            fix = "set data.download=true, or data.root= to the folder that holds it"
            if self.download:
                fix = "check the network and the folder, or set data.root= to one that holds it"
            raise UserError(
                f"data.root: {root} holds no complete {self.name} ({reason}); {fix}"
            ) from None
        return SourceData(classes, image_sets[0], image_sets[1] if test else None)

    def _open(self, root: Path, arguments: Arguments) -> Any:
        data_set = getattr(torchvision.datasets, self.name)
        return data_set(root=str(root), download=self.download, **arguments)

    def _images(self, parts: Sequence[Any]) -> InMemoryImages:
        if hasattr(parts[0], "data"):
            (part,) = parts
            labels = torch.as_tensor(part.targets if hasattr(part, "targets") else part.labels)
            return InMemoryImages(self._pixels(part.data), labels.to(torch.int16))
        items = [(part, row) for part in parts for row in range(len(part))]
        with pillow_warnings_off():
            decoded = map_threads(lambda item: self._read(*item), items)
        images, labels = zip(*decoded, strict=True)
        return stack_images(images, labels, f"data: {self.name}")

    def _pixels(self, data: Any) -> Tensor:
        pixels = torch.as_tensor(data)
        if pixels.ndim == 3:
            pixels = pixels[:, None]
        elif pixels.shape[-1] == 3:
            pixels = pixels.permute(0, 3, 1, 2)
        if self.name == "EMNIST":  # its images are stored transposed
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
    """The set's class names, or the class numbers if it has no names."""
    given = getattr(part, "classes", None) or getattr(part, "categories", None)
    if given is None or name in DIGITS:
        return tuple(str(label) for label in range(int(labels.max()) + 1))
    return tuple(name if isinstance(name, str) else name[0] for name in given)
