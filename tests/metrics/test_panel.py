import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm

from imgcollapse import metrics
from imgcollapse.core.seeds import Seed


def normal(seed, n, width=8, mean=0.0, scale=1.0):
    return mean + scale * torch.randn(n, width, generator=Seed((seed,)).torch())


def test_fid_equals_the_formula_in_float64():
    a, b = normal(0, 200), normal(1, 150, mean=0.5, scale=1.3)
    x, y = a.double().numpy(), b.double().numpy()
    cx, cy = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    formula = ((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(cx + cy - 2 * sqrtm(cx @ cy).real)
    assert metrics.fid(a, b) == pytest.approx(formula, rel=1e-6)


def test_kid_is_unbiased_where_fid_is_not():
    pairs = [(normal(2 * i, 40), normal(2 * i + 1, 40)) for i in range(100)]
    kids = torch.tensor([metrics.kid(a, b) for a, b in pairs])
    assert kids.mean().abs() < 4 * kids.std() / 10
    assert all(metrics.fid(a, b) > 0.1 for a, b in pairs[:10])


@pytest.fixture
def real_side():
    labels = torch.arange(300) % 3
    labels[labels == 2] = 1
    labels[:5] = 2
    spare = torch.zeros(300, dtype=torch.int16)
    return metrics.RealSide(normal(7, 300), labels.short(), normal(8, 300), spare, Seed((0,)))


def rows_by(rows):
    return {(row["class"], row["metric"]): row for row in rows}


def test_every_value_has_a_floor_at_the_same_n(real_side):
    generated = normal(9, 250)
    counted = torch.zeros(250, dtype=torch.int16)
    rows = rows_by(real_side.distances(3, generated, counted, ["a", "b", "c"]))
    whole = rows["", "fid"]
    assert set(whole) == set(metrics.COLUMNS)
    assert whole["n"] == whole["reference_n"] == rows["", "fid_floor"]["n"] == 250
    floor = rows["", "fid_floor"]
    assert floor["low"] <= floor["value"] <= floor["high"]
    # The samples come from the same distribution, so they are as near as real images are.
    assert whole["value"] == pytest.approx(floor["value"], rel=0.5)


def test_a_shift_lies_above_the_floor(real_side):
    rows = rows_by(
        real_side.distances(3, normal(9, 250, mean=0.7), torch.zeros(250).short(), ["a", "b", "c"])
    )
    for metric in ("fid", "kid"):
        assert rows["", metric]["value"] > 2 * rows["", f"{metric}_floor"]["high"]


def test_what_has_too_few_images_is_left_out(real_side):
    counted = torch.zeros(250, dtype=torch.int16)
    counted[:6] = 2
    rows = rows_by(real_side.distances(1, normal(9, 250), counted, ["a", "b", "c"]))
    assert ("a", "kid") in rows
    assert ("b", "kid") not in rows, "no sample is named b"
    assert ("c", "kid") not in rows, "six samples and five real images are too few"
