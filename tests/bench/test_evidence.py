"""The script for a GPU runs, at a size for a CPU."""

import importlib.util
import json
from pathlib import Path

import pytest
import torch

SCRIPT = Path(__file__).parents[2] / "benchmarks/gpu_evidence.py"


@pytest.fixture
def script():
    spec = importlib.util.spec_from_file_location("gpu_evidence", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_at_smoke_size_it_writes_its_files_and_its_page(script, tmp_path):
    """Slow: it runs the gpu tests in a process of their own, and a study."""
    smaller = ["oracle.steps=20", "samples=100", "longtail.images=100", "splits.reference=100"]
    script.main(["--smoke", "--out", str(tmp_path / "results"), *smaller])
    tests, study = (
        json.loads((tmp_path / "results" / f"{name}.json").read_text())
        for name in ("tests", "study")
    )
    assert tests["exit"] == 0
    assert tests["failures"] == tests["errors"] == 0
    assert set(study["seconds"]) == {"1", "2"}
    assert {row["generation"] for row in study["census"]} == {0, 1, 2}
    page = (tmp_path / "results" / "README.md").read_text()
    assert "DDPM training" in page
    assert "TFLOP/s" in page


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_without_a_gpu_it_says_so(script, tmp_path):
    with pytest.raises(SystemExit, match="no GPU is here"):
        script.main(["--out", str(tmp_path)])
