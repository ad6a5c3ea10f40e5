import math

import pytest
import torch

from imgcollapse.metrics import vendi


def test_counts_images_that_have_nothing_in_common():
    for n in (1, 2, 7):
        assert vendi(torch.eye(7)[:n]).value == pytest.approx(n, rel=1e-12)
        assert vendi(torch.ones(n, 7)).value == pytest.approx(1, rel=1e-9)


def test_is_the_exponential_of_shannon_entropy_of_shares():
    shares = (0.5, 0.3, 0.2)
    features = torch.eye(3).repeat_interleave(torch.tensor([5, 3, 2]), 0)
    entropy = -sum(p * math.log(p) for p in shares)
    assert vendi(features).value == pytest.approx(math.exp(entropy), rel=1e-12)


@pytest.mark.parametrize(("n", "width"), [(60, 8), (10, 30)])
def test_equals_vendi_score(normal, n, width):
    theirs = pytest.importorskip("vendi_score.vendi", reason="needs vendi-score")
    features = normal(0, n, width, mean=0.4)
    expected = theirs.score_dual(features.numpy())
    assert vendi(features).value == pytest.approx(float(expected), rel=1e-6)


def test_the_interval_holds_repetition():
    """Entropy of shares: images of four kinds, so the score is a function of a multinomial."""
    shares = torch.tensor([0.4, 0.3, 0.2, 0.1], dtype=torch.float64)
    truth = math.exp(float(torch.special.entr(shares).sum()))
    draws = torch.Generator().manual_seed(0)
    held = 0
    for _ in range(400):
        kinds = torch.multinomial(shares, 500, replacement=True, generator=draws)
        answer = vendi(torch.eye(4)[kinds])
        held += answer.low <= truth <= answer.high
    assert abs(held / 400 - 0.95) < 4 * (0.95 * 0.05 / 400) ** 0.5


def test_an_image_without_features_has_no_direction():
    answer = vendi(torch.cat([torch.ones(3, 4), torch.zeros(1, 4)]))
    assert answer.value is None
    assert "all zero" in answer.note
