import pytest
import torch

from imgcollapse.metrics import kernel_distance, kid


def brute(x, y):
    """Sum over pairs i != j, written out."""
    n, m = len(x), len(y)
    k = {"xx": (x @ x.T / 8 + 1) ** 3, "yy": (y @ y.T / 8 + 1) ** 3, "xy": (x @ y.T / 8 + 1) ** 3}
    within = [sum(g[i, j] for i in range(s) for j in range(s) if i != j) / (s * (s - 1))
              for g, s in ((k["xx"], n), (k["yy"], m))]  # fmt: skip
    return float(sum(within) - 2 * k["xy"].mean())


def test_equals_the_sum_over_pairs(normal):
    x, y = normal(0, 9), normal(1, 7, mean=0.4)
    assert kid(x, y).value == pytest.approx(brute(x, y), rel=1e-12)


def test_equals_torch_fidelity(normal):
    fidelity = pytest.importorskip("torch_fidelity.metric_kid", reason="needs torch-fidelity")
    x, y = normal(0, 60), normal(1, 60, mean=0.4)
    theirs = fidelity.kernel_mmd(
        x.numpy(),
        y.numpy(),
        kid_kernel="poly",
        kid_kernel_poly_degree=3,
        kid_kernel_poly_gamma=None,
        kid_kernel_poly_coef0=1,
    )
    assert kid(x, y).value == pytest.approx(float(theirs), rel=1e-6)


def test_blocks_of_the_kernel_matrix_add_up(normal, monkeypatch):
    x, y = normal(0, 50), normal(1, 33, mean=0.4)
    whole = kid(x, y)
    monkeypatch.setattr(kernel_distance, "_BLOCK", 100)
    assert kid(x, y)[:3] == pytest.approx(whole[:3], rel=1e-10)


@pytest.mark.parametrize("mean", [0.0, 0.3])
@pytest.mark.parametrize(("m", "n"), [(60, 60), (90, 40)])
def test_is_unbiased_and_its_standard_error_is_that_of_repetition(normal, mean, m, n):
    answers = [kid(normal(2 * i, m), normal(2 * i + 1, n, mean=mean)) for i in range(400)]
    values = torch.tensor([a.value for a in answers], dtype=torch.float64)
    variances = torch.tensor([(a.high - a.value) / 1.96 for a in answers]).double() ** 2
    truth = kid(normal("x", 4000), normal("y", 4000, mean=mean))
    slack = (truth.high - truth.value) / 1.96
    assert abs(values.mean() - truth.value) < 4 * (values.var() / 400 + slack**2) ** 0.5
    # A sample variance of a skewed U-statistic has a relative standard error of about
    # sqrt((kurtosis - 1) / 400), below 0.15 for kurtosis below 10; the floor at the second-order
    # terms makes the estimate larger, never smaller, where the first-order ones vanish.
    assert 1 - 4 * 0.15 < variances.mean() / values.var() < 1 + 4 * 0.15
