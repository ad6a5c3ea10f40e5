from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from imgcollapse.core.images import ImageSet, to_float
from imgcollapse.core.seeds import Seed
from imgcollapse.data.paper_dogs.source import PaperDogs

SEED = Seed(("tests", "paper_dogs"))


def test_eight_breeds_from_golden_retriever_to_griffon() -> None:
    pool = PaperDogs().load()
    assert len(set(pool.classes)) == 8
    assert pool.classes[0] == "Golden Retriever"
    assert pool.classes[-1] == "Petit Basset Griffon Vendéen"


def test_every_breed_has_the_stock_asked_for() -> None:
    pool = PaperDogs(stock=30, test_stock=5).load()
    assert pool.test is not None
    assert pool.train.labels.dtype == torch.int16
    assert pool.train.labels.bincount().tolist() == [30] * 8
    assert pool.test.labels.bincount().tolist() == [5] * 8


@pytest.mark.parametrize("size", [8, 16, 32, 33, 64, 128, 256])
def test_pictures_are_uint8_nchw_of_the_size_asked_for(size: int) -> None:
    pixels = PaperDogs(size=size).load().train.read(torch.tensor([3, 1]))
    assert pixels.dtype == torch.uint8
    assert pixels.shape == (2, 3, size, size)
    assert pixels.is_contiguous()


def test_no_rows_no_pictures() -> None:
    assert PaperDogs().load().train.read(torch.arange(0)).shape == (0, 3, 32, 32)


def test_a_row_is_the_same_picture_in_any_company_and_any_load() -> None:
    rows = torch.tensor([11, 3, 1_000_000, 3])
    together = PaperDogs().load().train.read(rows)
    again = PaperDogs(stock=131073).load().train
    alone = torch.cat([again.read(row[None]) for row in rows.flip(0)]).flip(0)
    assert torch.equal(together, alone)
    assert torch.equal(together[1], together[3])


def test_drawing_leaves_the_global_generators_alone() -> None:
    before = torch.random.get_rng_state()
    PaperDogs().load().train.read(torch.arange(4))
    assert torch.equal(before, torch.random.get_rng_state())


def test_train_and_test_and_another_seed_share_no_picture() -> None:
    pool, other = PaperDogs().load(), PaperDogs(seed=1).load()
    assert pool.test is not None
    rows = torch.arange(800)
    pixels = torch.cat([stock.read(rows) for stock in (pool.train, pool.test, other.train)])
    assert len(pixels.flatten(1).unique(dim=0)) == 2400


def test_without_variety_a_breed_is_one_picture() -> None:
    pixels = PaperDogs(variety=0).load().train.read(torch.arange(16))
    assert torch.equal(pixels[:8], pixels[8:])
    assert len(pixels.flatten(1).unique(dim=0)) == 8


def test_a_larger_picture_shows_the_same_dog() -> None:
    rows = torch.arange(16)
    small = PaperDogs(size=32).load().train.read(rows).float()
    large = PaperDogs(size=64).load().train.read(rows).float()
    # Only edges differ, by how they fall on the two grids; another dog differs by 30 and more.
    difference = (nn.functional.avg_pool2d(large, 2) - small).abs().mean(dim=(1, 2, 3))
    assert difference.max() < 5
    assert (small - small.roll(8, 0)).abs().mean() > 20


def test_every_dog_is_whole_inside_the_frame() -> None:
    pixels = PaperDogs(size=64).load().train.read(torch.arange(400))
    for picture in pixels:
        # Wall, ground, and the row in which they meet; the top row is all wall.
        for side in (picture[:, :, 0], picture[:, :, -1]):
            assert len(side.unique(dim=1).T) <= 3
        assert len(picture[:, 0].unique(dim=1).T) == 1
        assert len(picture[:, -1].unique(dim=1).T) == 1


@pytest.mark.parametrize("settings", [{"size": 7}, {"size": 257}, {"stock": 0}, {"variety": 1.5}])
def test_settings_out_of_bounds_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ValidationError, match=rf"{next(iter(settings))}\n"):
        PaperDogs.model_validate(settings)


@pytest.mark.parametrize("size", [16, 32])
def test_a_small_network_tells_the_breeds_apart(size: int) -> None:
    pool = PaperDogs(size=size).load()
    assert pool.test is not None
    network = _trained(*_examples(pool.train, 4000), size)
    pixels, labels = _examples(pool.test, 2000)
    with torch.no_grad():
        accuracy = (network(pixels).argmax(1) == labels).double().mean().item()
    assert accuracy >= 0.98


def _examples(stock: ImageSet, number: int) -> tuple[Tensor, Tensor]:
    rows = torch.arange(number)
    return to_float(stock.read(rows)), stock.labels[rows].long()


def _trained(pixels: Tensor, labels: Tensor, size: int) -> nn.Module:
    with SEED.seed_torch():
        network = nn.Sequential(
            nn.Conv2d(3, 16, 5, stride=2, padding=2),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(32 * (size // 4) ** 2, 8),
        )
    optimizer = torch.optim.Adam(network.parameters(), 2e-3)
    draw = (SEED / "order").torch()
    for _ in range(2):
        for batch in torch.randperm(len(labels), generator=draw).split(64):
            optimizer.zero_grad()
            cross_entropy(network(pixels[batch]), labels[batch]).backward()
            optimizer.step()
    return network
