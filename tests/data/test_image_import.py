"""Anybody's images: the same pixels however they are packed, and one line for what is no use."""

from __future__ import annotations

import io
import tracemalloc
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from safetensors.numpy import save_file

from imgcollapse.core.errors import UserError
from imgcollapse.core.images import UNKNOWN, Images
from imgcollapse.data.image_import import load_images

CLASSES = ("cat", "dog")
SHAPE = (3, 8, 8)


def noise(n, height=8, width=8, channels=3):
    shape = (n, height, width, channels)
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def folder(path, pixels, names=None):
    for row, image in enumerate(pixels):
        file = path / (names[row] if names else f"{row:03d}.png")
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image.squeeze()).save(file)
    return path


def zipped(path, top):
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(top.rglob("*.*")):
            archive.write(file, file.relative_to(top.parent))
    return path


def npz(path, **arrays):
    np.savez(path, **arrays)
    return path


def packings(tmp_path, pixels):
    first = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))
    top = folder(tmp_path / "top", pixels)
    save_file({"pixels": first}, tmp_path / "a.safetensors")
    yield from (top, zipped(tmp_path / "a.zip", top), tmp_path / "a.safetensors")
    yield npz(tmp_path / "last.npz", arr_0=pixels)
    yield npz(tmp_path / "first.npz", images=first)
    yield npz(tmp_path / "only.npz", whatever=pixels)
    np.savez_compressed(tmp_path / "packed.npz", pixels)
    yield tmp_path / "packed.npz"
    yield Images(torch.from_numpy(first), torch.full((len(first),), UNKNOWN, dtype=torch.int16))


# As they are; smaller, and to gray; larger and cropped, to RGB; to a shape that is no square.
@pytest.mark.parametrize(
    ("came", "shape"),
    [((8, 8, 3), SHAPE), ((20, 14, 3), (1, 8, 8)), ((5, 6, 1), SHAPE), ((9, 9, 3), (3, 6, 10))],
)
def test_every_packing_gives_the_same_pixels(tmp_path, came, shape):
    pixels = noise(5, *came)
    mode = "L" if shape[0] == 1 else "RGB"
    expected = [Image.fromarray(image.squeeze()).convert(mode) for image in pixels]
    expected = [
        image
        if image.size == (shape[2], shape[1])
        else ImageOps.fit(image, (shape[2], shape[1]), Image.Resampling.BICUBIC)
        for image in expected
    ]
    expected = np.stack([np.array(image).reshape(*shape[1:], shape[0]) for image in expected])
    for source in packings(tmp_path, pixels):
        brought = load_images(source, shape, CLASSES)
        assert torch.equal(brought.images.pixels, torch.from_numpy(expected).permute(0, 3, 1, 2))
        assert brought.images.pixels.is_contiguous()
        assert (brought.images.labels == UNKNOWN).all()
        said = " ".join(brought.remarks)
        assert ("5 of 5 images scaled and cropped" in said) == (came[:2] != shape[1:])
        assert ("5 of 5 images converted from" in said) == (came[2] != shape[0])


def test_gray_arrays_need_no_channel_axis(tmp_path):
    pixels = noise(3, channels=1)
    brought = load_images(npz(tmp_path / "a.npz", arr_0=pixels[..., 0]), (1, 8, 8), CLASSES)
    assert torch.equal(brought.images.pixels[:, 0], torch.from_numpy(pixels[..., 0]))


def test_adm_reference_files_open(tmp_path):
    path = npz(
        tmp_path / "VIRTUAL_cats.npz",
        mu=np.zeros(4),
        sigma=np.eye(4),
        arr_0=noise(4),
        arr_1=np.array([0, 1, 1, 0]),
    )
    brought = load_images(path, SHAPE, CLASSES)
    assert brought.images.labels.tolist() == [0, 1, 1, 0]
    assert brought.remarks == ("labels: used as class numbers of the study, where 0 is cat",)


@pytest.mark.parametrize(
    ("labels", "classes", "expected", "remark"),
    [
        (["dog", "cat"], CLASSES, [1, 0], ""),
        ([3, 7], ("7", "3"), [1, 0], ""),  # a digit is called by its name, not by its rank
        ([1, -1], CLASSES, [1, -1], "used as class numbers"),
        ([0, 207], CLASSES, [-1, -1], "207 is not a class"),
        (["dog", "owl"], CLASSES, [-1, -1], "owl is not a class"),
        ([[1], [0]], CLASSES, [1, 0], "used as class numbers"),
        ([[0, 1], [1, 0]], CLASSES, [1, 0], "used as class numbers"),
        ([1.0, 0.0], CLASSES, [1, 0], "used as class numbers"),
        ([True, False], CLASSES, [1, 0], "used as class numbers"),
        ([b"dog", b"cat"], CLASSES, [1, 0], ""),
    ],
)
def test_labels_of_an_npz(tmp_path, labels, classes, expected, remark):
    path = npz(tmp_path / "a.npz", images=noise(2), labels=np.array(labels))
    brought = load_images(path, SHAPE, classes)
    assert brought.images.labels.tolist() == expected
    assert remark in "".join(brought.remarks)
    assert bool(remark) == bool(brought.remarks)


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ([0, 1, 0], "3 labels for 2 images"),
        ([0.5, 1.0], "float64 and shape"),
        ([[0, 1, 1], [1, 0, 0]], "shape"),
        ([{}, {}], "object"),
    ],
)
def test_labels_in_no_usual_form_are_refused(tmp_path, labels, said):
    path = npz(tmp_path / "a.npz", images=noise(2), labels=np.array(labels))
    with pytest.raises(UserError, match=said):
        load_images(path, SHAPE, CLASSES)


@pytest.mark.parametrize("key", ["label", "y", "targets"])
def test_labels_under_a_usual_name(tmp_path, key):
    path = npz(tmp_path / "a.npz", **{"x": noise(2), key: np.array([[1], [0]])})
    assert load_images(path, SHAPE, CLASSES).images.labels.tolist() == [1, 0]


def test_labels_of_a_safetensors_are_class_numbers(tmp_path):
    labels = np.array([1, 0, -1], dtype=np.int16)
    save_file({"pixels": noise(3).transpose(0, 3, 1, 2).copy(), "labels": labels}, tmp_path / "a")
    (tmp_path / "a").rename(tmp_path / "a.safetensors")
    brought = load_images(tmp_path / "a.safetensors", SHAPE, ("1", "0"))
    assert brought.images.labels.tolist() == [1, 0, -1]


def test_class_folders_say_what_was_asked(tmp_path):
    names = ["samples/cat/1.png", "samples/dog/deep/2.png", "samples/dog/3.png"]
    top = folder(tmp_path / "whole", noise(3), names)
    assert load_images(top, SHAPE, CLASSES).images.labels.tolist() == [0, 1, 1]
    assert load_images(top, SHAPE, ("owl", "eel")).images.labels.tolist() == [UNKNOWN] * 3

    folder(top, noise(1), ["4.png"])
    brought = load_images(top, SHAPE, CLASSES)
    assert brought.images.labels.tolist() == [UNKNOWN] * 4
    assert "1 of 4 images are in no folder named like a class" in brought.remarks[0]


def test_what_cannot_be_used_is_left_out_and_named(tmp_path):
    good = io.BytesIO()
    Image.fromarray(noise(1)[0]).save(good, "PNG")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("good.png", good.getvalue())
        archive.writestr("../outside.png", good.getvalue())
        for name in range(12):
            archive.writestr(f"bad{name}.png", good.getvalue()[: 30 + name])
    brought = load_images(tmp_path / "a.zip", SHAPE, CLASSES)
    assert torch.equal(brought.images.pixels[0].permute(1, 2, 0), torch.from_numpy(noise(1)[0]))
    said = "\n".join(brought.remarks)
    assert "../outside.png: left out" in said
    assert "12 of 13 images cannot be used" in said
    assert said.count(".png: left out") == 11
    assert "and 2 more left out" in said


class Bomb:
    def __reduce__(self):
        return (exec, ("raise SystemExit('unpickled')",))


def header(shape, data=b""):
    file = io.BytesIO()
    about = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, about)
    return file.getvalue() + data


def raw_npz(path, member):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("arr_0.npy", member)
    return path


def bad_crc(path):
    npz(path, arr_0=noise(2))
    data = bytearray(path.read_bytes())
    data[200] ^= 1
    path.write_bytes(data)
    return path


BAD = {
    "missing": (lambda p: p / "none", "does not exist"),
    "name too long": (lambda p: p / ("x" * 300), "does not exist"),
    "empty folder": (lambda p: p, "holds no images"),
    "text": (lambda p: (p / "a.txt", (p / "a.txt").write_text("x"))[0], "is not a folder, zip"),
    "damaged npz": (
        lambda p: (p / "a.npz", (p / "a.npz").write_text("x"))[0],
        r"cannot be read \(File is not a zip",
    ),
    "damaged safetensors": (
        lambda p: (p / "a.safetensors", (p / "a.safetensors").write_text("x"))[0],
        "cannot be read",
    ),
    "no pixels": (
        lambda p: (p / "a.safetensors", save_file({"x": noise(1)}, p / "a.safetensors"))[0],
        "holds x, but no pixels",
    ),
    "no key": (lambda p: npz(p / "a.npz", u=noise(1), v=noise(1)), "holds u, v, but no arr_0"),
    "empty npz": (lambda p: npz(p / "a.npz"), "holds nothing, but no arr_0"),
    "floats": (lambda p: npz(p / "a.npz", arr_0=noise(2) / 255), "are float64, not uint8"),
    "pickle": (lambda p: npz(p / "a.npz", arr_0=np.array([Bomb()])), "are object, not uint8"),
    "pickled labels": (
        lambda p: npz(p / "a.npz", arr_0=noise(2) / 255, labels=np.array([Bomb()])),
        "labels of type object and shape",
    ),
    "flat": (
        lambda p: npz(p / "a.npz", arr_0=noise(2).reshape(2, -1)),
        r"\[2, 192\] is not \[",
    ),
    "channels": (lambda p: npz(p / "a.npz", arr_0=noise(2, channels=5)), "is not \\[N, H, W\\]"),
    "no rows": (lambda p: npz(p / "a.npz", arr_0=noise(0)), "holds no images"),
    "no width": (lambda p: npz(p / "a.npz", arr_0=noise(2)[:, :, :0]), "holds no images"),
    "negative": (lambda p: raw_npz(p / "a.npz", header((-1, 8, 8))), "holds no images"),
    "cut": (lambda p: raw_npz(p / "a.npz", header((3, 8, 8), b"x" * 99)), "ends early"),
    "too long": (lambda p: raw_npz(p / "a.npz", header((1, 8, 8), b"x" * 65)), "longer than"),
    "flipped bit": (lambda p: bad_crc(p / "a.npz"), "Bad CRC-32"),
    "too many": (lambda p: raw_npz(p / "a.npz", header((10**12, 8, 8))), "fit into memory"),
    "too large": (lambda p: raw_npz(p / "a.npz", header((1, 10**6, 10**6))), "scale them down"),
    "Fortran": (
        lambda p: npz(p / "a.npz", arr_0=np.asfortranarray(noise(4))),
        "ascontiguousarray",
    ),
    "only bad": (
        lambda p: (p, (p / "a.png").write_text("x"))[0],
        r"none of 1 images can be used \(a.png: left out, not a readable",
    ),
    "damaged zip": (
        lambda p: (p / "a.zip", (p / "a.zip").write_bytes(b"PK\5\6" + b"\xff" * 18))[0],
        "a.zip",
    ),
    "run folder": (
        lambda p: (
            p,
            (p / "lineage_000/gen_001").mkdir(parents=True),
            (p / "lineage_000/gen_001/samples.safetensors").touch(),
        )[0],
        "name one generation of it",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line(tmp_path, case):
    make, said = BAD[case]
    with pytest.raises(UserError, match=said) as raised:
        load_images(make(tmp_path), SHAPE, CLASSES)
    message = str(raised.value)
    assert "\n" not in message
    assert str(tmp_path) in message
    assert "data.path" not in message


def test_no_images_in_memory():
    nothing = Images(torch.empty(0, 3, 8, 8, dtype=torch.uint8), torch.empty(0, dtype=torch.int16))
    with pytest.raises(UserError, match="there are none"):
        load_images(nothing, SHAPE, CLASSES)


def test_large_images_are_read_a_few_at_a_time(tmp_path):
    pixels = np.zeros((40, 2048, 2048, 1), np.uint8)
    np.savez_compressed(tmp_path / "a.npz", pixels)
    del pixels
    tracemalloc.start()
    brought = load_images(tmp_path / "a.npz", (1, 8, 8), CLASSES)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert brought.images.pixels.shape == (40, 1, 8, 8)
    # Three blocks of 2^24 bytes at most: the one in use, the one being read, and zipfile's own;
    # the fifth of a block is for the images that threads are at. The file holds ten blocks.
    assert peak < 3.2 * 2**24 < 40 * 2**22
