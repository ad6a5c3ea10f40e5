"""Old samples and models go where nothing needs them, and no result changes."""

import json

import pytest

import imgcollapse as ic
from imgcollapse import cli
from imgcollapse.core.errors import UserError
from imgcollapse.io import checksums
from imgcollapse.io.atomic import sha256
from imgcollapse.report import write_grids
from imgcollapse.runs.lineage_dir import PrunedError

STUDY = """
generations: 3
samples: 40
data: {kind: digits}
longtail: {kind: exponential, factor: 8, images: 40}
splits: {oracle: 60, calibration: 30, reference: 40}
oracle: {kind: cnn, steps: 20, width: 8}
metrics: {per_class: false}
precision: float32
threads: 1
"""
VAE = "generator={kind: vae, steps: 3, width: 4, latent: 3, warm_start: true}"
KEEP_ONE = ["retention.samples=1", "retention.models=1"]
PRUNED = ["model.safetensors", "samples.safetensors"]


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """A study that keeps everything, and one that keeps its last generation, grown by two more."""
    folder = tmp_path_factory.mktemp("retention")
    config = folder / "study.yaml"
    config.write_text(STUDY)
    whole = ic.run(config, folder / "whole", [VAE, "generations=5"])
    ic.run(config, folder / "pruned", [VAE, *KEEP_ONE])
    return whole, ic.run(config, folder / "pruned", [VAE, *KEEP_ONE, "generations=5"])


def test_results_and_the_last_generation_are_those_of_a_study_that_keeps_all(both):
    whole, pruned = both
    assert pruned.census.equals(whole.census)
    assert pruned.metrics.equals(whole.metrics)
    for name in PRUNED:
        assert sha256(pruned.path / "gen_005" / name) == sha256(whole.path / "gen_005" / name)


def test_what_is_removed_is_said_and_the_rest_is_there(both):
    whole, pruned = both
    for g in range(6):
        here = {p.name for p in (pruned.path / f"gen_{g:03d}").iterdir()}
        there = {p.name for p in (whole.path / f"gen_{g:03d}").iterdir()}
        removed = set(PRUNED) if 1 <= g <= 4 else set()
        assert there - here == removed
        manifest = json.loads((pruned.path / f"gen_{g:03d}/manifest.json").read_text())
        assert set(manifest.get("pruned", ())) == removed
        assert set(manifest["files"]) == there - {"manifest.json"}
    with pytest.raises(PrunedError, match=r"gen_002/samples\.safetensors: was removed"):
        pruned.lineages[0].samples(2)


def test_reports_and_grids_do_with_what_is_left(both, tmp_path):
    whole, pruned = both
    page = ic.write_report([pruned.path], tmp_path / "page.html").read_text()
    assert "the 2 of 6 generations whose samples were kept" in page
    ic.write_report([whole.path, pruned.path], tmp_path / "both.html")
    for run in both:
        write_grids(run.path, tmp_path / run.path.name)
    for g in range(6):
        name = f"generation_{g:03d}.png"
        assert sha256(tmp_path / "whole" / name) == sha256(tmp_path / "pruned" / name)


def test_a_removal_that_was_cut_short_is_finished(both, tmp_path):
    whole, _ = both
    config = whole.path.parent / "study.yaml"
    ic.run(config, tmp_path / "run", [VAE])
    manifest = tmp_path / "run/gen_001/manifest.json"
    checksums.write_json(manifest, checksums.read_json(manifest, "") | {"pruned": PRUNED})
    again = ic.run(config, tmp_path / "run", [VAE, "generations=4"])
    assert not [name for name in PRUNED if (tmp_path / "run/gen_001" / name).exists()]
    assert all((tmp_path / "run/gen_002" / name).exists() for name in PRUNED)
    census = whole.census
    assert again.census.equals(census[census["generation"] <= 4])


@pytest.mark.parametrize(
    ("regime", "samples", "refused"),
    [
        ("accumulate", "1", True),
        ("accumulate-subsample", "9", True),
        ("accumulate", "all", False),
        ("replace", "1", False),
        ("real-only", "1", False),
        ("replace", "0", True),
    ],
)
def test_samples_that_a_regime_may_train_on_are_not_removed(config, regime, samples, refused):
    settings = [f"regime={regime}", f"retention.samples={samples}"]
    if not refused:
        assert ic.load_study(config, settings)
        return
    with pytest.raises(UserError, match=r"retention") as raised:
        ic.load_study(config, settings)
    assert "\n" not in str(raised.value)


def test_a_command_that_asks_for_a_removed_generation_says_so(both, monkeypatch, capsys):
    command = ["imgcollapse", "review", str(both[1].path), "--generation", "2", "--summary"]
    monkeypatch.setattr("sys.argv", command)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    assert "was removed" in capsys.readouterr().err
