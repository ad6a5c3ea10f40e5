"""What a user gets wrong before any work: refused without torch; and folders that are chosen."""

import subprocess
import sys
from pathlib import Path

import pytest

import imgcollapse as ic
from imgcollapse.cli.app import free_place

WITHOUT_TORCH = """
import sys
from imgcollapse import cli
sys.argv = ["imgcollapse", *sys.argv[1:]]
try:
    cli.main()
finally:
    print("torch" in sys.modules)
"""

MISTAKES = [
    ("run nowhere.yaml", "nowhere.yaml: No such file or directory; name a YAML file"),
    ("run nowhere.yaml --dry-run", "nowhere.yaml: No such file or directory"),
    ("run .", ".: Is a directory; name a YAML file"),
    ("run broken.yaml", "broken.yaml: line 2 is not YAML"),
    ("run study.yaml seed", "'seed' is not a setting; write key=value"),
    ("run study.yaml --seed 1", "a setting has no dashes, as seed=value"),
    ("data study.yaml data.path=nowhere", "data.path: nowhere does not exist, looked for in /"),
    ("data study.yaml data={kind:\\ folder,path:\\ /x}", "data.path: /x does not exist; set it to"),
    ("chaos nowhere.yaml", "nowhere.yaml: No such file"),
    ("sweep nowhere.yaml", "such as configs/remedies/verifier.yaml"),
    ("evaluate nowhere.npz study.yaml", "nowhere.npz: does not exist; name a folder, zip, npz"),
    ("evaluate study.yaml nowhere", "nowhere: No such file"),
    ("evaluate study.yaml .", ".: not a run folder (no run.json)"),
    ("report nowhere", "nowhere: not a run folder"),
    ("verify nowhere", "nowhere: not a run folder"),
    ("grid nowhere", "nowhere: not a run folder"),
    ("review nowhere", "nowhere: not a run folder"),
    ("export nowhere --out x", "nowhere: not a run folder"),
]


@pytest.mark.parametrize(("words", "says"), MISTAKES)
def test_a_mistake_in_a_name_is_refused_before_torch_is_imported(words, says, tmp_path):
    (tmp_path / "study.yaml").write_text("data: {kind: folder, path: .}\n")
    (tmp_path / "broken.yaml").write_text("a: [1\n")
    line = [sys.executable, "-c", WITHOUT_TORCH, *words.replace("\\ ", "\0").split()]
    line = [word.replace("\0", " ") for word in line]
    done = subprocess.run(line, capture_output=True, text=True, cwd=tmp_path)
    assert says in done.stderr
    assert (done.returncode, done.stderr.count("\n"), done.stdout) == (2, 1, "False\n")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["broken.yaml", "study.yaml"]


def test_another_study_gets_another_folder_and_is_told(imgcollapse, config, tmp_path, monkeypatch):
    page_of = "imgcollapse.report.write_report", lambda folders: folders[0] / "report.html"
    monkeypatch.setattr(*page_of)

    def run(*settings):
        code, out, err = imgcollapse("run", config, "generations=1", *settings)
        assert code == 0, err
        return out.strip(), err

    assert run()[0] == "runs/study/report.html"
    page, said = run("seed=1")
    assert page == "runs/study_2/report.html"
    told = "runs/study: belongs to another study (seed is 0 there, 1 here); this is runs/study_2"
    assert told in said
    assert sorted(p.name for p in (tmp_path / "runs").iterdir()) == ["study", "study_2"]
    for seed, chosen in enumerate(("study", "study_2", "study_3")):  # the same goes on where it was
        study = ic.load_study(config, [f"seed={seed}", "generations=2"]).resolved()
        place = free_place(Path("runs/study"), lambda at, s=study: ic.Run.find(at, s), print)
        assert place == Path("runs") / chosen
    code, _, err = imgcollapse("run", config, "seed=1", "--out", "runs/study")
    assert code == 2
    assert "belongs to another study (seed is 0 there, 1 here); choose another --out" in err
    with pytest.raises(ic.UserError, match="belongs to another study"):
        ic.run(config, "runs/study", ["seed=1"])


def test_a_folder_of_something_else_is_still_refused(imgcollapse, config, tmp_path):
    (tmp_path / "runs/study").mkdir(parents=True)
    (tmp_path / "runs/study/mine.txt").touch()
    code, _, err = imgcollapse("run", config)
    assert code == 2
    assert "not empty and not a run folder" in err


def test_a_tilde_is_the_home_folder_from_python_too(config, tmp_path, monkeypatch):
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(tmp_path)
    config.rename(home / "study.yaml")
    run = ic.run("~/study.yaml", "~/run", ["generations=1"])
    assert run.path == home / "run"
    assert ic.Run.open("~/run").path == ic.Lineage("~/run").path == run.path
    assert ic.write_report(["~/run"], "~/page.html") == home / "page.html"
    assert not ic.verify("~/run", quick=True).wrong
    (home / "sweep.yaml").write_text("study: study.yaml\narms: {a: {}}\n")
    with pytest.raises(ic.UserError, match=f"{home}/run: not empty and not a sweep's folder"):
        ic.sweep("~/sweep.yaml", "~/run")
    with pytest.raises(ic.UserError, match=f"{home}/run/gen_001"):  # it would be written over
        ic.evaluate("~/run/gen_001", "~/run", "~/run/gen_001")
    made = {"run", "page.html", "study.yaml", "sweep.yaml"}
    assert made == {p.name for p in home.iterdir() if p.name[0] != "."}
    assert [p.name for p in tmp_path.iterdir()] == ["home"]
