from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision.datasets
from PIL import Image

from imgcollapse.core.errors import UserError
from imgcollapse.data import TorchvisionSet
from imgcollapse.data.torchvision_sets import SETS

SHARED = Path(__file__).parents[2] / "../shared/data"


def write_idx(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    header = struct.pack(f">BBBB{values.ndim}I", 0, 0, 8, values.ndim, *values.shape)
    path.write_bytes(header + values.astype(np.uint8).tobytes())


def small_mnist(root: Path, name: str = "MNIST") -> None:
    random = np.random.default_rng(0)
    for part, count in (("train", 20), ("t10k", 10)):
        images = random.integers(0, 256, (count, 28, 28))
        write_idx(root / name / "raw" / f"{part}-images-idx3-ubyte", images)
        write_idx(root / name / "raw" / f"{part}-labels-idx1-ubyte", np.arange(count) % 10)


@pytest.mark.parametrize("name", SETS)
def test_every_name_is_a_set_of_torchvision(name):
    assert issubclass(getattr(torchvision.datasets, name), torch.utils.data.Dataset)


@pytest.mark.parametrize("name", SETS)
def test_a_missing_set_is_refused_with_folder_and_mend(tmp_path, name):
    with pytest.raises(UserError, match=rf"data\.root: .*{name}.*data\.download=true") as refused:
        TorchvisionSet(name=name, root=tmp_path / "nowhere", size=16).load()
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "near"), [("MNSIT", "MNIST"), ("cifar-10", "CIFAR10"), ("oxfordpets", "OxfordIIITPet")]
)
def test_an_unknown_name_is_refused_with_the_nearest(name, near):
    with pytest.raises(UserError, match=f"data.name: .*{name!r}.* did you mean {near}"):
        TorchvisionSet(name=name)


def test_mnist_layout_is_gray_with_digits_for_names(tmp_path):
    small_mnist(tmp_path)
    pool = TorchvisionSet(name="MNIST", root=tmp_path).load()
    assert pool.classes == tuple("0123456789")
    assert pool.train.labels.tolist() == [*range(10), *range(10)]
    assert len(pool.test.labels) == 10
    plain = torchvision.datasets.MNIST(tmp_path)
    assert torch.equal(pool.train.read(torch.arange(20)), plain.data[:, None])


def test_a_set_with_names_keeps_them_and_is_resized(tmp_path):
    small_mnist(tmp_path, "FashionMNIST")
    pool = TorchvisionSet(name="FashionMNIST", root=tmp_path, size=16).load()
    assert pool.classes[0] == "T-shirt/top"
    assert pool.train.read(torch.tensor([3, 1])).shape == (2, 1, 16, 16)


def test_emnist_is_turned_upright(tmp_path):
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (94, 28, 28))
    for part in ("train", "test"):
        stem = tmp_path / "EMNIST" / "raw" / f"emnist-balanced-{part}"
        write_idx(Path(f"{stem}-images-idx3-ubyte"), images)
        write_idx(Path(f"{stem}-labels-idx1-ubyte"), np.arange(94) % 47)
    pool = TorchvisionSet(name="EMNIST", root=tmp_path).load()
    assert len(pool.classes) == 47
    found = pool.train.read(torch.tensor([5]))[0, 0].numpy()
    assert np.array_equal(found, images[5].T)


def test_damaged_files_are_refused(tmp_path):
    small_mnist(tmp_path)
    path = tmp_path / "MNIST/raw/train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(UserError, match="holds no complete MNIST"):
        TorchvisionSet(name="MNIST", root=tmp_path).load()


def eurosat(root: Path) -> Path:
    folder = root / "eurosat/2750"
    for k, name in enumerate(("Forest", "River")):
        (folder / name).mkdir(parents=True)
        for n in range(2 + k):
            Image.new("RGB", (20 + 4 * n, 20), (k, n, 9)).save(folder / name / f"{n}.png")
    return folder


def test_a_set_of_files_is_read_through_torchvision(tmp_path):
    eurosat(tmp_path)
    pool = TorchvisionSet(name="EuroSAT", root=tmp_path, size=10).load()
    assert pool.classes == ("Forest", "River")
    assert pool.test is None
    assert pool.train.labels.tolist() == [0, 0, 1, 1, 1]
    found = pool.train.read(torch.arange(5))
    assert found.shape == (5, 3, 10, 10)
    assert found[:, :, 5, 5].tolist() == [[0, 0, 9], [0, 1, 9], [1, 0, 9], [1, 1, 9], [1, 2, 9]]


def test_files_of_different_size_need_data_size(tmp_path):
    eurosat(tmp_path)
    with pytest.raises(UserError, match=r"data: EuroSAT: .* sizes.*data\.size"):
        TorchvisionSet(name="EuroSAT", root=tmp_path).load()


def test_a_damaged_file_of_a_set_is_named(tmp_path):
    (eurosat(tmp_path) / "River/0.png").write_bytes(b"")
    with pytest.raises(UserError, match="image 2 of EuroSAT"):
        TorchvisionSet(name="EuroSAT", root=tmp_path, size=8).load()


def test_real_mnist():
    if not (SHARED / "MNIST/raw").exists():
        pytest.skip("shared/data/MNIST is not beside the repository")
    pool = TorchvisionSet(name="MNIST", root=SHARED).load()
    assert len(pool.train.labels) == 60_000
    assert len(pool.test.labels) == 10_000
    assert pool.train.read(torch.tensor([0])).shape == (1, 1, 28, 28)
    assert pool.train.labels[:5].tolist() == [5, 0, 4, 1, 9]
