"""`imgcollapse verify` finds changed files and samples, and says what it cannot check."""

import json
import shutil

import pytest
import torch
from typer.testing import CliRunner

import imgcollapse as ic
from imgcollapse.cli import app
from imgcollapse.core.lineage_images import TrainingSet
from imgcollapse.io import checksums
from imgcollapse.io.atomic import sha256, write_tensors
from imgcollapse.runs.lineage_dir import Lineage

KINDS = {
    "resample": "generator=resample",
    "gaussian": "generator={kind: gaussian, pca: 5}",
    "mixture": "generator={kind: mixture, pca: 5, components: 3}",
    "vae": "generator={kind: vae, epochs: 2, width: 4}",
    "autoregressive": (
        "generator={kind: autoregressive, steps: 3, width: 8, sample_batch: 16, warm_start: true, "
        "tokens: {kind: words, size: 32}}"
    ),
    "ddpm": (
        "generator={kind: ddpm, channels: [8], steps: 5, sample_steps: 4, warmup: 1, "
        "conditional: true, sample_batch: 16}"
    ),
}


def verdicts(found) -> dict[str, str]:
    return {check.name: check.verdict for check in found.checks}


def reseal(lineage: Lineage, g: int, name: str, tensors) -> None:
    """Put other contents into a generation, and a manifest with their hash."""
    path = lineage.folder(g) / "manifest.json"
    manifest = checksums.read_json(path, "")
    manifest["files"][name] = write_tensors(lineage.folder(g) / name, tensors)
    checksums.write_json(path, manifest)


def test_a_whole_run_is_ok(finished):
    before = {p: (p.stat().st_mtime_ns, sha256(p)) for p in finished.rglob("*") if p.is_file()}
    found = ic.verify(finished)
    assert not found.wrong
    assert not found.notes
    assert set(verdicts(found)) == {"files", "tables", "lineages", "sampling", "training"}
    assert set(verdicts(found).values()) == {"ok"}
    assert set(verdicts(ic.verify(finished, quick=True))) == {"files", "tables"}
    files = [p for p in finished.rglob("*") if p.is_file() and p.suffix != ".csv"]
    assert found.checks[0].extent.startswith(f"{len(files)} files")
    assert before == {p: (p.stat().st_mtime_ns, sha256(p)) for p in before}


@pytest.mark.parametrize("kind", KINDS)
def test_every_generator_is_replayed(study, tmp_path, kind):
    ic.run(study, tmp_path / "run", [KINDS[kind]])
    found = ic.verify(tmp_path / "run")
    assert not found.wrong
    assert not found.notes
    assert verdicts(found).pop("sampling") == "ok"
    stores_training_set = kind == "resample"  # its model is its training set
    assert verdicts(found)["training"] == ("nothing to check" if stores_training_set else "ok")


@pytest.mark.parametrize(
    "settings",
    [
        ["curation={kind: watermark}", "regime=accumulate", "samples=50"],
        ["regime={kind: real-fraction, fraction: 0.2, fresh: true}", "lineages=2"],
    ],
)
def test_marks_and_fresh_real_images_are_replayed_too(study, tmp_path, settings):
    ic.run(study, tmp_path / "run", settings)
    found = ic.verify(tmp_path / "run")
    assert not found.wrong
    assert not found.notes
    assert set(verdicts(found).values()) == {"ok"}


def test_samples_that_the_model_never_drew_are_found(run_folder):
    lineage = Lineage(run_folder)
    tensors = {name: t.clone() for name, t in lineage._load(2, "samples.safetensors").items()}
    tensors["pixels"][3, 0, 4, 4] ^= 1
    reseal(lineage, 2, "samples.safetensors", tensors)
    (line,) = ic.verify(run_folder).wrong
    assert "gen_002: 80 replayed samples differ on the recorded machine" in line
    assert line.endswith("remove this and all later generations to train them again")


def test_a_model_that_was_trained_on_something_else_is_found(run_folder):
    lineage = Lineage(run_folder)
    state = {name: t.clone() for name, t in lineage.model(2).items()}
    name = next(iter(state))
    state[name] = state[name] + 1
    reseal(lineage, 2, "model.safetensors", state)
    wrong = ic.verify(run_folder).wrong
    assert any("the weights of a replayed training differ" in line for line in wrong)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t["generation"].__setitem__(0, 2), "has a row of generation 2, a later one"),
        (lambda t: t["row"].__setitem__(0, 80), "has a row that is not in generation 1"),
        (lambda t: t["row"].__setitem__(0, -5), "has a row that is not in generation 1"),
    ],
)
def test_a_training_set_that_cannot_be_is_found(run_folder, change, said):
    lineage = Lineage(run_folder)
    tensors = {n: t.clone() for n, t in vars(lineage.training_set(2)).items()}
    change(tensors)
    reseal(lineage, 2, "training_set.safetensors", TrainingSet(**tensors).runs())
    wrong = ic.verify(run_folder).wrong
    assert any(f"gen_002/training_set.safetensors: {said}" in line for line in wrong), wrong


def test_a_training_image_that_no_filter_kept_is_found(run_folder):
    lineage = Lineage(run_folder)
    tensors = {n: t.clone() for n, t in vars(lineage.training_set(2)).items()}
    dropped = set(range(80)) - set(lineage.selection(1).rows.tolist())
    tensors["row"][0] = min(dropped)
    reseal(lineage, 2, "training_set.safetensors", TrainingSet(**tensors).runs())
    wrong = ic.verify(run_folder).wrong
    assert any("has a row that the filters removed" in line for line in wrong), wrong


def test_a_census_that_counts_otherwise_is_found(run_folder):
    path = run_folder / "gen_001/manifest.json"
    manifest = checksums.read_json(path, "")
    manifest["census"][0]["counted"] += 1
    checksums.write_json(path, manifest)
    Lineage(run_folder).write_tables()
    (line,) = ic.verify(run_folder).wrong
    assert "manifest.json: its census does not agree with samples.safetensors" in line


def test_other_software_is_a_note_and_no_error(run_folder, monkeypatch):
    lineage = Lineage(run_folder)
    tensors = {name: t.clone() for name, t in lineage._load(2, "samples.safetensors").items()}
    tensors["pixels"][3, 0, 4, 4] ^= 1  # as another version might have drawn it
    reseal(lineage, 2, "samples.safetensors", tensors)
    path = run_folder / "gen_002/manifest.json"
    manifest = checksums.read_json(path, "")
    manifest["made_with"]["torch"] = "0.1"
    checksums.write_json(path, manifest)
    found = ic.verify(run_folder)
    assert not found.wrong
    (note,) = found.notes
    assert "as they may (torch 0.1 then and" in note
    assert verdicts(found)["sampling"] == "not replayed"
    assert verdicts(found)["training"] == "ok"  # the same bits all the same


def test_what_retention_removed_is_no_damage(run_folder):
    path = run_folder / "gen_002/manifest.json"
    manifest = checksums.read_json(path, "")
    manifest["pruned"] = ["model.safetensors"]
    checksums.write_json(path, manifest)
    (run_folder / "gen_002/model.safetensors").unlink()
    found = ic.verify(run_folder)
    assert not found.wrong
    assert len(found.notes) == 2
    assert all("model.safetensors was removed to save space" in note for note in found.notes)
    assert verdicts(found)["training"] == verdicts(found)["sampling"] == "not replayed"


def test_a_sweep_is_verified_arm_by_arm(finished, tmp_path):
    record = checksums.read_json(finished / "run.json", "")
    arms = [{"name": n, "title": n, "study": record["study"]} for n in ("a", "b", "c")]
    for arm in ("a", "b"):
        shutil.copytree(finished, tmp_path / arm)
    checksums.write_json(tmp_path / "sweep.json", {"format": 2, "arms": arms})
    found = ic.verify(tmp_path, quick=True)
    assert not found.wrong
    assert found.notes == [f"{tmp_path / 'c'}: has not begun"]
    data = bytearray((tmp_path / "b/gen_001/model.safetensors").read_bytes())
    data[-1] ^= 1
    (tmp_path / "b/gen_001/model.safetensors").write_bytes(data)
    (line,) = ic.verify(tmp_path, quick=True).wrong
    assert line.startswith(str(tmp_path / "b/gen_001/model.safetensors"))
    text = (tmp_path / "sweep.json").read_text()
    (tmp_path / "sweep.json").write_text(text.replace('"title": "a"', '"title": "A"'))
    assert any("sweep.json: cannot be read (damaged" in x for x in ic.verify(tmp_path, True).wrong)


def test_the_command_says_what_is_wrong_and_fails(run_folder):
    intact = CliRunner().invoke(app, ["verify", str(run_folder), "--quick"])
    assert intact.exit_code == 0
    assert "every file is intact" in intact.stdout
    (run_folder / "oracle.safetensors").write_bytes(b"")
    torch.manual_seed(0)
    broken = CliRunner().invoke(app, ["verify", str(run_folder), "--quick"])
    assert broken.exit_code == 1
    assert f"imgcollapse: {run_folder}/oracle.safetensors: cannot be read" in broken.stderr
    assert "1 error" in broken.stdout
    for path in run_folder.rglob("manifest.json"):
        path.unlink()
    assert "Traceback" not in CliRunner().invoke(app, ["verify", str(run_folder)]).output


def test_no_run_is_refused(tmp_path):
    with pytest.raises(ic.UserError, match="not a run folder"):
        ic.verify(tmp_path)


def test_people_may_go_on_with_their_picks(run_folder):
    path = run_folder / "gen_002/manifest.json"
    manifest = checksums.read_json(path, "")
    manifest["evidence"] = {"picks/gen_001.json": "0" * 64}
    checksums.write_json(path, manifest)
    (run_folder / "picks").mkdir()
    picks = run_folder / "picks/gen_001.json"
    checksums.write_json(picks, {"format": 1})
    found = ic.verify(run_folder, quick=True)
    assert not found.wrong
    assert "picks/gen_001.json: changed after generation 2 was trained" in found.notes[0]
    text = picks.read_text().replace("1", "2", 1)
    picks.write_text(text)
    (line,) = ic.verify(run_folder, quick=True).wrong
    assert line.startswith(f"{picks}: cannot be read (damaged")
    picks.write_text(json.dumps({"format": 1}))  # by hand: no checksum, and no error
    assert not ic.verify(run_folder, quick=True).wrong


def test_a_part_that_is_not_installed_is_an_error_of_one_line(small_run):
    record = checksums.read_json(small_run / "run.json", "")
    record["study"]["generator"] = {"kind": "no_such_module:Noise"}
    checksums.write_json(small_run / "run.json", record)
    done = CliRunner().invoke(app, ["verify", str(small_run)])
    assert done.exit_code == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"imgcollapse: {small_run}/run.json: study.generator")
    assert "no_such_module" in line
    assert "install what it needs" in line
