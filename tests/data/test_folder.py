from __future__ import annotations

import os
import struct
import tracemalloc
import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from imgcollapse.core.errors import UserError
from imgcollapse.data import Folder
from imgcollapse.data.base import SourceData

SHARED = Path(__file__).parents[2] / "../shared/data"
GREEN = (10, 200, 30)


def file(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def plain(colour=GREEN, size: int = 8) -> bytes:
    return file(Image.new("RGB", (size, size), colour))


def write(top: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_bytes(data)
    return top


def pack(path: Path, files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def pixels(pool: SourceData) -> torch.Tensor:
    return pool.train.read(torch.arange(len(pool.train.labels)))


def only(tmp_path: Path, name: str, data: bytes, **settings) -> SourceData:
    """One odd file next to a plain one of the same class."""
    return Folder(
        path=write(tmp_path, {"a/0.png": plain((9, 9, 9)), f"a/{name}": data}), **settings
    ).load()


def test_classes_and_files_come_in_natural_order(tmp_path):
    files = {f"{k}/{n}.png": plain((k, n, 0)) for k in (10, 2, 1) for n in (10, 9, 100)}
    for path in (write(tmp_path / "top", files), pack(tmp_path / "top.zip", files)):
        pool = Folder(path=path).load()
        assert pool.classes == ("1", "2", "10")
        assert pool.test is None
        assert pool.remarks == ()
        expected = [(k, n) for k in (1, 2, 10) for n in (9, 10, 100)]
        assert [tuple(p) for p in pixels(pool)[:, :2, 0, 0].tolist()] == expected


@pytest.mark.parametrize("names", [("train", "test"), ("Training", "validation")])
@pytest.mark.parametrize("wrapper", ["", "dogs/"])
def test_train_and_test_folders_become_two_stocks(tmp_path, names, wrapper):
    train, test = names
    files = {f"{wrapper}{train}/{k}/{n}.png": plain() for k in "ab" for n in range(3)}
    files |= {f"{wrapper}{test}/b/x.png": plain((1, 2, 3))}
    pool = Folder(path=pack(tmp_path / "x.zip", files)).load()
    assert pool.classes == ("a", "b")
    assert pool.train.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert pool.test.labels.tolist() == [1]
    assert pool.test.read(torch.tensor([0]))[0, :, 0, 0].tolist() == [1, 2, 3]


def test_a_folder_that_wraps_the_classes_and_folders_below_them_are_passed_through(tmp_path):
    files = {"Images/cat/1.png": plain(), "Images/dog/more/2.png": plain()}
    assert Folder(path=write(tmp_path, files)).load().classes == ("cat", "dog")


def test_what_is_hidden_or_no_image_is_skipped_and_a_stray_image_is_named(tmp_path):
    files = {
        "a/1.png": plain(),
        "b/1.png": plain((1, 2, 3)),
        "a/README.md": b"text",
        "a/.hidden.png": b"x",
        "__MACOSX/a/1.png": b"x",
        ".git/c/1.png": b"x",
        "contact-sheet.png": plain(),
    }
    for path in (write(tmp_path / "top", files), pack(tmp_path / "top.zip", files)):
        pool = Folder(path=path).load()
        assert pool.classes == ("a", "b")
        assert pool.remarks == (
            "contact-sheet.png: left out, it is in no class folder",
            "1 file ignored, not named like an image: a/README.md",
        )


def animation(kind: str) -> bytes:
    frames = [Image.new("RGB", (8, 8), colour) for colour in (GREEN, (255, 0, 0))]
    return file(frames[0], kind, save_all=True, append_images=frames[1:], lossless=True)


def rotated() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held sideways: turn by 90 degrees clockwise
    stripes = Image.new("RGB", (8, 8), "white")
    stripes.paste("black", (0, 0, 4, 8))  # left half black => upper half after the turn
    return file(stripes, "PNG", exif=exif.tobytes())


def sixteen_bit(kind: str, mode: str = "I;16") -> bytes:
    values = np.full((8, 8), 51_400, dtype=np.uint16 if mode == "I;16" else np.int32)
    return file(Image.fromarray(values), kind)  # 51,400 = 200 * 257


CONVERTED = {
    "cmyk.jpg": (file(Image.new("RGB", (8, 8), GREEN).convert("CMYK"), "JPEG", quality=100), GREEN),
    "gray.png": (file(Image.new("L", (8, 8), 77)), (77, 77, 77)),
    "bit.png": (file(Image.new("1", (8, 8), 1)), (255, 255, 255)),
    "palette.png": (file(Image.new("RGB", (8, 8), GREEN).quantize(4)), GREEN),
    "alpha.png": (file(Image.new("RGBA", (8, 8), (*GREEN, 0))), (255, 255, 255)),
    "half.png": (file(Image.new("LA", (8, 8), (0, 128))), (127, 127, 127)),
    "see-through.png": (file(Image.new("RGB", (8, 8), GREEN), transparency=GREEN), (255,) * 3),
    "sixteen.png": (sixteen_bit("PNG"), (200, 200, 200)),
    "sixteen.tif": (sixteen_bit("TIFF"), (200, 200, 200)),
    "sixteen.pgm": (sixteen_bit("PPM", "I"), (200, 200, 200)),
    "animated.gif": (animation("GIF"), GREEN),
    "animated.webp": (animation("WEBP"), GREEN),
    "animated.png": (animation("PNG"), GREEN),
    "misnamed.jpg": (plain(), GREEN),
    "bitmap.bmp": (file(Image.new("RGB", (8, 8), GREEN), "BMP"), GREEN),
    "SHOUTED.PNG": (plain(), GREEN),
}


@pytest.mark.parametrize("name", CONVERTED)
def test_odd_but_usable_images_are_converted(tmp_path, name):
    data, colour = CONVERTED[name]
    pool = only(tmp_path, name, data)
    assert pool.remarks == ()
    found = pixels(pool)[1].float().mean((1, 2))
    lossy = 3 if name.endswith(".jpg") else 0
    assert (found - torch.tensor(colour)).abs().max() <= lossy


def test_images_are_turned_upright(tmp_path):
    upright = pixels(only(tmp_path, "turned.png", rotated()))[1, 0]
    assert (upright[:4] == 0).all()
    assert (upright[4:] == 255).all()


def bomb() -> bytes:
    return file(Image.new("1", (20_000, 20_000)))


def noise(size: int = 64) -> Image.Image:
    values = np.random.default_rng(0).integers(0, 256, (size, size, 3), dtype=np.uint8)
    return Image.fromarray(values)


UNUSABLE = {
    "empty.png": (b"", "empty file"),
    "text.png": (b"this is not an image", "not a readable PNG, JPEG"),
    "cut.png": (file(noise())[:-2000], "truncated"),
    "cut.jpg": (file(noise(), "JPEG")[:1500], "truncated"),
    "header.jpg": (file(noise(), "JPEG")[:40], ""),
    "bomb.png": (bomb(), "decompression bomb|data.max_pixels"),
    "float.tif": (file(Image.new("F", (8, 8)), "TIFF"), "pixels is unknown"),
    "photo.heic": (b"\0\0\0\x18ftypheic", "not a readable PNG, JPEG"),
    "vector.psd": (b"8BPS", "not a readable PNG, JPEG"),
    "script.png": (b"%!PS-Adobe-3.0 EPSF-3.0\n", "not a readable"),
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_unusable_images_are_left_out_by_name_and_counted(tmp_path, name):
    data, reason = UNUSABLE[name]
    pool = only(tmp_path, name, data, size=8)
    assert len(pool.train.labels) == 1
    summary, line = pool.remarks
    assert "1 of 2 images cannot be used" in summary
    assert line.startswith(f"a/{name}: left out, ")
    assert "\n" not in line
    assert any(part in line for part in reason.split("|"))


def test_limits_of_bytes_and_pixels_are_kept(tmp_path):
    files = {"a/0.png": plain(), "a/wide.png": plain(size=64), "a/long.png": file(noise(40))}
    for path in (write(tmp_path / "top", files), pack(tmp_path / "top.zip", files)):
        pool = Folder(path=path, size=8, max_bytes=2000, max_pixels=1600).load()
        assert len(pool.train.labels) == 1
        assert "bytes is over data.max_bytes=2000" in pool.remarks[1]
        assert "64x64 is over data.max_pixels=1600" in pool.remarks[2]


def test_a_special_file_is_not_opened(tmp_path):
    write(tmp_path, {"a/0.png": plain()})
    os.mkfifo(tmp_path / "a/pipe.png")
    assert "not a regular file" in Folder(path=tmp_path).load().remarks[1]


def test_a_link_to_a_folder_above_ends(tmp_path):
    write(tmp_path, {"a/0.png": plain(), "b/0.png": plain()})
    (tmp_path / "a/loop").symlink_to(tmp_path, target_is_directory=True)
    assert len(Folder(path=tmp_path).load().train.labels) == 2


def test_names_that_point_out_of_a_zip_are_never_read(tmp_path):
    files = {"a/1.png": plain(), "a/../../evil.png": plain(), "/root/1.png": plain()}
    before = set(tmp_path.rglob("*"))
    path = pack(tmp_path / "x.zip", files)
    pool = Folder(path=path).load()
    assert len(pool.train.labels) == 1
    assert [remark.split(":")[0] for remark in pool.remarks] == ["a/../../evil.png", "/root/1.png"]
    assert set(tmp_path.rglob("*")) - before == {path}


def test_a_zip_member_whose_header_lies_about_its_length_is_left_out(tmp_path):
    path = pack(tmp_path / "x.zip", {"a/1.png": plain(), "a/lie.png": bytes(50_000_000)})
    data = bytearray(path.read_bytes())
    entry = data.rindex(b"PK\x01\x02")  # the last entry of the central directory
    data[entry + 24 : entry + 28] = struct.pack("<I", 100)
    path.write_bytes(data)
    tracemalloc.start()
    pool = Folder(path=path).load()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(pool.train.labels) == 1
    assert "a/lie.png: left out, " in pool.remarks[1]
    assert peak < 10_000_000  # of the 50 million bytes it would unpack to


def test_zip_members_packed_by_an_unbounded_method_are_left_out(tmp_path):
    path = pack(tmp_path / "x.zip", {"a/1.png": plain()})
    with zipfile.ZipFile(path, "a", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("a/2.png", plain())
    assert "another method than deflate" in Folder(path=path).load().remarks[1]


def test_images_of_different_size_need_data_size(tmp_path):
    path = write(tmp_path, {"a/1.png": plain(size=8), "b/1.png": plain(size=12)})
    with pytest.raises(UserError, match=r"2 different sizes.*8x8.*set data\.size"):
        Folder(path=path).load()
    assert pixels(Folder(path=path, size=6).load()).shape == (2, 3, 6, 6)


def test_the_shorter_side_is_scaled_and_the_centre_cropped(tmp_path):
    wide = Image.new("RGB", (24, 8), "red")
    wide.paste(GREEN, (8, 0, 16, 8))
    found = pixels(only(tmp_path, "wide.png", file(wide), size=8))[1]
    assert found[:, 4, 4].tolist() == list(GREEN)
    assert (found == torch.tensor(GREEN).byte()[:, None, None]).all()


def test_a_large_jpeg_keeps_its_colours_when_it_is_decoded_small(tmp_path):
    photo = file(Image.new("RGB", (512, 512), GREEN), "JPEG", quality=100)
    found = pixels(only(tmp_path, "photo.jpg", photo, size=8))[1].float().mean((1, 2))
    assert (found - torch.tensor(GREEN)).abs().max() <= 3


def test_one_channel_is_gray(tmp_path):
    found = pixels(only(tmp_path, "x.png", file(Image.new("RGB", (8, 8), "white")), channels=1))
    assert found.shape == (2, 1, 8, 8)
    assert (found[1] == 255).all()


def test_a_composed_and_a_decomposed_name_are_one_class(tmp_path):
    files = {"train/Vend\u00e9en/1.png": plain(), "test/Vende\u0301en/1.png": plain()}
    pool = Folder(path=pack(tmp_path / "x.zip", files)).load()
    assert pool.classes == ("Vend\u00e9en",)
    assert len(pool.test.labels) == 1


@pytest.mark.parametrize("zipped", [False, True])
def test_a_class_left_empty_is_refused_with_a_reason(tmp_path, zipped):
    files = {"a/1.png": plain(), "b/1.png": b"", "b/2.png": b"x"}
    path = pack(tmp_path / "x.zip", files) if zipped else write(tmp_path / "top", files)
    with pytest.raises(UserError, match=r"class 'b' .*\(b/1\.png: empty file; and others\)"):
        Folder(path=path).load()


def test_a_folder_without_images_is_no_class_and_told(tmp_path):
    files = {"a/1.png": plain(), "b/notes.txt": b"", "b/more/notes.txt": b""}
    for path in (write(tmp_path / "top", files), pack(tmp_path / "top.zip", files)):
        pool = Folder(path=path).load()
        assert pool.classes == ("a",)
        assert pool.remarks[-1] == "1 folder without images is no class: b"


def test_a_class_with_test_images_only_is_refused(tmp_path):
    write(tmp_path, {"train/a/1.png": plain(), "test/b/1.png": plain()})
    with pytest.raises(UserError, match="class 'b' has no usable training image"):
        Folder(path=tmp_path).load()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "does not exist"),
        (lambda path: path.write_text("text"), "neither a folder nor a complete zip"),
        (lambda path: path.mkdir(), "holds no images in class folders"),
        (lambda path: write(path, {"1.png": plain()}), "holds no images in class folders"),
        (lambda path: path.write_bytes(b"PK\x05\x06" + b"\xff" * 18), "zip"),
    ],
)
def test_a_path_that_is_no_source_is_refused_in_one_line(tmp_path, make, message):
    make(tmp_path / "source")
    with pytest.raises(UserError, match=message) as refused:
        Folder(path=tmp_path / "source").load()
    assert str(refused.value).startswith("data.path: ")
    assert "\n" not in str(refused.value)


def test_a_real_zip_of_photographs():
    path = SHARED / "stanford-dogs-12x64px.zip"
    if not path.exists():
        pytest.skip("shared/data/stanford-dogs-12x64px.zip is not beside the repository")
    pool = Folder(path=path).load()
    assert len(pool.classes) == 12
    assert pixels(pool).shape == (2151, 3, 64, 64)
    # Seventy of its files are one and the same blank image, in twelve classes.
    assert [remark.partition(" of others")[0] for remark in pool.remarks] == [
        "69 images are copies"
    ]
