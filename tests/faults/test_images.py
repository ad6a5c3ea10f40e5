"""Each image that is given is read as what it shows, or left out by name: none in silence."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from imgcollapse.core.sanitize import one_line
from imgcollapse.data import Folder
from imgcollapse.data.image_import import load_images

from .specimens import ANY, LISTED, SIDE, Specimen, bombs, noise, png_of, thousand


def lay(top: Path, specimens: list[Specimen]) -> Path:
    (top / "odd").mkdir(parents=True)
    for specimen in specimens:
        (top / "odd" / specimen.name).write_bytes(specimen.data)
    return top


def pack(path: Path, specimens: list[Specimen]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for specimen in specimens:
            archive.writestr(f"odd/{specimen.name}", specimen.data)
    return path


def read(path: Path) -> tuple[list[np.ndarray], dict[str, str]]:
    """The images in the order of the folder, and what is said of each that is left out."""
    pool = Folder(path=path, size=SIDE).load()
    pixels = pool.train.read(torch.arange(len(pool.train.labels)))
    left = {name.removeprefix("odd/"): why for _, name, why in pool.passed_over}
    return list(pixels.permute(0, 2, 3, 1).numpy()), left


def complaint(specimen: Specimen, pixels: np.ndarray | None) -> str | None:
    """What is wrong with what a reader made of a specimen, or None."""
    if pixels is None:
        told = specimen.truth in (LISTED, ANY) if isinstance(specimen.truth, str) else False
        return None if told or specimen.or_listed else "is whole and was left out"
    if isinstance(specimen.truth, str):
        return "is broken and was read" if specimen.truth == LISTED else None
    far = np.abs(pixels.astype(int) - specimen.truth).max()
    return None if far <= specimen.within else f"was read {far} levels from the truth"


@pytest.fixture(scope="module")
def given() -> list[Specimen]:
    specimens = thousand()
    assert len(specimens) == 1000
    assert len({specimen.name for specimen in specimens}) == 1000
    return specimens


@pytest.mark.parametrize("zipped", [False, True])
def test_a_thousand_images_are_read_as_they_are_or_listed(tmp_path, given, zipped):
    path = pack(tmp_path / "a.zip", given) if zipped else lay(tmp_path / "top", given)
    images, left = read(path)
    assert len(images) + len(left) == 1000
    assert all(why and why.isprintable() for why in left.values())
    order = {one_line(specimen.name): specimen for specimen in given}
    assert set(left) <= set(order)
    # The pool has no names: the order of the folder's own remains, less what was left out.
    from imgcollapse.data.layout import natural_key

    kept = sorted(
        (s for s in given if one_line(s.name) not in left),
        key=lambda s: natural_key("odd/" + s.name),
    )
    wrong = [
        f"{s.name}: {said}" for s, p in zip(kept, images, strict=True) if (said := complaint(s, p))
    ]
    wrong += [
        f"{name}: {said} ({left[name]})" for name in left if (said := complaint(order[name], None))
    ]
    assert not wrong, wrong[:10]


def test_anybodys_thousand_images_add_up(tmp_path, given):
    brought = load_images(lay(tmp_path / "top", given), (3, SIDE, SIDE), ("odd", "even"))
    said = next(line for line in brought.remarks if "cannot be used" in line)
    left = int(said.split()[0].replace(",", ""))
    assert said.startswith(f"{left} of 1,000 images")
    assert len(brought.images) + left == 1000


CHILD = """
import resource, sys
from pathlib import Path
from imgcollapse.core.errors import UserError
from imgcollapse.data import Folder
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
Folder(path=Path(sys.argv[1]) / "plain", size=16).load()
before = peak()
for name in sys.argv[2:]:
    try:
        Folder(path=Path(sys.argv[1]) / name, size=16, max_pixels=int(4e6)).load()
    except UserError as error:
        print(error)
print(peak() - before)
"""


def test_bombs_take_no_more_memory_than_the_largest_image(tmp_path):
    draw = np.random.default_rng(0)
    from PIL import Image

    from .specimens import file

    plain = Specimen("plain.png", file(Image.fromarray(noise(draw)), "PNG"), noise(draw))
    lay(tmp_path / "plain", [plain])
    large = [Specimen(f"{i}.png", png_of(2000, 2000, 2000), ANY) for i in range(12)]
    lay(tmp_path / "large", large)
    lay(tmp_path / "bombs", [*bombs(), plain])
    with zipfile.ZipFile(tmp_path / "zeros.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/0.png", plain.data)
        for i in range(3):
            archive.writestr(f"a/zeros-{i}.png", bytes(60_000_000))
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(tmp_path), "large", "bombs", "zeros.zip"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    # Two threads and more, each at an image of 4 million pixels of 20 bytes: what their decoder,
    # its white ground and the array take.
    threads = min(16, os.cpu_count() or 1)
    assert int(done.stdout.split()[-1]) < 100 + 80 * threads, done.stdout
