"""Names of strangers, and machines on which names or folders are closed to us."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import pytest

from imgcollapse import cli
from imgcollapse.config.loader import load_study
from imgcollapse.core.errors import UserError
from imgcollapse.core.sanitize import (
    confusable,
    invalid_folder_reason,
    invalid_name_reason,
    one_line,
)

from .refusals import png, refusal


@pytest.mark.parametrize(
    ("name", "says"),
    [("dog", ""), ("Petit Basset Griffon Vendéen", ""), ("犬", ""), ("می‌خواهم", ""), ("../x", ""),
     ("CON", ""), ("", "empty"), (" ", "empty"), ("x" * 300, "300 characters"), ("a\0b", "U+0000"),
     ("a\nb", "U+000A"), ("\x1b[31mred", "U+001B"), ("\u202egnp", "U+202E"), ("a\u200bb", "U+200B"),
     ("\ud800", "U+D800"), ("a\u2028b", "U+2028"), ("\x9b31m", "U+009B")],
)  # fmt: skip
def test_what_a_class_may_be_called(name, says):
    assert says in (invalid_name_reason(name) or "")
    assert bool(says) == (invalid_name_reason(name) is not None)


FOLDERS = ("demo", "a b=1,c", "犬", "console", "nuls")
NO_FOLDERS = (
    *("", "..", ".", "a/b", "a\\b", "/x", "a:b", "a.", "a ", "a\0", "\u202ea", "x" * 300),
    *("CON", "con.txt", "COM1", "lpt9.x", "nul ", "Aux", "prn.tar.gz"),
)


@pytest.mark.parametrize("name", [*FOLDERS, *NO_FOLDERS])
def test_what_a_folder_may_be_called(name):
    assert (invalid_folder_reason(name) is None) == (name in FOLDERS)


def test_names_that_look_alike_are_told_apart():
    assert confusable(("cat", "dog", "Cat", "犬", "naïve")) == []
    assert "mixes letters of cyrillic and latin" in confusable(("c\u0430t", "dog"))[0]
    assert "look the same" in confusable(("cat", "\uff43at"))[0]
    assert "look the same" in confusable(("ab", "a\u200cb"))[0]
    assert confusable(("c\u0430t",))[0].isascii()


def test_a_line_stays_a_line():
    for text in ("plain", "é 犬", "a\nb\x1b[2J\x00\u202e\ud800\x9b", "x" * 10_000):
        once = one_line(text)
        assert once.isprintable()
        assert len(once) <= 12_000
        assert one_line(once) == once
    assert str(UserError("a\nb\x1b[31m")) == "a\\nb\\x1b[31m"


def test_class_folders_with_such_names_are_refused_in_one_line(tmp_path, config):
    names = [b"\xff\xfe", b"\x1b[31mred", "\u202egnp".encode(), b"a\nb", b"(unrecognised)"]
    for name in names:
        top = tmp_path / f"top{names.index(name)}"
        for folder in (name, b"dog"):
            place = os.fsencode(top) + b"/" + folder
            Path(os.fsdecode(place)).mkdir(parents=True)
            for i in range(60):
                Path(os.fsdecode(place), f"{i}.png").write_bytes(png())
        study = load_study(config, [f"data={{kind: folder, path: {top}}}"])
        assert "rename it" in refusal(study.real)


@pytest.mark.parametrize("name", ["..yaml", "...yaml", "CON.yaml", "a:b.yaml", "x" * 240 + ".yaml"])
def test_a_config_whose_name_is_no_folders_needs_a_place(
    tmp_path, config, monkeypatch, capsys, name
):
    monkeypatch.chdir(tmp_path)
    config.rename(tmp_path / name)
    monkeypatch.setattr(sys, "argv", ["imgcollapse", "run", name])
    before = sorted(tmp_path.iterdir())
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == before


def give_up_roots_rights() -> None:
    """In a child: root too may then write only where the folder's mode lets it."""
    if os.geteuid() == 0:
        for capability in (1, 2):  # to override, and to overlook, who may read and write what
            ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)


def bare(arguments, cwd, **variables):
    """The command in an environment that holds next to nothing."""
    there = {"PYTHONPATH": str(Path(cli.__file__).parents[2]), "PATH": os.defpath}
    return subprocess.run(
        [sys.executable, "-m", "imgcollapse", *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        env=there | {"OMP_NUM_THREADS": "1"} | variables,
        preexec_fn=give_up_roots_rights,
        timeout=300,
    )


def one_refusal(done) -> str:
    assert done.returncode == 2, done.stderr.decode(errors="replace")
    assert done.stderr.count(b"\n") == 1, done.stderr.decode(errors="replace")
    assert b"Traceback" not in done.stderr
    return done.stderr.decode(errors="replace")


@pytest.mark.faults  # Python is started twice, and torch imported
def test_without_home_or_locale_names_are_what_they_are(tmp_path, config):
    top = tmp_path / "d\u00f6gs"
    for name in ("Vend\u00e9en", "\u72ac"):
        (top / name).mkdir(parents=True)
        for i in range(60):
            (top / name / f"{i}.png").write_bytes(png())
    command = ["data", config, f"data={{kind: folder, path: {top}}}", "splits={oracle: 20}"]
    command += ["longtail={kind: exponential, factor: 2, images: 20}"]
    bare_c = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = bare(command, tmp_path, **bare_c)
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    assert "Vend\u00e9en" in done.stdout.decode()
    assert "\u72ac" in done.stdout.decode()


@pytest.fixture
def closed(tmp_path, config):
    """A folder that holds a study and cannot be written to."""
    folder = tmp_path / "closed"
    folder.mkdir()
    (folder / "study.yaml").write_bytes(config.read_bytes())
    folder.chmod(0o555)
    yield folder
    assert [path.name for path in folder.iterdir()] == ["study.yaml"]
    folder.chmod(0o755)


@pytest.mark.faults  # torch is imported anew
def test_a_folder_that_cannot_be_written_to_is_one_line(closed):
    assert "choose" in one_refusal(bare(["run", "study.yaml"], closed, HOME=os.environ["HOME"]))


@pytest.mark.faults  # without its cache matplotlib looks through all fonts
def test_where_nothing_can_be_written_one_line_says_so(closed):
    places = dict.fromkeys(("HOME", "TMPDIR", "MPLCONFIGDIR", "XDG_CACHE_HOME"), str(closed))
    for command in (["run", "study.yaml"], ["data", "study.yaml"]):
        assert "choose" in one_refusal(bare(command, closed, **places))
