"""The doctor finds what is wrong, says how to fix it, and needs nothing that may be broken."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from imgcollapse import cli
from imgcollapse.cli.console import print_checks
from imgcollapse.tools.doctor import CheckResult, as_json, examine

ROOT = Path(cli.__file__).parents[2]


def doctor(tmp_path, *arguments, path=(), **variables):
    places = os.pathsep.join(map(str, (*path, ROOT)))
    return subprocess.run(
        [sys.executable, "-m", "imgcollapse", "doctor", *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": places, **variables},
        timeout=300,
    )


def findings(done):
    assert "Traceback" not in done.stderr
    held = json.loads(done.stdout)
    assert held["ok"] == (done.returncode == 0)
    return {found["topic"]: found for found in held["findings"]}


def test_all_is_well_where_the_tests_run(tmp_path):
    found = examine(tmp_path)
    assert not [f for f in found if f.verdict == "broken"]
    topics = {f.topic for f in found}
    assert {
        "python",
        "packages",
        "torch",
        "device",
        "threads",
        "disk",
        "fonts",
        "weights",
    } <= topics
    assert all(f.fix for f in found if f.verdict != "ok")
    assert list(tmp_path.iterdir()) == []


def broken_torch(tmp_path, code):
    """A torch that cannot be imported, on the path before the real one."""
    (tmp_path / "stub/torch").mkdir(parents=True)
    (tmp_path / "stub/torch/__init__.py").write_text(code)
    return tmp_path / "stub"


@pytest.mark.parametrize(
    ("code", "message", "fix"),
    [
        (
            "raise RuntimeError('operator torchvision::nms does not exist')",
            "do not fit together",
            "pip install --force-reinstall 'torch",
        ),
        ("raise OSError('libcudart.so.13: cannot open shared object')", "libcudart", "torch"),
        ("import os; os._exit(132)", "ends the process with code 132", "torch"),
        ("raise SystemExit(0)", "cannot be imported", "torch"),
    ],
)
def test_a_torch_that_cannot_be_imported_is_found(tmp_path, code, message, fix):
    stub = broken_torch(tmp_path, code)
    done = doctor(tmp_path, "--json", path=[stub])
    assert done.returncode == 1
    found = findings(done)["torch"]
    assert found["verdict"] == "broken"
    assert message in found["message"]
    assert fix in found["fix"]


def test_other_commands_point_to_the_doctor(tmp_path):
    stub = broken_torch(tmp_path, "raise RuntimeError('operator torchvision::nms does not exist')")
    (tmp_path / "study.yaml").write_text("data: digits")
    done = subprocess.run(
        [sys.executable, "-m", "imgcollapse", "run", "study.yaml"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (stub, ROOT)))},
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "imgcollapse doctor" in done.stderr


def test_what_lies_in_the_current_folder_is_not_run(tmp_path):
    (tmp_path / "torch.py").write_text("open('run', 'w')")
    (tmp_path / "json.py").write_text("open('run', 'w')")
    stub = broken_torch(tmp_path, "raise ImportError('none')")  # nor is the real one waited for
    done = subprocess.run(
        [sys.executable, "-P", "-m", "imgcollapse", "doctor"],
        cwd=tmp_path,
        capture_output=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (stub, ROOT)))},
    )
    assert done.returncode == 1
    assert b"ImportError: none" in done.stdout
    assert not (tmp_path / "run").exists()


FOUND = [
    CheckResult("python", "ok", "3.11"),
    CheckResult("disk", "remark", "slow\x1b[31m", "use another"),
    CheckResult("torch", "broken", "none", "install it"),
]


def test_a_log_has_a_plain_line_for_each_and_a_terminal_a_table():
    log = io.StringIO()
    print_checks(FOUND, Console(file=log))
    lines = log.getvalue().splitlines()
    assert len(lines) == len(FOUND) + 1
    assert lines[1] == "remark  disk          slow\\x1b[31m; use another"
    assert lines[-1] == "1 thing must be fixed before a study can run."
    screen = io.StringIO()
    print_checks(FOUND, Console(file=screen, force_terminal=True, width=60))
    assert "✗" in screen.getvalue()
    assert "\x1b[31mslow" not in screen.getvalue()


def test_as_json_says_whether_all_is_well():
    assert json.loads(as_json(FOUND[:2]))["ok"]
    assert not json.loads(as_json(FOUND))["ok"]
