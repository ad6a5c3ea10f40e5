"""What a user sees: one line, exit code 2, nothing written; and pictures where all is well."""

import json
import subprocess
import sys
import zipfile

import pytest
from PIL import Image

from imgcollapse.config.study import setting


def test_run_report_grid_and_data(imgcollapse, config, tmp_path):
    code, out, _ = imgcollapse("run", config, "generations=2", "--out", "run")
    assert code == 0
    assert out.strip() == "run/report.html"
    assert "<html" in (tmp_path / "run/report.html").read_text()

    code, out, _ = imgcollapse("grid", "run")
    assert code == 0
    for path in out.split():
        with Image.open(path) as picture:
            assert picture.width > 50
    assert any("vanishing" in path for path in out.split())

    code, out, _ = imgcollapse("data", config)
    assert code == 0
    assert "train" in out
    assert "sha256" in out
    assert (tmp_path / "data.png").is_file()

    code, out, _ = imgcollapse("report", "run", "--out", "page.html")
    assert (code, out.strip()) == (0, "page.html")


# diffusers' own schedulers do this with numpy 2.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_a_ddpm_is_exported_for_diffusers(imgcollapse, config, tmp_path):
    from diffusers import DDPMPipeline

    tiny = "generator={kind: ddpm, channels: [8], steps: 2, sample_steps: 2, conditional: true}"
    assert imgcollapse("run", config, "generations=1", tiny, "--out", "run")[0] == 0
    assert imgcollapse("export", "run", "--class", "3", "--out", "pipeline")[0] == 0
    pipeline = DDPMPipeline.from_pretrained(tmp_path / "pipeline")
    pipeline.set_progress_bar_config(disable=True)
    images = pipeline(batch_size=2, num_inference_steps=2, output_type="np").images
    assert images.shape[:3] == (2, 8, 8)
    for wrong in (["--generation", "7"], ["--lineage", "3"], ["--class", "dog"]):
        code, _, err = imgcollapse("export", "run", *wrong, "--out", "other")
        assert code == 2
        assert wrong[0] in err


def refused(call, *arguments):
    code, out, err = call(*arguments)
    assert code == 2, err
    assert out == ""
    assert len(err.strip().splitlines()) == 1, err
    assert "Traceback" not in err
    return err


def folder_of(tmp_path, **classes):
    root = tmp_path / "images"
    for name, count in classes.items():
        (root / name).mkdir(parents=True)
        for i in range(count):
            Image.new("RGB", (8, 8), (i * 9 % 255, 40, 90)).save(root / name / f"{i}.png")
    return root


def test_bad_input_is_one_line_and_nothing_is_written(imgcollapse, config, tmp_path):
    before = sorted(tmp_path.iterdir())
    wrong = {
        "generatons=3": "did you mean generations?",
        "generations=many": "valid integer",
        "data={kind: torchvision, name: MNIST, root: nowhere}": "nowhere",
        "data={kind: torchvision, name: MNIIST}": "MNIST",
        "data={kind: folder, path: nowhere}": "nowhere",
        "longtail.images=100000": "lower longtail.images",
        "longtail={kind: exponential, order: [seven]}": "has no class 'seven'",
        "device=abacus": "this machine has cpu",
        "labels=uniform": "set generator.conditional: true",
        "samples=20": "samples: 20 is fewer than the 40",
        "oracle={kind: backbone, weights: nowhere.pth}": "nowhere.pth",
    }
    for override, says in wrong.items():
        assert says in refused(imgcollapse, "run", config, override, "--out", "run"), override
        assert sorted(tmp_path.iterdir()) == before, override
    assert "No such file" in refused(imgcollapse, "run", "nowhere.yaml", "--out", "run")
    assert "not a run folder" in refused(imgcollapse, "report", "nowhere")
    assert "not a run folder" in refused(imgcollapse, "grid", tmp_path)
    refused(imgcollapse, "data", config, "--out", "nowhere/x.png")
    code, out, err = imgcollapse("data", config, "--out", "/proc/x.png")
    assert (code, err.count("\n")) == (2, 1)
    assert out.startswith("read as "), "what was understood comes before anything else"
    assert "choose a shorter name" in refused(imgcollapse, "run", config, "--out", "x" * 300)
    assert "has no smoke: section" in refused(imgcollapse, "run", config, "--smoke")
    assert sorted(tmp_path.iterdir()) == before


def test_an_output_folder_that_cannot_be_is_refused_before_any_work(imgcollapse, config, tmp_path):
    (tmp_path / "file").write_text("mine")
    err = refused(imgcollapse, "run", config, "--out", tmp_path / "file" / "run")
    assert "a file stands where a folder is needed" in err
    assert (tmp_path / "file").read_text() == "mine"


def test_a_class_without_a_usable_image_is_refused_by_name(imgcollapse, config, tmp_path):
    root = folder_of(tmp_path, beagle=40, poodle=1)
    (root / "poodle/0.png").write_bytes(b"")
    err = refused(imgcollapse, "run", config, f"data={{kind: folder, path: {root}}}")
    assert "poodle" in err


def test_unusable_images_are_listed_and_the_others_used(imgcollapse, config, tmp_path):
    root = folder_of(tmp_path, beagle=60, poodle=60)
    (root / "poodle/0.png").write_bytes(b"")
    (root / "poodle/1.png").write_bytes((root / "poodle/2.png").read_bytes()[:40])
    archive = tmp_path / "images.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in root.rglob("*.png"):
            file.write(path, path.relative_to(root))
    for source in (root, archive):
        arguments = (config, f"data={{kind: folder, path: {source}}}", "splits={oracle: 20}")
        code, out, _ = imgcollapse("data", *arguments, "--json")
        facts = json.loads(out)
        assert facts["source"]["splits"] == {"train": {"beagle": 60, "poodle": 58}}
        assert facts["source"]["passed_over"][0]["number"] == 2
        assert facts["sets"]["oracle"] == {"beagle": 20, "poodle": 20}
        code, out, err = imgcollapse("data", *arguments)
        assert code == 0, err
        assert "poodle/0.png" in out
        assert "poodle/1.png" in out


def test_the_installed_command_answers_without_a_traceback():
    command = [sys.executable, "-m", "imgcollapse"]
    help_text = subprocess.run([*command, "--help"], capture_output=True, text=True, check=True)
    for verb in ("run", "data", "report", "grid", "export"):
        assert f" {verb} " in help_text.stdout
    wrong = subprocess.run([*command, "run", "nowhere.yaml"], capture_output=True, text=True)
    assert wrong.returncode == 2
    assert wrong.stderr.count("\n") == 1


def test_only_a_run_may_be_started_as_several_processes(imgcollapse, config, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    for arguments in (["sweep", "s.yaml"], ["report", "run"], ["run", config, "--dry-run"]):
        code, out, err = imgcollapse(*arguments)
        assert (code, out) == (2, "")
        assert "started 2 times" in err
        assert err.count("\n") == 1


def test_h_and_version_are_answered():
    from importlib.metadata import version

    from typer.testing import CliRunner

    from imgcollapse.cli import app

    assert CliRunner().invoke(app, ["run", "-h"]).output.count("--allow-env-change") == 1
    assert "--allow-drift" not in CliRunner().invoke(app, ["run", "-h"]).output
    assert CliRunner().invoke(app, ["--version"]).output == version("imgcollapse") + "\n"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["run", "CONFIG", "--generations", "3"], "no dashes, as generations=value"),
        (["sweep", "s.yaml", "--seed=1"], "no dashes, as seed=value"),
        (["run", "CONFIG", "generations="], "write key=value"),
        (["sweep", "missing.yaml"], "such as configs/remedies/"),
        (["grid", "swept"], "such as swept/a, swept/b"),
        (["data", "CONFIG", "--out", "x.jpg"], "name it x.png"),
    ],
)
def test_a_slip_is_answered_with_what_to_write(imgcollapse, config, tmp_path, arguments, says):
    for arm in "ab":
        (tmp_path / "swept" / arm).mkdir(parents=True)
        (tmp_path / "swept" / arm / "run.json").write_text("{}")
    (tmp_path / "s.yaml").write_text("arms: {}\n")
    call = [str(config) if word == "CONFIG" else word for word in arguments]
    assert says in refused(imgcollapse, *call)


def test_home_is_found_where_a_shell_leaves_the_tilde(imgcollapse, config, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    for out in (["--out", "~/a.png"], ["--out=~/b.png"]):
        assert imgcollapse("data", config, *out)[0] == 0
    assert {path.name for path in (tmp_path / "home").iterdir()} == {"a.png", "b.png"}
    assert not (tmp_path / "~").exists()


def test_a_pipe_gets_class_names_whole(imgcollapse, config, tmp_path):
    name = "a_class_with_a_long_name_" * 6
    root = folder_of(tmp_path, **{name: 60, "poodle": 60})
    settings = [f"data={{kind: folder, path: {root}}}", "splits={oracle: 20}"]
    code, out, _ = imgcollapse("data", config, *settings)
    assert code == 0
    assert f" {name} " in out


def test_events_list_every_file_that_is_left_out(imgcollapse, config, tmp_path):
    root = folder_of(tmp_path, beagle=60, poodle=60)
    for i in range(30):
        (root / f"{i}.png").write_bytes(b"")
    data = (f"data={{kind: folder, path: {root}}}", "splits={oracle: 20}", "samples=null")
    code, out, err = imgcollapse(
        "run", config, *data, "generations=1", "lineages=2", "longtail.images=40", "--out", "run"
    )
    assert code == 0, err
    assert (out + err).count(": left out, ") == 10
    for lineage in ("lineage_000", "lineage_001"):
        lines = (tmp_path / "run" / lineage / "events.jsonl").read_text().splitlines()
        (event,) = [json.loads(line) for line in lines if '"passed_over"' in line]
        assert sorted(path for _, path, _ in event["files"]) == sorted(
            f"{i}.png" for i in range(30)
        )
    assert all(
        "run" in setting(f"data.{key}").may_change for key in ("layout", "encoding", "duplicates")
    )
