"""The readers, and what must hold whatever they are given: one line, and nothing written."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageCms
from safetensors.numpy import save

from imgcollapse.config.loader import load_study
from imgcollapse.core.errors import UserError
from imgcollapse.curation import Picks, PicksTarget
from imgcollapse.data import Folder
from imgcollapse.data.archives import Limits
from imgcollapse.data.decode import UnusableError, decode, pillow_warnings_off
from imgcollapse.data.image_import import load_images
from imgcollapse.io.pretrained import PretrainedWeights
from imgcollapse.sweeps import load_plan

SHAPE, CLASSES = (3, 8, 8), ("cat", "dog")
SMALL = Limits(2**20, 1000, 2**22, 200)
"""Limits under which a fuzzer gets through many inputs."""


@dataclass(frozen=True)
class Target:
    """A reader of bytes.

    Attributes:
        seeds: valid inputs to start from.
        name: what the file is called.
        read: path of the file => nothing; raises what it must not.
    """

    seeds: Callable[[], list[bytes]]
    name: str
    read: Callable[[Path], object]


def put(target: Target, data: bytes, folder: Path) -> UserError | None:
    """Give a reader bytes; raises where it raises anything but one line, or leaves anything."""
    path = folder / target.name
    path.write_bytes(data)
    before = _listing(folder)
    try:
        target.read(path)
    except UserError as error:
        one_line(error)
        return error
    finally:
        assert _listing(folder) == before, "something was written"
    return None


def one_line(said: UserError | str) -> None:
    """See that what is said is a line, of characters that show."""
    assert str(said).isprintable(), said
    assert len(str(said)) < 3000, said


def _listing(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in sorted(folder.rglob("*"))}


@cache
def pictures() -> list[bytes]:
    """A small image in every format that is read."""
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    picture = Image.fromarray(pixels)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[0x0112] = 6
    made = [
        (picture, "PNG", {"icc_profile": profile}),
        (picture, "PNG", {"exif": exif.tobytes()}),
        (picture, "JPEG", {"exif": exif.tobytes(), "icc_profile": profile}),
        (picture, "JPEG", {"progressive": True}),
        (picture.convert("CMYK"), "JPEG", {}),
        (picture, "WEBP", {"lossless": True}),
        (picture, "WEBP", {"save_all": True, "append_images": [picture.rotate(90)]}),
        (picture, "BMP", {}),
        (picture.quantize(16), "BMP", {}),
        (picture.quantize(16), "GIF", {"save_all": True, "append_images": [picture.rotate(90)]}),
        (picture, "TIFF", {"compression": "tiff_lzw"}),
        (picture, "TIFF", {"compression": "jpeg"}),
        (picture.convert("1"), "TIFF", {"compression": "group4"}),
        (Image.fromarray(pixels[..., 0].astype(np.uint16) * 257), "TIFF", {}),
        (picture, "PPM", {}),
        (picture.convert("1"), "PPM", {}),
        (picture.convert("LA"), "PNG", {}),
    ]
    found = []
    for image, kind, options in made:
        file = io.BytesIO()
        image.save(file, kind, **options)
        found.append(file.getvalue())
    return found


def _image(path: Path) -> object:
    try:
        with pillow_warnings_off():
            for size, channels in ((8, 3), (None, 1)):
                found = decode(path.read_bytes(), size, channels, 1_000_000)
                assert found.dtype == np.uint8
                assert found.ndim == 3
    except UnusableError as error:
        raise UserError(str(error)) from None


@cache
def zips() -> list[bytes]:
    """Zips of images in class folders."""
    found = []
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", method) as archive:
            archive.writestr("cat/", b"")
            for i, data in enumerate(pictures()[:6]):
                archive.writestr(f"{CLASSES[i % 2]}/{i}.png", data)
        found.append(file.getvalue())
    return found


def _zip(path: Path) -> object:
    limits = {name: getattr(SMALL, name) for name in ("max_bytes", "max_files", "max_total")}
    try:
        Folder(path=path, size=8, max_pixels=1_000_000, **limits).load()
    except UserError:
        load_images(path, SHAPE, CLASSES, SMALL)


@cache
def arrays() -> list[bytes]:
    """Arrays of images, with labels."""
    pixels = np.zeros((3, 8, 8, 3), np.uint8)
    found = []
    for write in (np.savez, np.savez_compressed):
        for labels in (np.array(["cat", "dog", "cat"]), np.array([0, 1, -1])):
            file = io.BytesIO()
            write(file, arr_0=pixels, labels=labels)
            found.append(file.getvalue())
    return found


def _arrays(path: Path) -> object:
    brought = load_images(path, SHAPE, CLASSES, SMALL)
    assert brought.images.shape == SHAPE
    return brought


@cache
def tensors() -> list[bytes]:
    """Safetensors of images, with labels."""
    pixels = np.zeros((3, 3, 8, 8), np.uint8)
    return [
        save({"pixels": pixels}),
        save({"pixels": pixels, "labels": np.array([0, 1, -1], np.int16)}),
        save({"pixels": pixels[:, 0], "labels": np.array([1.0, 0.0, 1.0])}, {"made": "here"}),
    ]


SUBJECT = PicksTarget(0, 1, "ab" * 32, 40, CLASSES)


@cache
def verdicts() -> list[bytes]:
    """What people say of a generation."""
    said = {
        "format": 1,
        "lineage": 0,
        "generation": 1,
        "samples": SUBJECT.samples,
        "finished": True,
        "finished_at": 5,
        "picks": {
            "0": {"verdict": "keep", "at": 1},
            "7": {"verdict": "class", "class": "dog", "at": 2},
            "39": {"verdict": None, "at": 3},
        },
    }
    return [json.dumps(said).encode(), json.dumps(said, indent=2).encode()]


def _verdicts(path: Path) -> object:
    picks = Picks.read(path, SUBJECT)
    labels = torch.zeros(SUBJECT.size, dtype=torch.int16)
    picks.merged(picks).clip_times(2).dropped(SUBJECT.size)
    return picks.corrected(labels, CLASSES), picks.named_classes(labels, labels, CLASSES)


STUDIES = (
    "data: {kind: digits}\ngenerator: {kind: resample}\n",
    "seed: 1\nlineages: 2\ngenerations: 3\nsamples: 40\ndata: {kind: paper_dogs, size: 16}\n"
    "longtail: {kind: explicit, counts: {a: 3, b: 2}}\nsplits: {oracle: 60}\n"
    "generator: {kind: ddpm, channels: [8, 16], conditional: true}\nlabels: uniform\n"
    "regime: {kind: real-fraction, fraction: 0.2}\ncuration: [{kind: verifier, keep_share: 0.5}]\n"
    "oracle: {kind: cnn, steps: 8}\nmetrics: {features: oracle, vocabulary: null}\n"
    "smoke:\n  generations: 1\n  generator.steps: 3\n",
    "data: digits\noracle: &o {kind: cnn, steps: 8}\ngenerator: {kind: vae}\n"
    "longtail: {<<: {factor: 8}, kind: exponential}\n",
)
SWEEPS = (
    "study:\n  data: digits\n  generator: resample\n"
    "arms:\n  a: {title: A, seed: 1}\n  b: {seed: 2}\n"
    "grid:\n  generations: [1, 2]\n  regime: [replace, {kind: accumulate}]\n",
)


def _study(path: Path) -> object:
    json.dumps(load_study(path).resolved())
    if b"smoke" in path.read_bytes():
        load_study(path, smoke=True)
    return None


@cache
def weights() -> list[bytes]:
    """State dicts, as torch.save writes them."""
    found = []
    for zipped in (True, False):
        file = io.BytesIO()
        state = {"weight": torch.ones(2, 2), "bias": torch.zeros(2)}
        torch.save(state, file, _use_new_zipfile_serialization=zipped)
        found.append(file.getvalue())
    return found


def _weights(path: Path) -> object:
    source = PretrainedWeights("oracle.weights", path, [], "https://there", "another")
    source.copy_into(torch.nn.Linear(2, 2), source.load_state(), assign=False)


FILES = {
    "image": Target(pictures, "a.png", _image),
    "zip": Target(zips, "a.zip", _zip),
    "npz": Target(arrays, "a.npz", _arrays),
    "safetensors": Target(tensors, "a.safetensors", _arrays),
    "picks": Target(verdicts, "gen_001.json", _verdicts),
    "study": Target(lambda: [text.encode() for text in STUDIES], "study.yaml", _study),
    "sweep": Target(lambda: [text.encode() for text in SWEEPS], "sweep.yaml", load_plan),
    "weights": Target(weights, "w.pth", _weights),
}
"""The readers of a single file, by name."""
