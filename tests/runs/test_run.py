"""A whole study, from YAML to tables: the contract of the run folder, and resuming."""

import json
import shutil

import pandas as pd
import pytest
import torch
from contexts import run_context
from PIL import Image
from scipy.special import stdtrit
from threadpoolctl import threadpool_info

import imgcollapse as ic
from imgcollapse import census, metrics
from imgcollapse.config.loader import load_study
from imgcollapse.core.images import UNKNOWN
from imgcollapse.core.seeds import Seed
from imgcollapse.io import checksums, schemas
from imgcollapse.io.atomic import sha256, write_tensors

TINY = {
    "resample": [],
    "gaussian": ["generator={kind: gaussian, pca: 5}"],
    "mixture": ["generator={kind: mixture, pca: 5, components: 3}"],
    "vae": ["generator={kind: vae, epochs: 2, width: 4}"],
    "autoregressive": [
        "generator={kind: autoregressive, steps: 3, width: 8, tokens: {kind: words, size: 32}}"
    ],
    "ddpm": ["generator={kind: ddpm, channels: [8], steps: 5, sample_steps: 4, warmup: 1}"],
}


@pytest.mark.parametrize("kind", TINY)
def test_every_generator_leaves_a_whole_run_folder(config, tmp_path, kind):
    run = ic.run(config, tmp_path / "run", TINY[kind])
    assert run.record["format"] == 4
    assert run.record["study"]["generator"]["kind"] == kind
    (lineage,) = run.lineages
    assert lineage.generations == 4
    for g in range(4):
        manifest = lineage.manifest(g)
        names = {"samples.safetensors", "grid.png", "words.safetensors"}
        if g > 0:
            names |= {"training_set.safetensors"}
            names |= set() if kind == "resample" else {"model.safetensors"}
            assert set(manifest["seconds"]) == {"curate", "fit", "sample", "measure"}
        assert set(manifest["files"]) == names
        for name, digest in manifest["files"].items():
            assert sha256(lineage.folder(g) / name) == digest
        assert lineage.samples(g).pixels.shape == (40, 1, 8, 8)

    table = pd.read_csv(run.path / "census.csv")
    assert tuple(table.columns) == census.COLUMNS
    assert (table.groupby("generation").counted.sum() == 40).all()
    assert table.groupby("generation")["class"].count().eq(11).all()
    assert tuple(pd.read_csv(run.path / "metrics.csv").columns) == metrics.COLUMNS
    assert "nan" not in (run.path / "metrics.csv").read_text().lower()
    events = [json.loads(line) for line in (run.path / "events.jsonl").read_text().splitlines()]
    assert [e["generation"] for e in events if e["event"] == "generation"] == [0, 1, 2, 3]


def test_held_out_bits_are_those_of_the_model_that_was_kept(config, tmp_path):
    run = ic.run(config, tmp_path / "run", [*TINY["autoregressive"], "device=cpu"])
    rows = run.metrics.loc[run.metrics.metric == "bits_per_dim"].set_index("generation")
    assert rows.index.tolist() == [1, 2, 3]
    # The words of the first generation are handed down: one scale for all.
    assert rows.features.nunique() == 1
    study, (lineage,) = load_study(config, TINY["autoregressive"]), run.lineages
    held_out = study.real().reference
    model = study.generator.restore(
        lineage.model(3), run_context(Seed(("likelihood",)), shape=held_out.shape, classes=10)
    )
    bits = model.bits_per_dim(held_out)
    error = bits.std() / len(bits) ** 0.5
    half = stdtrit(len(bits) - 1, 0.975) * error
    expected = [bits.mean(), bits.mean() - half, bits.mean() + half, len(bits)]
    found = rows.loc[3, ["value", "low", "high", "n"]].tolist()
    assert found == pytest.approx([float(x) for x in expected], rel=1e-12)


def test_provenance_leads_every_training_image_back_to_its_source(config, tmp_path):
    run = ic.run(config, tmp_path / "run", ["regime=accumulate-subsample"])
    (lineage,) = run.lineages
    chosen, born = lineage.training_set(3), lineage.samples(3).pixels
    draw = (Seed((0, 0, 3)) / "sample").torch()
    drawn = chosen[torch.randint(len(chosen), (len(born),), generator=draw)]
    for generation, row, pixels in zip(
        drawn.generation.tolist(), drawn.row.tolist(), born, strict=True
    ):
        assert torch.equal(lineage.samples(generation).pixels[row], pixels)


@pytest.mark.parametrize(
    "regime",
    [
        "replace",
        "accumulate",
        "accumulate-subsample",
        "{kind: real-fraction, fraction: 0.2}",
        "{kind: real-fraction, fraction: 0.2, fresh: true}",
        "{kind: real-plus-synthetic, ratio: 0.5}",
        "fresh",
        "real-only",
    ],
)
def test_every_regime_runs(config, tmp_path, regime):
    run = ic.run(config, tmp_path / "run", [f"regime={regime}"])
    assert run.lineages[0].generations == 4


@pytest.mark.parametrize("policy", ["uniform", "real", "training"])
def test_a_conditional_model_is_asked_for_labels_and_the_census_keeps_them(
    config, tmp_path, policy
):
    conditional = TINY["ddpm"][0].replace("ddpm,", "ddpm, conditional: true,")
    run = ic.run(config, tmp_path / "run", [conditional, f"labels={policy}", "generations=2"])
    labels = run.lineages[0].samples(2).labels
    assert not (labels == UNKNOWN).any()
    last = run.census[(run.census.generation == 2) & (run.census["class"] != census.UNRECOGNIZED)]
    assert last.asked.tolist() == torch.bincount(labels.long(), minlength=10).tolist()
    if policy == "uniform":
        assert last.expected.tolist() == [0.1] * 10


def test_lineages_share_the_real_images_and_differ_in_everything_else(config, tmp_path):
    run = ic.run(config, tmp_path / "run", ["lineages=3"])
    assert run.census.columns[0] == "lineage"
    assert run.census.lineage.unique().tolist() == [0, 1, 2]
    one, two, _ = run.lineages
    assert one.path.name == "lineage_000"
    assert torch.equal(one.samples(0).pixels, two.samples(0).pixels)
    assert not torch.equal(one.samples(1).pixels, two.samples(1).pixels)
    assert (run.path / "census.csv").is_file()
    assert (one.path / "census.csv").is_file()


@pytest.mark.parametrize("kind", ["resample", "vae", "autoregressive", "ddpm"])
def test_a_run_that_lost_its_end_goes_on_to_the_same_bits(config, tmp_path, kind):
    warm = [f"{TINY[kind][0][:-1]}, warm_start: true}}"] if kind != "resample" else []
    whole = ic.run(config, tmp_path / "whole", warm)
    ic.run(config, tmp_path / "broken", warm)
    for lost in ("gen_002", "gen_003"):
        shutil.rmtree(tmp_path / "broken" / lost)
    (tmp_path / "broken/gen_002.tmp").mkdir()
    (tmp_path / "broken/census.csv").unlink()
    again = ic.run(config, tmp_path / "broken", warm)
    for name in ("census.csv", "metrics.csv", "gen_003/samples.safetensors"):
        assert sha256(whole.path / name) == sha256(again.path / name), name
    assert not list(again.path.glob("*.tmp"))


def test_more_generations_may_be_asked_for_later(config, tmp_path):
    ic.run(config, tmp_path / "run", ["generations=1"])
    longer = ic.run(config, tmp_path / "run", ["generations=3"])
    assert longer.record["study"]["generations"] == 3
    assert ic.Run.open(tmp_path / "run").record["study"]["generations"] == 3
    at_once = ic.run(config, tmp_path / "at_once", ["generations=3"])
    assert longer.census.equals(at_once.census)


def test_fewer_generations_than_there_are_is_refused(config, tmp_path):
    ic.run(config, tmp_path / "run")
    with pytest.raises(ic.UserError, match="generations: 2 is fewer than the 3"):
        ic.run(config, tmp_path / "run", ["generations=2"])
    assert ic.Run.open(tmp_path / "run").record["study"]["generations"] == 3


def test_a_lost_generation_in_the_middle_is_told_and_nothing_is_removed(config, tmp_path):
    run = ic.run(config, tmp_path / "run")
    shutil.rmtree(run.path / "gen_001")
    with pytest.raises(ic.UserError, match="gen_001: is missing but gen_002"):
        ic.run(config, tmp_path / "run")
    shutil.rmtree(run.path / "gen_002")
    shutil.rmtree(run.path / "gen_003")
    assert ic.run(config, tmp_path / "run").census.equals(run.census)


def test_a_log_line_cut_short_by_a_crash_does_not_swallow_the_next(config, tmp_path):
    run = ic.run(config, tmp_path / "run", ["generations=1"])
    with (run.path / "events.jsonl").open("a") as file:
        file.write('{"time": "2026-')
    ic.run(config, tmp_path / "run", ["generations=1"])
    lines = (run.path / "events.jsonl").read_text().splitlines()
    assert json.loads(lines[-1])["event"] == "start"


def test_the_images_may_move_as_long_as_they_are_the_same(config, tmp_path):
    for folder in ("here", "there"):
        for name, shade in (("a", 40), ("b", 200)):
            (tmp_path / folder / name).mkdir(parents=True)
            for i in range(40):
                Image.new("L", (8, 8), shade + i).save(tmp_path / folder / name / f"{i}.png")
    settings = ["longtail.images=20", "splits={oracle: 5, calibration: 5, reference: 10}"]
    source = "data={{kind: folder, path: {}, channels: 1}}"
    for folder, generations in (("here", 1), ("there", 2)):
        data = source.format(tmp_path / folder)
        run = ic.run(config, tmp_path / "run", [*settings, data, f"generations={generations}"])
    assert run.lineages[0].generations == 3


def test_every_metric_of_every_generation_has_its_floor_at_one_n(config, tmp_path):
    metrics = ic.run(config, tmp_path / "run", ["samples=60"]).metrics
    whole = metrics[metrics["class"] == ""]
    names = {"fid", "fid_infinity", "kid", "precision", "recall", "density", "coverage", "vendi"}
    chance = whole.metric.str.endswith("_chance")
    assert set(whole[chance].generation) == {1, 2, 3}
    assert whole[chance].metric.str.startswith("vocab_").all()
    whole = whole[~chance]
    words = whole.metric.str.startswith("vocab_")
    named = {name for name in whole[~words].metric if not name.endswith("_floor")}
    assert named == names | {"memorized"}
    assert (whole.groupby("generation").size() == whole.groupby("generation").size()[0]).all()
    defined = whole[whole.value.notna()]
    floors = {name for name in defined.metric if name.endswith("_floor")}
    assert {f"{name}_floor" for name in set(defined.metric) - floors} == floors
    assert (whole[whole.value.isna()].note != "").all(), "undefined, and nobody says why"
    assert set(whole[whole.metric != "memorized"].n) == {40}


def test_words_may_be_left_out(config, tmp_path):
    run = ic.run(config, tmp_path / "run", ["metrics.vocabulary=null", "generations=1"])
    assert not run.metrics.metric.str.startswith("vocab_").any()
    assert run.vocabulary() is run.lineages[0].words(1) is None
    assert not list(run.path.rglob("*words*"))


def test_a_run_goes_on_with_the_words_it_began_with(config, tmp_path):
    run = ic.run(config, tmp_path / "run", ["generations=1"])
    kept = run.vocabulary()
    kept["patches"] = 255 - kept["patches"]  # what another version might have learned
    digest = write_tensors(run.path / "vocabulary.safetensors", kept)
    run.record["files"]["vocabulary.safetensors"] = digest
    checksums.write_json(run.path / "run.json", run.record)
    run = ic.run(config, tmp_path / "run", ["generations=2"])
    words = run.metrics[run.metrics.metric == "vocab_entropy"].set_index("generation").features
    assert words[0] == words[1] != words[2]
    counts = run.lineages[0].words(2)
    assert counts["counts"].sum() == 40 * 9  # 3 x 3 words on 8 x 8 pixels


def test_a_fresh_regime_may_go_on_too(config, tmp_path):
    ic.run(config, tmp_path / "run", ["generations=2", "regime=fresh"])
    assert ic.run(config, tmp_path / "run", ["regime=fresh"]).lineages[0].generations == 4


def test_a_finished_run_is_not_touched(config, tmp_path):
    run = ic.run(config, tmp_path / "run")
    before = {p: p.stat().st_mtime_ns for p in run.path.glob("gen_*/*")}
    ic.run(config, tmp_path / "run")
    assert before == {p: p.stat().st_mtime_ns for p in run.path.glob("gen_*/*")}


def test_another_study_or_other_files_in_the_folder_are_refused(config, tmp_path):
    ic.run(config, tmp_path / "run", ["generations=1"])
    with pytest.raises(ic.UserError, match="belongs to another study \\(seed is 0 there, 1 here"):
        ic.run(config, tmp_path / "run", ["generations=1", "seed=1"])
    with pytest.raises(ic.UserError, match="not empty and not a run folder"):
        ic.run(config, tmp_path)


def test_other_images_than_the_run_began_with_are_refused(tmp_path, config):
    ic.run(config, tmp_path / "run", ["generations=1"])
    record = checksums.read_json(tmp_path / "run/run.json", "")
    record["data"]["sha256"] = "0" * 64
    checksums.write_json(tmp_path / "run/run.json", record)
    with pytest.raises(ic.UserError, match="the images are not those the run began with"):
        ic.run(config, tmp_path / "run", ["generations=1"])


def test_no_global_randomness_is_read_or_set(config, tmp_path):
    torch.manual_seed(1)
    before = torch.get_rng_state()
    one = ic.run(config, tmp_path / "one", TINY["ddpm"])
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(2)
    two = ic.run(config, tmp_path / "two", TINY["ddpm"])
    assert one.census.equals(two.census)


@pytest.mark.parametrize("damage", ["truncate", "empty"])
def test_a_damaged_file_is_named_in_one_line(config, tmp_path, damage):
    run = ic.run(config, tmp_path / "run", ["generations=1"])
    path = run.lineages[0].folder(1) / "samples.safetensors"
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2] if damage == "truncate" else b"")
    with pytest.raises(ic.UserError, match=r"samples\.safetensors: cannot be read") as raised:
        ic.run(config, tmp_path / "run", ["generations=2"])
    assert "\n" not in str(raised.value)


def test_a_study_holds_all_libraries_to_its_threads(config, tmp_path):
    ic.run(config, tmp_path / "run", ["generations=1"])
    assert {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"} == {1}


def test_a_training_set_too_large_to_be_recorded_is_refused_before_it_is_trained_on(
    config, tmp_path, monkeypatch
):
    monkeypatch.setattr(schemas, "MAX_TRAINING_IMAGES", 50)
    with pytest.raises(ic.UserError, match=r"would train on 80 images, and 50 is the most"):
        ic.run(config, tmp_path / "run", ["regime=accumulate"])
    assert ic.Run.open(tmp_path / "run").lineages[0].generations == 2
