"""Zips and arrays of strangers: read, left out by name, or refused; nothing is unpacked or run."""

from __future__ import annotations

import io
import json
import os
import stat
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from imgcollapse.core.errors import UserError
from imgcollapse.data import Folder, TorchvisionSet
from imgcollapse.data.archives import Limits
from imgcollapse.data.image_import import load_images

from .refusals import png, refusal

SHAPE, CLASSES = (3, 8, 8), ("cat", "dog")


def zipped(path: Path, *members: tuple[str | zipfile.ZipInfo, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return path


def link(name: str, target: str) -> tuple[zipfile.ZipInfo, bytes]:
    member = zipfile.ZipInfo(name)
    member.create_system = 3
    member.external_attr = (stat.S_IFLNK | 0o777) << 16
    return member, target.encode()


def encrypted(path: Path) -> Path:
    """A zip of which every member says that it is encrypted."""
    data = bytearray(path.read_bytes())
    for mark, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        at = data.find(mark)
        while at >= 0:
            data[at + offset] |= 1
            at = data.find(mark, at + 4)
    path.write_bytes(data)
    return path


def twice(path: Path) -> Path:
    with pytest.warns(UserWarning, match="Duplicate name"):
        return zipped(path, ("a/1.png", png()), ("a/1.png", png(9)))


def left_out(path: Path, **settings) -> dict[str, str]:
    pool = Folder(path=path, size=8, **settings).load()
    found = [remark.partition(": left out, ") for remark in pool.remarks]
    return {name: why for name, is_one, why in found if is_one}


def test_members_that_lead_out_of_a_zip_or_are_no_files_are_listed(tmp_path):
    path = zipped(
        tmp_path / "a.zip",
        ("a/good.png", png()),
        ("../x.png", png()),
        ("/etc/x.png", png()),
        ("a/../../x.png", png()),
        ("a\\..\\x.png", png()),
        ("C:\\x.png", png()),
        link("a/link.png", "/etc/passwd"),
        ("a/nested.zip.png", zipped(tmp_path / "inner.zip", ("b/1.png", png())).read_bytes()),
        ("a/\x1b[31mred\n.png", b"x"),
        ("a/" + "n" * 5000 + ".png", b"x"),
    )
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}
    left = left_out(path)
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")} == before
    assert "points out of the zip" in left["../x.png"]
    assert "points out of the zip" in left["/etc/x.png"]
    assert "points out of the zip" in left["a/../../x.png"]
    assert "link" in left["a/link.png"]
    assert "not a readable" in left["a/nested.zip.png"]
    assert all(len(name) <= 200 and name.isprintable() for name in left)
    assert len(left) == 9


def test_zips_of_the_same_name_twice_and_of_secrets_are_listed(tmp_path):
    left = left_out(twice(tmp_path / "twice.zip"))
    assert left == {"a/1.png": "an earlier file has the same name"}
    secret = encrypted(zipped(tmp_path / "secret.zip", ("a/1.png", png())))
    assert "encrypted" in refusal(Folder(path=secret, size=8).load)


def test_a_zip_of_zeros_is_not_unpacked(tmp_path):
    path = zipped(tmp_path / "a.zip", ("a/good.png", png()), ("a/zeros.png", bytes(50_000_000)))
    tracemalloc.start()
    left = left_out(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert "times its size, over data.max_ratio=200" in left["a/zeros.png"]
    assert peak < 10_000_000
    assert "bytes is over" in left_out(path, max_bytes=1_000_000)["a/zeros.png"]
    assert "not a readable" in left_out(path, max_ratio=10_000)["a/zeros.png"]


def test_zips_of_too_many_or_too_much_are_refused_before_anything_is_read(tmp_path):
    many = zipped(tmp_path / "many.zip", *((f"a/{i}.png", b"") for i in range(3000)))
    said = refusal(Folder(path=many, max_files=2999).load)
    assert "it holds 3,000 files, more than max_files=2999" in said
    total = refusal(
        Folder(path=zipped(tmp_path / "b.zip", ("a/1.png", bytes(10**6))), max_total=10**5).load
    )
    assert "unpack to 1,000,000 bytes, more than max_total=100000" in total
    lied = bytearray(many.read_bytes())
    at = lied.rindex(b"PK\5\6")
    lied[at + 8 : at + 12] = b"\1\0\1\0"  # it says that it has one file
    (tmp_path / "lied.zip").write_bytes(lied)
    assert "more than max_files=10" in refusal(
        Folder(path=tmp_path / "lied.zip", max_files=10).load
    )
    folder = tmp_path / "folder/a"
    folder.mkdir(parents=True)
    for i in range(5):
        (folder / f"{i}.png").write_bytes(png())
    assert "more than max_files=4" in refusal(Folder(path=folder.parent, max_files=4).load)
    said = refusal(Folder(path=folder.parent, max_total=3 * 8 * 8 * 4).load)
    assert "more than data.max_total=768 bytes once decoded" in said


def test_a_zip_cut_or_turned_anywhere_is_read_or_refused(tmp_path):
    whole = zipped(tmp_path / "a.zip", *((f"{k}/{i}.png", png()) for k in "ab" for i in range(3)))
    data = whole.read_bytes()
    read = refused = 0
    for at in np.random.default_rng(0).integers(0, 8 * len(data), 150):
        turned = bytearray(data)
        turned[at // 8] ^= 1 << at % 8
        for broken in (bytes(turned), data[: at // 8]):
            whole.write_bytes(broken)
            try:
                images = Folder(path=whole, size=8).load().train
            except UserError:
                refused += 1
            else:
                read += 1
                assert images.pixels.unique().tolist() == [1, 2, 3]  # the pixels of `png()`
    assert min(read, refused) > 30, "both outcomes are tested"


def test_pipes_devices_and_names_that_cannot_be_are_no_source(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (
        tmp_path / "pipe",
        Path("/dev/zero"),
        Path("a\0b"),
        Path("x" * 300),
        Path("~nobody-at-all/x"),
    ):
        refusal(Folder(path=path).load)
        refusal(load_images, path, SHAPE, CLASSES)


def npy(shape, descr="|u1", data=b"", fortran=False) -> bytes:
    file = io.BytesIO()
    about = {"descr": descr, "fortran_order": fortran, "shape": shape}
    np.lib.format.write_array_header_1_0(file, about)
    return file.getvalue() + data


class Trap:
    def __reduce__(self):
        return exec, ("raise SystemExit('unpickled')",)


def pickled(value) -> bytes:
    file = io.BytesIO()
    np.save(file, np.array([value], dtype=object), allow_pickle=True)
    return file.getvalue()


GOOD = npy((2, 8, 8), data=bytes(128))
ARRAYS = {
    "objects": [("arr_0.npy", pickled(Trap()))],
    "huge": [("arr_0.npy", npy((2**40, 8, 8)))],
    "huger": [("arr_0.npy", npy((2**62, 2**62, 3)))],
    "one huge image": [("arr_0.npy", npy((1, 2**31, 2**31)))],
    "no number": [("arr_0.npy", npy((2, 8, 8)).replace(b"(2, 8, 8)", b"(2, 'x',)"))],
    "negative": [("arr_0.npy", npy((-2, -8, 8)))],
    "code": [("arr_0.npy", npy((2, 8, 8)).replace(b"False", b"1/0  "))],
    "deep": [("arr_0.npy", b"\x93NUMPY\1\0" + (4000).to_bytes(2, "little") + b"(" * 4000)],
    "long header": [("arr_0.npy", b"\x93NUMPY\2\0" + b"\xff\xff\xff\x7f" + b"x" * 99)],
    "floats": [("arr_0.npy", npy((2, 8, 8), "<f8", bytes(1024)))],
    "other end first": [("arr_0.npy", npy((2, 8, 8), ">u2", bytes(256)))],
    "records": [("arr_0.npy", npy((2, 8, 8), [("a", "|u1"), ("b", "|O")], bytes(128)))],
    "lies short": [("arr_0.npy", npy((3, 8, 8), data=bytes(128)))],
    "lies long": [("arr_0.npy", npy((1, 8, 8), data=bytes(128)))],
    "no array": [("arr_0.npy", b"")],
    "twice": [("arr_0.npy", GOOD), ("arr_0.npy", GOOD)],
    "strange name": [("\x1b[2J.npy", b""), ("\u202e.npy", b"")],
}
LABELS = {
    "objects": pickled(Trap()),
    "no characters": npy((2,), "<U1", b"\xff\xff\xff\xff" * 2),
    "half characters": npy((2,), "<U1", b"\0\xd8\0\0" * 2),
    "nothing long": npy((2,), "<U0"),
    "cut": npy((2,), "<i8", bytes(9)),
    "huge": npy((2**40,), "<i8"),
    "large numbers": npy((2,), "<u8", b"\xff" * 16),
    "two axes": npy((2, 2), "<i8", bytes(32)),
    "escapes": npy((2,), "<U5", "\x1b[31m".encode("utf-32-le") * 2),
}


@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")
@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_that_lie_are_refused(tmp_path, name):
    path = zipped(tmp_path / "a.npz", *ARRAYS[name])
    tracemalloc.start()
    said = refusal(load_images, path, SHAPE, CLASSES)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert said.startswith(str(path))
    assert peak < 2**24


@pytest.mark.parametrize("name", LABELS)
def test_labels_that_lie_are_refused_or_not_used(tmp_path, name):
    path = zipped(tmp_path / "a.npz", ("arr_0.npy", GOOD), ("labels.npy", LABELS[name]))
    if name in ("no characters", "cut"):
        assert "cannot be read" in refusal(load_images, path, SHAPE, CLASSES)
    elif name in ("objects", "nothing long", "huge", "two axes"):
        assert "are not read" in refusal(load_images, path, SHAPE, CLASSES)
    else:
        imported = load_images(path, SHAPE, CLASSES)
        assert imported.images.labels.tolist() == [-1, -1]
        assert all(remark.isprintable() for remark in imported.remarks)


def test_npz_limits_hold(tmp_path):
    path = zipped(tmp_path / "a.npz", ("arr_0.npy", GOOD), ("x.npy", bytes(10**6)))
    assert "max_total=1000" in refusal(load_images, path, SHAPE, CLASSES, Limits(max_total=1000))
    assert "max_files=1" in refusal(load_images, path, SHAPE, CLASSES, Limits(max_files=1))


SAFETENSORS = {
    "header too long": b"\xff" * 8,
    "no header": b"",
    "no JSON": (9).to_bytes(8, "little") + b"not JSON!",
    "deep": (5000).to_bytes(8, "little") + b'{"a":' * 1000,
    "out of the file": (70).to_bytes(8, "little")
    + json.dumps({"pixels": {"dtype": "U8", "shape": [9**9], "data_offsets": [0, 9**9]}})
    .encode().ljust(70),
}  # fmt: skip


@pytest.mark.parametrize("name", SAFETENSORS)
def test_broken_safetensors_are_refused(tmp_path, name):
    (tmp_path / "a.safetensors").write_bytes(SAFETENSORS[name])
    refusal(load_images, tmp_path / "a.safetensors", SHAPE, CLASSES)


@pytest.mark.parametrize(
    "labels",
    [
        np.array(3),
        np.array([0.0, np.nan]),
        np.array([[1, 1], [0, 1]]),
        np.array([9, 9**9]),
    ],
)
def test_labels_of_safetensors_that_are_none_are_refused_or_not_used(tmp_path, labels):
    save_file(
        {"pixels": np.zeros((2, 3, 8, 8), np.uint8), "labels": labels}, tmp_path / "a.safetensors"
    )
    if labels.shape != (2,) or labels.dtype == float:
        assert "are not read" in refusal(
            load_images, tmp_path / "a.safetensors", SHAPE, ("0.0", "1.0")
        )
        return
    brought = load_images(tmp_path / "a.safetensors", SHAPE, ("0.0", "1.0"))
    assert (brought.images.labels == -1).all()
    assert "not used" in "".join(brought.remarks)


@pytest.mark.parametrize(
    ("images", "labels"),
    [(b"\0\0\x08\x03" + b"\0\0\0\x02" * 3, b""), (b"\xff\xff\xff\xff", b"\0"), (b"", b""),
     (b"\0\0\x08\x03" + b"\0\0\0\2\0\0\0\4\0\0\0\4" + bytes(32), b"\0\0\x08\x01\0\0\0\3\0\1\2"),
     (b"\0\0\x08\x03" + b"\0\0\0\2\0\0\0\4\0\0\0\4" + bytes(32), b"\0\0\x08\x01\0\0\0\2\0\xfa"),
     (b"\0\0\x01\x03" + b"\0\0\0\2\0\0\0\4\0\0\0\4" + bytes(32), b"\0\0\x08\x01\0\0\0\2\0\1")],
)  # fmt: skip
def test_mnist_files_that_hold_something_else_are_refused(tmp_path, images, labels):
    raw = tmp_path / "MNIST/raw"
    raw.mkdir(parents=True)
    for part in ("train", "t10k"):
        (raw / f"{part}-images-idx3-ubyte").write_bytes(images)
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(labels)
    said = refusal(TorchvisionSet(name="MNIST", root=tmp_path).load)
    assert "holds no complete MNIST" in said
