"""Labels beside images under another name than `labels` are refused, not dropped."""

import numpy as np
import pytest
from safetensors.numpy import save_file

from imgcollapse.core.errors import UserError
from imgcollapse.data.arrays import open_arrays

PIXELS = np.zeros((12, 8, 8, 3), np.uint8)
LABELS = np.arange(12)


@pytest.mark.parametrize(
    "beside",
    [
        {"fine_labels": LABELS},
        {"fine_labels": LABELS, "coarse_labels": LABELS},
        {"category": LABELS[:, None]},
        {"names": LABELS.astype(str)},
    ],
)
def test_labels_of_another_name_are_refused(tmp_path, beside):
    path = tmp_path / "x.npz"
    np.savez(path, images=PIXELS, **beside)
    with (
        pytest.raises(UserError, match=rf"holds {', '.join(sorted(beside))} beside 12 images, but"),
        open_arrays(path),
    ):
        pass


def test_labels_of_another_name_in_safetensors_are_refused(tmp_path):
    save_file({"pixels": PIXELS, "fine_labels": LABELS}, tmp_path / "x.safetensors")
    with (
        pytest.raises(UserError, match="holds fine_labels beside 12 images, but no labels"),
        open_arrays(tmp_path / "x.safetensors"),
    ):
        pass


@pytest.mark.parametrize(
    "beside", [{}, {"latents": np.zeros((12, 4))}, {"mean": np.zeros(3)}, {"seed": np.array(3)}]
)
def test_other_arrays_are_no_labels(tmp_path, beside):
    np.savez(tmp_path / "x.npz", images=PIXELS, **beside)
    with open_arrays(tmp_path / "x.npz") as found:
        assert (found.number, found.labels) == (12, None)
    np.savez(tmp_path / "y.npz", images=PIXELS, labels=LABELS, coarse_labels=LABELS, **beside)
    with open_arrays(tmp_path / "y.npz") as found:
        assert found.labels is not None
        assert found.labels.tolist() == LABELS.tolist()
