"""Random trees out of the layouts in data/README.md: the reading is the truth, or a refusal."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import numpy as np
import pytest

from imgcollapse.core.errors import UserError
from imgcollapse.data.archives import DEFAULT
from imgcollapse.data.file_tree import open_tree
from imgcollapse.data.layout import read_layout

from .test_layout import CLUTTER, lay, tarred, zipped

# Folder of a class ({k}) for training, for testing, and folders of images without a class.
LAYOUTS = {
    "Stanford Dogs": ("Images/{k}", [], []),
    "Caltech-101": ("101_ObjectCategories/{k}", [], []),
    "Caltech-256": ("256_ObjectCategories/{k}", [], []),
    "Flowers Recognition": ("flowers/{k}", [], []),
    "Intel Image": ("seg_train/seg_train/{k}", ["seg_test/seg_test/{k}"], ["seg_pred/seg_pred"]),
    "Cats and Dogs": ("training_set/training_set/{k}", ["test_set/test_set/{k}"], []),
    "Chest X-Ray": ("chest_xray/train/{k}", ["chest_xray/test/{k}", "chest_xray/val/{k}"], []),
    "ASL Alphabet": (
        "asl_alphabet_train/asl_alphabet_train/{k}",
        [],
        ["asl_alphabet_test/asl_alphabet_test"],
    ),
    "Fruits-360": ("fruits-360/Training/{k}", ["fruits-360/Test/{k}"], []),
    "Tiny ImageNet": ("tiny/train/{k}/images", [], ["tiny/val/images", "tiny/test/images"]),
    "Imagenette": ("imagenette2/train/{k}", ["imagenette2/val/{k}"], []),
    "ImageNet": ("ILSVRC2012_img_train/{k}", ["ILSVRC2012_img_val/{k}"], []),
    "CUB-200": ("CUB/images/{k}", [], ["CUB/segmentations/{k}"]),
    "EuroSAT": ("2750/{k}", [], []),
    "UC Merced": ("UCMerced_LandUse/Images/{k}", [], []),
    "Food-101": ("food-101/images/{k}", [], []),
    "MNIST as PNG": ("mnist_png/training/{k}", ["mnist_png/testing/{k}"], []),
    "CIFAR-10 as PNG": ("cifar10/train/{k}", ["cifar10/test/{k}"], []),
}
# Those whose folders leave more than one reading, or state no class.
REFUSED = {
    "SUN397": ["a/{k}", "b/other", "b/more", "a/one"],
    "PACS": ["photo/{k}", "sketch/{k}"],
    "Oxford Pets": ["images", "annotations/trimaps"],
    "COCO": ["train2017", "val2017"],
    "MVTec AD": ["{k}/train/good", "{k}/test/good", "{k}/test/broken"],
    "Dogs vs. Cats": ["train", "test1"],
}
NAMES = (
    *("train", "test", "valid", "images", "mask", "data", "NA", "007", "Cat", "cat", "true", "犬"),
    *("n02085620-Chihuahua", "St. Bernard", "001.ak47", "0", "1", "10", "car train", "unlabeled"),
)
EXTRA = {"README.md": b"", "Annotation/0/x.xml": b"", ".DS_Store": b"", "meta/classes.txt": b""}
PACKINGS = ("plain", "zip", "tar", "tgz", "linked")


def pack(folder: Path, files: dict[str, bytes], packing: str) -> Path:
    if packing == "zip":
        return zipped(folder / "a.zip", files)
    if packing in ("tar", "tgz"):
        return tarred(folder / f"a.{packing}", files)
    top = lay(folder / "plain", files)
    if packing == "plain":
        return top
    linked = folder / "linked"
    for name in files:  # each folder of files is a link to one elsewhere
        place = linked / Path(name).parent
        if not place.exists() and not any((linked / p).is_symlink() for p in Path(name).parents):
            place.parent.mkdir(parents=True, exist_ok=True)
            below = [other for other in files if other.startswith(f"{Path(name).parent}/")]
            if Path(name).parent != Path() and all(n.count("/") == name.count("/") for n in below):
                place.symlink_to(os.path.abspath(top / Path(name).parent))  # noqa: PTH100
        if not (linked / name).exists():
            (linked / name).parent.mkdir(parents=True, exist_ok=True)
            (linked / name).symlink_to(top / name)
    return linked


def read(path: Path) -> set[tuple[str, str, str]]:
    """(split, class, path) of every image that is read."""
    with open_tree(path, DEFAULT) as tree:
        layout = read_layout(tree.files, tree.folders, "data.path: x")
    return {(f.part, layout.classes[f.label], "/".join(f.path)) for f in layout.files}


def draw(rng: np.random.Generator) -> tuple[str, dict[str, bytes], set[tuple[str, str, str]]]:
    """A layout's name, its files, and what is the truth about them."""
    name = str(rng.choice([*LAYOUTS, *REFUSED]))
    classes = [str(k) for k in rng.choice(NAMES, rng.integers(2, 6), replace=False)]
    wrapper = str(rng.choice(["", "", "archive/", "a/b/"]))
    files, truth = {}, set()

    def fill(template: str, split: str = "") -> None:
        for k in classes if "{k}" in template else [""]:
            for i in range(rng.integers(1, 4)):
                path = f"{wrapper}{template.format(k=k)}/{i}{rng.choice(['.png', '.JPG'])}"
                files[path] = b""
                if split:
                    truth.add((split, k, path))

    if name in REFUSED:
        for template in REFUSED[name]:
            fill(template)
    else:
        train, tests, others = LAYOUTS[name]
        fill(train, "train")
        for template in tests:
            fill(template, "test")
        for template in others:
            fill(template)
    first = next(iter(files)).removeprefix(wrapper).rpartition("/")[0]
    for clutter in rng.choice(CLUTTER, rng.integers(0, 4), replace=False):
        files[wrapper + clutter.replace("pug/", f"{first}/")] = b""
    for extra in rng.choice(list(EXTRA), rng.integers(0, 3), replace=False):
        files[wrapper + extra] = b""
    return name, files, truth


def check(folder: Path, seeds: range) -> None:
    outcomes: dict[str, list[bool]] = {name: [] for name in (*LAYOUTS, *REFUSED)}
    refusals: list[str] = []
    for seed, packing in zip(seeds, itertools.cycle(PACKINGS), strict=False):
        name, files, truth = draw(np.random.default_rng(seed))
        place = folder / str(seed)
        place.mkdir()
        try:
            found = read(pack(place, files, packing))
        except UserError as error:
            refusals.append(f"{seed} {name}: {error}")
            outcomes[name].append(False)
        else:
            assert found == truth, (seed, name, packing, sorted(files))
            outcomes[name].append(True)
    assert not [refusal for refusal in refusals if "data.layout" not in refusal]
    for name, read_at in outcomes.items():
        assert name in REFUSED or 2 * sum(read_at) > len(read_at), f"{name} is mostly refused"


def test_a_random_tree_is_read_as_what_it_is_or_refused(tmp_path):
    check(tmp_path, range(300))


@pytest.mark.slow
def test_two_thousand_random_trees(tmp_path):
    check(tmp_path, range(2000))
