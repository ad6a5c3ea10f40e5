import pytest
import torch

from imgcollapse.metrics import prdc, precision_recall
from imgcollapse.metrics.jackknife import BLOCKS


@pytest.fixture
def sides(normal):
    return normal(0, 90), normal(1, 70, mean=0.3, scale=1.2)


def values(answers):
    return {name: answer.value for name, answer in answers.items()}


def test_equals_prdc(sides):
    theirs = pytest.importorskip("prdc", reason="needs prdc")
    real, generated = sides
    expected = theirs.compute_prdc(real.numpy(), generated.numpy(), nearest_k=5)
    assert values(prdc(real, generated, 5)) == pytest.approx(expected, rel=1e-6)


def test_on_a_line_by_hand():
    """Balls of k = 1 around 0, 1, 3 reach 1, 1, 2; around 0.5, 10, 11 they reach 9.5, 1, 1."""
    real, generated = torch.tensor([[0.0], [1], [3]]), torch.tensor([[0.5], [10], [11]])
    found = values(prdc(real, generated, 1))
    exact = {"precision": 1 / 3, "recall": 1.0, "density": 2 / 3, "coverage": 2 / 3}
    assert found == pytest.approx(exact, rel=1e-12)


def test_portions_of_the_distances_add_up(sides, monkeypatch):
    whole = prdc(*sides, 5)
    monkeypatch.setattr(precision_recall, "_BLOCK", 150)
    assert prdc(*sides, 5) == whole


def test_the_jackknife_leaves_out_what_it_says(sides):
    real, generated = sides
    runs = torch.arange(len(generated)).tensor_split(BLOCKS)
    without = []
    for run in runs:
        rest = torch.ones(len(generated), dtype=torch.bool)
        rest[run] = False
        without.append(values(prdc(real, generated[rest], 5)))
    for name in ("recall", "coverage"):
        rests = torch.tensor([scores[name] for scores in without], dtype=torch.float64)
        error = ((BLOCKS - 1) / BLOCKS * (rests - rests.mean()).square().sum()).sqrt()
        answer = prdc(real, generated, 5)[name]
        # Student's t of 9 degrees of freedom at 97.5%, from tables.
        assert answer.value - answer.low == pytest.approx(2.262157 * float(error), rel=1e-6)


def test_intervals_hold_repetition(normal):
    """All four at once: 200 generated sets, one real set; nominal 95%."""
    real = normal("real", 150)
    answers = [prdc(real, normal(i, 150, mean=0.2, scale=1.1), 5) for i in range(200)]
    for name in precision_recall.NAMES:
        found = torch.tensor([a[name].value for a in answers], dtype=torch.float64)
        held = [a[name].low <= found.mean() <= a[name].high for a in answers]
        assert sum(held) / 200 >= 0.95 - 4 * (0.95 * 0.05 / 200) ** 0.5, name


def test_copies_of_the_real_images_are_inside_and_cover_all(normal):
    """A ball holds its surface, so this holds where balls have no radius, too."""
    for real in (normal(0, 20), torch.full((20, 3), 0.7)):
        found = values(prdc(real, real.clone(), 5))
        assert found["precision"] == found["recall"] == found["coverage"] == 1
