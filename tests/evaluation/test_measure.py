"""What is said of images whose making is known."""

from __future__ import annotations

import math
import shutil
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

import imgcollapse as ic
from imgcollapse.core.images import unlabeled
from imgcollapse.tools.evaluate import by_chance

K = 10
UNRECOGNISED = "(unrecognised)"


def frame(evaluation):
    return evaluation.census.set_index("class")


def test_the_package_does_not_hide_the_function():
    """Importing imgcollapse.evaluation sets an attribute of the package."""
    assert callable(ic.evaluate)
    assert callable(ic.evaluate)


def test_packing_and_order_do_not_matter(run, held_out, tmp_path):
    """More images than the metrics compare at equal n, sorted by class: which n is no accident."""
    images = held_out.pixels.repeat(2, 1, 1, 1)[:300]
    classes = held_out.labels.repeat(2)[:300]
    top = tmp_path / "top"
    for row in range(300):
        folder = top / f"group {int(classes[row])}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(images[row, 0].numpy()).save(folder / f"{row}.png")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for file in sorted(top.rglob("*.png"), reverse=True):
            archive.write(file, file.relative_to(top))
    np.savez(tmp_path / "a.npz", images[classes.argsort()].numpy())
    packed = [top, tmp_path / "a.zip", tmp_path / "a.npz", unlabeled(images)]
    first, *others = [ic.evaluate(source, run) for source in packed]
    for other in others:
        assert other.census.equals(first.census)
        assert other.metrics.equals(first.metrics)
        assert other.record["images"]["sha256"] == first.record["images"]["sha256"]


def test_a_known_mixture_of_held_out_images(run, held_out):
    truth = torch.tensor([30, 0, 20, 6, 0, 15, 0, 12, 0, 0])
    rows = [(held_out.labels == k).nonzero().flatten()[:n] for k, n in enumerate(truth)]
    images = held_out.pixels[torch.cat(rows)]
    found = frame(ic.evaluate(unlabeled(images), run)).iloc[:K]
    share = (truth / truth.sum()).numpy()
    covered = (found["low"] <= share + 1e-12) & (share <= found["high"] + 1e-12)
    # Each of ten 95% intervals misses one time in twenty: four or more do one time in a thousand.
    assert covered.sum() >= K - 3
    present, absent = share > found["detection_limit"], truth.numpy() == 0
    assert (found["status"][absent] == "below-detection").sum() >= absent.sum() - 1
    assert (found["status"][present] == "present").all()
    assert found["n"].eq(int(truth.sum())).all()
    assert found["asked"].isna().all()


def test_real_images_are_like_real_images(run, held_out):
    """The reference itself: no distance, every interval about the real share."""
    result = ic.evaluate(unlabeled(held_out.pixels), run)
    found, metrics = frame(result).iloc[:K], result.metrics.set_index(["class", "metric"])["value"]
    assert (found["low"] <= found["expected"]).all()
    assert (found["high"] >= found["expected"]).all()
    # Float64 rounding in a trace over 64 features of size about 1.
    assert abs(metrics["", "fid"]) < 1e-9
    assert metrics["", "precision"] == metrics["", "recall"] == 1
    assert set(result.metrics["generation"]) == set(result.census["generation"]) == {1}


def test_noise_is_unrecognised(run):
    pixels = torch.randint(0, 256, (80, 1, 8, 8), generator=torch.Generator().manual_seed(0))
    result = ic.evaluate(unlabeled(pixels.to(torch.uint8)), run)
    assert frame(result).loc[UNRECOGNISED, "frequency"] >= 0.95
    fid = result.metrics.set_index(["class", "metric"]).loc["", :]
    assert fid.loc["fid", "value"] > fid.loc["fid_floor", "high"]


@pytest.mark.parametrize("case", ["one", "two", "one class", "copies", "one unrecognised"])
def test_few_and_equal_images(run, held_out, case):
    pixels = {
        "one": held_out.pixels[:1],
        "two": held_out.pixels[:2],
        "one class": held_out.pixels[held_out.labels == 3],
        "copies": held_out.pixels[:1].repeat(30, 1, 1, 1),
        "one unrecognised": torch.full((1, 1, 8, 8), 255, dtype=torch.uint8),
    }[case]
    result = ic.evaluate(unlabeled(pixels), run)
    values = result.metrics
    assert values["value"].map(math.isfinite).eq(values["note"].eq("")).all()
    census = frame(result).iloc[:K]
    known = frame(result).loc[UNRECOGNISED, "frequency"] < 1
    assert census["frequency"].notna().eq(known).all()
    assert frame(result).loc[UNRECOGNISED, "frequency"] == (case == "one unrecognised") or known
    if known:
        assert math.isclose(census["frequency"].sum(), 1)
    if case == "one class":
        assert census["status"].eq("present").tolist() == [k == 3 for k in range(K)]


def test_study_and_run_give_the_same(digits, run, held_out, tmp_path):
    """The oracle of a study is that of its run."""
    images = unlabeled(held_out.pixels[:40])
    of_run = ic.evaluate(images, run.path, overrides=["metrics.per_class=false"])
    of_study = ic.evaluate(images, digits, overrides=["metrics.per_class=false"])
    assert of_study.census.equals(of_run.census)
    assert of_study.metrics.equals(of_run.metrics)
    assert of_study.record["oracle"] == of_run.record["oracle"]
    assert of_run.record["oracle"]["accuracy"] == run.record["oracle"]["accuracy"]
    assert (of_run.metrics["class"] == "").all()


def test_a_generation_of_a_run(run):
    """Its folder is opened as it lies, and counted as the run counted it."""
    (lineage,) = run.lineages
    found = frame(ic.evaluate(lineage.folder(1), run))
    its = run.census[run.census["generation"] == 1].set_index("class")
    for column in ("n", "asked", "counted"):
        assert found[column].dropna().eq(its[column].dropna()).all()
    # The same sums in another order: a fixed point to within a few of the 1e-9 at which it stops.
    for column in ("frequency", "detection_limit"):
        assert np.allclose(found[column], its[column], rtol=0, atol=1e-7, equal_nan=True)


def test_the_band_of_chance_is_exact():
    """By the definition of a quantile, from binomial probabilities summed term by term."""
    n, shares = 30, torch.tensor([0.5, 0.3, 0.17, 0.03], dtype=torch.float64)
    band = by_chance(shares, n)
    for share, low, high in zip(shares.tolist(), band.drift_low, band.drift_high, strict=True):
        exact = [math.comb(n, i) * share**i * (1 - share) ** (n - i) for i in range(n + 1)]
        below, upto = round(low * n), round(high * n)
        assert sum(exact[:below]) < 0.025 <= sum(exact[: below + 1])
        assert sum(exact[:upto]) < 0.975 <= sum(exact[: upto + 1])
    assert band.without_loss == shares.tolist()


def test_photographs_of_other_things(run, shared_data):
    """Dogs in colour at 64 pixels, shown to a study of digits at 8: mended, and not recognised."""
    result = ic.evaluate(shared_data / "stanford-dogs-12x64px.zip", run)
    remarks = " ".join(result.record["images"]["remarks"])
    assert "scaled and cropped from" in remarks
    assert "converted from RGB to gray" in remarks
    assert frame(result).loc[UNRECOGNISED, "frequency"] > 0.5


def test_paper_dogs(tmp_path):
    """In colour, with names: fifteen of each of two breeds, asked for by their folders."""
    path = tmp_path / "dogs.yaml"
    path.write_text(
        "data: {kind: paper_dogs, size: 16, variety: 0.5}\n"
        "longtail: {kind: exponential, factor: 10, images: 100}\n"
        "splits: {oracle: 60, calibration: 20, reference: 100}\n"
        "generator: {kind: resample}\noracle: {kind: cnn, steps: 80, width: 16}\n"
        "metrics: {splits: 2, per_class: false}\nthreads: 1\n"
    )
    real = ic.load_study(path).real()
    for k in (0, 1):
        (tmp_path / "top" / real.classes[k]).mkdir(parents=True)
        for row in (real.reference.labels == k).nonzero().flatten()[:15]:
            image = Image.fromarray(real.reference.pixels[row].permute(1, 2, 0).numpy())
            image.save(tmp_path / "top" / real.classes[k] / f"{row}.png")
    found = frame(ic.evaluate(tmp_path / "top", path)).iloc[: len(real.classes)]
    assert found["asked"].tolist() == [15, 15, *[0] * (len(real.classes) - 2)]
    assert found["status"].iloc[:2].tolist() == ["present"] * 2
    # One wrong name of thirty would be a share of 0.03.
    assert found["frequency"].iloc[2:].sum() < 0.1


def test_a_run_moved_away_from_its_images(tmp_path):
    """Another path for the images may be set; other images may not."""
    pixels = np.random.default_rng(0).integers(0, 256, (80, 8, 8), dtype=np.uint8)
    for row in range(80):
        for home in ("one", "two"):
            folder = tmp_path / home / "ab"[row % 2]
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels[row]).save(folder / f"{row}.png")
    config = tmp_path / "a.yaml"
    config.write_text(
        f"data: {{kind: folder, path: {tmp_path / 'one'}, channels: 1}}\n"
        "longtail: {kind: exponential, factor: 2, images: 12}\n"
        "splits: {oracle: 8, calibration: 4, reference: 12}\ngenerations: 1\n"
        "generator: {kind: resample}\noracle: {kind: cnn, steps: 2, width: 4}\nthreads: 1\n"
    )
    run = ic.run(config, tmp_path / "run")
    shutil.rmtree(tmp_path / "one")
    with pytest.raises(ic.UserError, match="does not exist"):
        ic.evaluate(tmp_path / "two", run)
    there = [f"data.path={tmp_path / 'two'}"]
    assert ic.evaluate(tmp_path / "two", run, overrides=there).record["images"]["number"] == 80
    Image.fromarray(pixels[0] ^ 1).save(tmp_path / "two/a/0.png")
    for row in range(1, 80):
        Image.fromarray(pixels[row] ^ 1).save(tmp_path / f"two/{'ab'[row % 2]}/{row}.png")
    with pytest.raises(ic.UserError, match="the images are not those the run began with"):
        ic.evaluate(tmp_path / "two", run, overrides=there)


def test_what_a_run_has_settled(run, held_out):
    images = unlabeled(held_out.pixels[:2])
    with pytest.raises(ic.UserError, match=r"seed=1: is settled in .*run.json; set only data"):
        ic.evaluate(images, run, overrides=["seed=1"])
    with pytest.raises(ic.UserError, match="leave out --smoke"):
        ic.evaluate(images, run, smoke=True)
    with pytest.raises(ic.UserError, match=r"run.json: metrics.neighbors: unknown key"):
        ic.evaluate(images, run, overrides=["metrics.neighbors=3"])
    with pytest.raises(ic.UserError, match="not a run folder"):
        ic.evaluate(images, run.path / "gen_001")
