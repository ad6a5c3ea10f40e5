"""Layouts of published data sets and their clutter: read as what they are, or refused."""

from __future__ import annotations

import gzip
import io
import struct
import tarfile
import zipfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, PngImagePlugin

from imgcollapse.core.errors import UserError
from imgcollapse.data import Folder
from imgcollapse.data.base import SourceData
from imgcollapse.data.summary import describe, summarize


def picture(number: int) -> bytes:
    """A PNG whose first pixel is its number."""
    data = io.BytesIO()
    Image.new("RGB", (8, 8), (number % 256, number // 256, 7)).save(data, "PNG")
    return data.getvalue()


def tree(*folders: str, each: int = 2) -> dict[str, bytes]:
    """So many different pictures in each folder."""
    names = [f"{folder}/{i}.png" for folder in folders for i in range(each)]
    return {name: picture(number) for number, name in enumerate(names)}


def lay(top: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_bytes(data)
    return top


def zipped(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def tarred(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz" if path.suffix in (".gz", ".tgz") else "w") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def packings(folder: Path, files: dict[str, bytes]) -> list[Path]:
    folder.mkdir(exist_ok=True)
    tars = [tarred(folder / name, files) for name in ("a.tar", "a.tar.gz", "a.tgz")]
    return [lay(folder / "plain", files), zipped(folder / "a.zip", files), *tars]


def numbers(images) -> list[int]:
    """The numbers of a set's pictures."""
    pixels = images.read(torch.arange(len(images.labels)))[:, :2, 0, 0].long()
    return (pixels[:, 0] + 256 * pixels[:, 1]).tolist()


def counts(data: SourceData) -> dict[str, list[int]]:
    """How many training images each class has and, where there is a test set, test images."""
    sets = [data.train, *([data.test] if data.test else [])]
    return {
        name: [int((images.labels == label).sum()) for images in sets]
        for label, name in enumerate(data.classes)
    }


def read(path: Path, **settings) -> SourceData:
    return Folder(path=path, **settings).load()


READ = {
    "one level too high": (
        [f"{s}/{s}/{k}" for s in ("training_set", "test_set") for k in ("cats", "dogs")],
        {"cats": [2, 2], "dogs": [2, 2]},
    ),
    "seg": (
        [f"archive/{s}/{s}/{k}" for s in ("seg_train", "seg_test") for k in ("forest", "sea")]
        + ["archive/seg_pred/seg_pred"],
        {"forest": [2, 2], "sea": [2, 2]},
    ),
    "ILSVRC": (
        [f"{s}/{k}" for s in ("ILSVRC2012_img_train", "ILSVRC2012_img_val") for k in ("n1", "n2")],
        {"n1": [2, 2], "n2": [2, 2]},
    ),
    "asl": (
        [f"asl_alphabet_train/asl_alphabet_train/{k}" for k in "AB"]
        + ["asl_alphabet_test/asl_alphabet_test"],
        {"A": [2], "B": [2]},
    ),
    "chest x-ray, packed twice": (
        [f"chest_xray/{s}/{k}" for s in ("train", "val", "test") for k in ("NORMAL", "PNEUMONIA")]
        + [f"chest_xray/chest_xray/train/{k}" for k in ("NORMAL", "PNEUMONIA")],
        {"NORMAL": [2, 4], "PNEUMONIA": [2, 4]},
    ),
    "images within each class": (
        [f"train/{k}/images" for k in ("n01", "n02")],
        {"n01": [2], "n02": [2]},
    ),
    "segmentations beside images": (
        [f"CUB/{s}/{k}" for s in ("images", "segmentations") for k in ("001.Crow", "002.Gull")],
        {"001.Crow": [2], "002.Gull": [2]},
    ),
    "a class called train": (["car", "bus", "train"], {"bus": [2], "car": [2], "train": [2]}),
    "classes valid and invalid": (["valid", "invalid"], {"invalid": [2], "valid": [2]}),
}


@pytest.mark.parametrize("name", READ)
def test_layouts_are_read_however_they_are_packed(tmp_path, name):
    folders, expected = READ[name]
    files = tree(*folders)
    found = [read(path) for path in packings(tmp_path / "x", files)]
    for data in found:
        assert counts(data) == expected
        assert numbers(data.train) == numbers(found[0].train)
        assert sorted(data.passed_over) == sorted(found[0].passed_over)
        assert data.remarks == found[0].remarks


def test_unlabeled_extras_are_one_line(tmp_path):
    files = tree("seg_train/seg_train/forest", "seg_train/seg_train/sea", "seg_pred/seg_pred")
    data = read(lay(tmp_path, files))
    assert data.remarks == (
        "seg_train/seg_train: read as the train images",
        "2 images in no class folder of a split left out: seg_pred/seg_pred/0.png",
    )
    assert data.layout == "a train folder"


REFUSED = {
    "splits without classes": (["train", "test"], "look like splits without class folders"),
    "a class train with two folders": (["car", "bus", "train/steam", "train/diesel"], "may be a"),
    "COCO": (["train2017", "val2017"], "look like splits without"),
    "YOLO": (["train/images", "valid/images"], "look like splits without"),
    "masks": (["images", "masks"], "called like parts of a data set"),
    "pets": (["images", "annotations/trimaps"], "called like parts of a data set"),
    "domains": ([f"{d}/{k}" for d in ("art", "photo") for k in ("cat", "dog")], "either level"),
    "superclasses": (["animal/cat", "animal/dog", "vehicle/car", "vehicle/bus"], "either level"),
    "splits in classes": ([f"{k}/{s}" for k in "ab" for s in ("train", "test")], "either level"),
    "test and validation": (["test/a", "test/b", "val/a", "val/b"], "without a train folder"),
    "train beside docs": (["train/cat", "train/dog", "docs"], "may be a split or a class"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_more_than_one_reading_is_refused_with_the_setting_that_decides(tmp_path, name):
    folders, said = REFUSED[name]
    for path in packings(tmp_path / "x", tree(*folders)):
        with pytest.raises(UserError, match=said) as refused:
            read(path)
        assert "data.layout=classes" in str(refused.value)


def test_the_setting_decides(tmp_path):
    top = lay(tmp_path / "a", tree("car", "bus", "train/steam", "train/diesel"))
    assert counts(read(top, layout="classes")) == {"bus": [2], "car": [2], "train": [4]}
    leaves = {"bus": [2], "car": [2], "diesel": [2], "steam": [2]}
    assert counts(read(top, layout="leaves")) == leaves
    assert counts(read(top, layout="splits")) == {"diesel": [2], "steam": [2]}
    flat = lay(tmp_path / "b", tree("train", "test"))
    assert counts(read(flat, layout="classes")) == {"test": [2], "train": [2]}
    with pytest.raises(UserError, match="no folders called train and test"):
        read(lay(tmp_path / "c", tree("cat", "dog")), layout="splits")


def test_links_to_one_folder_are_read_and_circles_passed_over(tmp_path):
    lay(tmp_path, tree("d/cat", "d/dog"))
    for part in ("train", "test"):
        (tmp_path / "x" / part).mkdir(parents=True)
        for name in ("cat", "dog"):
            (tmp_path / "x" / part / name).symlink_to(tmp_path / "d" / name)
    (tmp_path / "d/dog/round").symlink_to(tmp_path / "d/dog")
    data = read(tmp_path / "x")
    assert counts(data) == {"cat": [2, 2], "dog": [2, 2]}
    assert any("4 images are copies of others (4 of test images that" in r for r in data.remarks)
    (tmp_path / "y").mkdir()
    for name in ("kitten", "puss"):
        (tmp_path / "y" / name).symlink_to(tmp_path / "d/cat")
    data = read(tmp_path / "y")
    assert counts(data) == {"kitten": [2], "puss": [2]}
    assert "2 of them in several classes" in data.remarks[-1]


CLUTTER = [
    "pug/@eaDir/0.png/SYNOPHOTO_THUMB_S.jpg",
    "@EADIR/1.png",
    "$Recycle.Bin/S-1/2.png",
    "System Volume Information/3.png",
    "lost+found/4.png",
    "pug/.picasaoriginals/0.png",
    "pug/Thumbnails/0.png",
    "My Previews.lrdata/1/0.jpg",
    "__macosx/pug/._0.png",
    "pug/._0.png",
    ".ipynb_checkpoints/0-checkpoint.png",
    "#recycle/0.png",
]


def test_clutter_of_systems_is_passed_over_at_any_depth(tmp_path):
    files = tree("pug", "corgi", each=3) | dict.fromkeys(CLUTTER, picture(999))
    for path in packings(tmp_path / "x", files):
        data = read(path)
        assert counts(data) == {"corgi": [3], "pug": [3]}
        assert len([one for one in data.passed_over if one.kind in ("hidden", "system file")]) == 12


def test_folders_without_images_are_no_classes(tmp_path):
    files = tree("Images/pug", "Images/corgi") | {"Annotation/pug/0": b"<xml>"}
    for path in packings(tmp_path / "x", files):
        data = read(path)
        assert counts(data) == {"corgi": [2], "pug": [2]}
        assert "1 folder without images is no class: Annotation" in data.remarks


def test_images_in_deeper_folders_are_told(tmp_path):
    data = read(lay(tmp_path, tree("pug", "pug/puppies", "corgi")))
    assert counts(data) == {"corgi": [2], "pug": [4]}
    assert data.remarks == (
        "2 images in deeper folders taken for the class folder above: pug/puppies/0.png",
    )


def test_thousands_of_stray_images_are_ten_lines_and_a_count(tmp_path):
    strays = {f"{i}.png": b"" for i in range(3000)}
    data = read(zipped(tmp_path / "a.zip", tree("cat", "dog") | strays))
    assert counts(data) == {"cat": [2], "dog": [2]}
    assert len(data.remarks) == 11
    assert data.remarks[10].startswith("and 2,990 more left out")
    assert len(data.passed_over) == 3000


def rename_in_zip(path: Path, pairs: dict[bytes, bytes]) -> Path:
    """Put names of the same length into a zip; it does not say that they are UTF-8."""
    data = path.read_bytes()
    for old, new in pairs.items():
        assert len(old) == len(new)
        data = data.replace(old, new)
    path.write_bytes(data)
    return path


def test_backslashes_in_a_zip_are_slashes(tmp_path):
    path = zipped(tmp_path / "a.zip", tree("cat", "dog"))
    names = {
        f"{k}/{i}.png".encode(): f"{k}\\{i}.png".encode() for k in ("cat", "dog") for i in (0, 1)
    }
    data = read(rename_in_zip(path, names))
    assert counts(data) == {"cat": [2], "dog": [2]}
    assert numbers(data.train) == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("encoding", "names"), [("gbk", ("狗狗", "猫猫")), ("shift_jis", ("イヌ", "ネコ"))]
)
def test_names_in_another_code_page_are_told_and_read_by_a_setting(tmp_path, encoding, names):
    path = zipped(tmp_path / "a.zip", tree("AAAA", "BBBB"))
    raw = dict(zip((b"AAAA", b"BBBB"), (name.encode(encoding) for name in names), strict=True))
    rename_in_zip(path, raw)
    assert any("set data.encoding=gbk" in remark for remark in read(path).remarks)
    data = read(path, encoding=encoding)
    assert sorted(data.classes) == sorted(names)
    assert counts(data) == {name: [2] for name in names}
    assert data.remarks == ()
    with pytest.raises(UserError, match=r"data\.encoding=ascii does not fit"):
        read(path, encoding="ascii")


def test_unmarked_names_that_are_utf8_are_utf8(tmp_path):
    path = rename_in_zip(
        zipped(tmp_path / "a.zip", tree("AAAAAA", "BB")), {b"AAAAAA": "犬犬".encode()}
    )
    data = read(path)
    assert data.classes == ("BB", "犬犬")
    assert data.remarks == ()


@pytest.mark.parametrize("compressed", [False, True])
def test_long_texts_in_a_png_are_no_reason_to_lose_it(tmp_path, compressed):
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    info, plain = PngImagePlugin.PngInfo(), io.BytesIO()
    info.add_itxt("XML:com.adobe.xmp", "x" * 3_000_000, zip=compressed)
    info.add_text("history", "y" * 3_000_000, zip=compressed)
    Image.fromarray(pixels).save(plain, "PNG", pnginfo=info)
    files = tree("cat", "dog") | {"dog/9.png": plain.getvalue()}
    data = read(lay(tmp_path, files))
    assert counts(data) == {"cat": [2], "dog": [3]}
    assert data.remarks == ()
    assert np.array_equal(data.train.read(torch.tensor([4]))[0].permute(1, 2, 0), pixels)


def test_copies_are_told_and_dropped_on_demand(tmp_path):
    files = tree("train/a", "train/b", "test/a", "test/b")
    files |= {"test/a/2.png": files["train/a/0.png"], "train/b/2.png": files["train/b/1.png"]}
    bmp = io.BytesIO()
    Image.open(io.BytesIO(files["test/b/0.png"])).save(bmp, "BMP")  # other bytes, the same pixels
    files["test/b/2.bmp"] = bmp.getvalue()
    data = read(lay(tmp_path, files))
    assert counts(data) == {"a": [2, 3], "b": [3, 3]}
    assert data.remarks[-1] == (
        "3 images are copies of others (1 of test images that are in the training images); "
        "set data.duplicates=drop to leave them out"
    )
    data = read(tmp_path, duplicates="drop")
    assert counts(data) == {"a": [2, 2], "b": [2, 2]}
    dropped = [one.path for one in data.passed_over if one.kind == "duplicate"]
    assert sorted(dropped) == ["test/a/2.png", "test/b/2.bmp", "train/b/2.png"]


def test_the_error_of_a_relative_path_says_where_it_was_looked_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=f"does not exist, looked for in {tmp_path}"):
        read(Path("nowhere"))


def member(name: str, data: bytes = b"", **attributes) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for key, value in attributes.items():
        setattr(info, key, value)
    return info, data


def test_members_that_lead_out_of_a_tar_or_are_no_files_are_never_read(tmp_path):
    members = [
        member("a/good.png", picture(1)),
        member("../x.png", picture(2)),
        member("/etc/x.png", picture(2)),
        member("a\\..\\..\\x.png", picture(2)),
        member("C:\\x.png", picture(2)),
        member("a/good.png", picture(3)),
        member("a/link.png", type=tarfile.SYMTYPE, linkname="/etc/passwd"),
        member("a/hard.png", type=tarfile.LNKTYPE, linkname="a/good.png"),
        member("a/pipe.png", type=tarfile.FIFOTYPE),
        member("a/device.png", type=tarfile.CHRTYPE),
        member("a/long.png", bytes(3000)),
    ]
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for info, data in members:
            archive.addfile(info, io.BytesIO(data))
    data = read(tmp_path / "a.tar", max_bytes=2999)
    assert numbers(data.train) == [1]
    why = {one.path: one.reason for one in data.passed_over}
    assert [name for name, reason in why.items() if "points out of the tar" in reason] == [
        "../x.png",
        "/etc/x.png",
        "a\\..\\..\\x.png",
        "C:\\x.png",
    ]
    assert why["a/good.png"] == "an earlier file has the same name"
    assert why["a/link.png"] == why["a/hard.png"] == "a link, and links in a tar are not followed"
    assert why["a/pipe.png"] == why["a/device.png"] == "not a regular file"
    assert why["a/long.png"] == "3000 bytes is over data.max_bytes=2999"


def test_tars_that_are_cut_damaged_or_bombs_are_refused(tmp_path):
    whole = tarred(tmp_path / "a.tar", tree("cat", "dog")).read_bytes()
    packed = tarred(tmp_path / "a.tgz", tree("cat", "dog")).read_bytes()

    def refusal(data: bytes, **settings) -> str:
        (tmp_path / "x.tar").write_bytes(data)
        with pytest.raises(UserError) as refused:
            read(tmp_path / "x.tar", **settings)
        return str(refused.value)

    assert "damaged tar" in refusal(whole[:2000])
    assert "damaged tar" in refusal(whole[:1024] + b"?" + whole[1025:])  # a header in the middle
    assert "damaged tar" in refusal(whole[:-10240] if len(whole) > 10240 else whole[:4096])
    assert "damaged tar" in refusal(packed[:-9])
    assert "damaged tar" in refusal(packed[:-8] + bytes([packed[-8] ^ 1]) + packed[-7:])
    assert "damaged tar" in refusal(b"")
    assert "more than max_files=3" in refusal(whole, max_files=3)
    assert "max_total=100" in refusal(whole, max_total=100)
    zeros, _ = member("a/zeros.png", b"")
    zeros.size = 2**33
    assert "times its size" in refusal(gzip.compress(zeros.tobuf() + bytes(2**26)))
    header, _ = member("x")
    header.type, header.size = tarfile.XHDTYPE, 2**32
    assert "headers is too long" in refusal(header.tobuf() + bytes(2**12))
    backwards = bytearray(member("a/1.png")[0].tobuf())
    backwards[124:136] = b"\xff" + struct.pack(">q", -512).rjust(11, b"\xff")
    backwards[148:156] = b"        "
    backwards[148:156] = b"%06o\0 " % sum(backwards[:512])
    assert "damaged tar" in refusal(bytes(backwards) + bytes(1024))


@pytest.mark.parametrize("suffix", ["tar", "tgz"])
def test_a_tar_turned_anywhere_is_read_or_refused(tmp_path, suffix):
    path = tarred(tmp_path / f"a.{suffix}", tree("cat", "dog"))
    data, truth = path.read_bytes(), numbers(read(path).train)
    for at in np.random.default_rng(0).integers(0, 8 * len(data), 100):
        turned = bytearray(data)
        turned[at // 8] ^= 1 << at % 8
        path.write_bytes(turned)
        with suppress(UserError):
            assert set(numbers(read(path).train)) <= set(truth)


def test_labels_that_differ_in_case_alone_are_told(tmp_path):
    files = tree("train/Cat", "train/dog", "test/cat", "test/dog")
    with pytest.raises(UserError, match=r"'cat' has no usable .*differs from 'Cat' in case"):
        read(lay(tmp_path, files))


def test_a_summary_says_what_was_understood(tmp_path):
    files = tree("seg_train/sea", "seg_train/forest", "seg_test/sea", "seg_test/forest", "seg_pred")
    files |= {"seg_train/sea/@eaDir/x.png": b"", "seg_test/sea/9.png": files["seg_train/sea/0.png"]}
    found = summarize(read(lay(tmp_path, files)))
    assert found["layout"] == "train and test folders"
    assert found["splits"] == {"train": {"forest": 2, "sea": 2}, "test": {"forest": 2, "sea": 3}}
    assert [(one["kind"], one["number"]) for one in found["passed_over"]] == [
        ("system file", 1),
        ("unlabeled", 2),
    ]
    assert found["copies"] == {"number": 1, "across": 1, "conflicting": 0}
    assert (found["shape"], found["values"]) == ([3, 8, 8], [0, 7])
    lines = describe(found)
    assert lines[0] == "images 3 x 8 x 8, values 0 to 7"
    assert "passed over: 2 unlabeled, such as seg_pred/0.png" in lines[2]
