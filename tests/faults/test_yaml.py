"""YAML of strangers is refused in one line, and counted before it is made."""

from __future__ import annotations

import sys
import time
import tracemalloc
from pathlib import Path

import pytest

from imgcollapse.config import yaml
from imgcollapse.config.loader import load_study
from imgcollapse.sweeps import load_plan

from .refusals import refusal


def laughs(levels: int) -> str:
    lines = ["a0: &a0 [lol, lol]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, levels)]
    return "\n".join(lines)


YAML_BOMBS = {
    "a billion laughs": (laughs(12), "more than 20,000 values"),
    "laughs by merging": (
        "a: &a {"
        + ", ".join(f"k{i}: 1" for i in range(999))
        + "}\n"
        + "\n".join(f"b{i}: {{<<: *a}}" for i in range(999)),
        "more than 20,000 values",
    ),
    "an alias of itself": ("a: &a [*a]", "holds itself"),
    "an alias of nothing": ("a: *b", "undefined alias"),
    "a deep list": ("a: " + "[" * 5000, "more than 20 levels"),
    "a deep mapping": ("{a: " * 5000, "more than 20 levels"),
    "a deep block": ("\n".join(" " * i + "a:" for i in range(400)), "more than 20 levels"),
    "a tag that runs": ("a: !!python/object/apply:os.system [echo]", "tags such as"),
    "a tag": ("a: !!binary aGk=", "tags such as"),
    "a tag of its own": ("a: !x 1", "tags such as"),
    "a huge scalar": ("a: " + "x" * 2**19, "more than 256 KiB"),
    "many values": ("a: [" + "1," * 40_000 + "]", "more than 20,000 values"),
    "a long number": ("seed: " + "9" * 5000, "is not YAML"),
    "a large number": ("seed: " + "9" * 400, "400 digits"),
    "a time that is none": ("seed: 2026-13-45", "is not YAML"),
    "the same key twice": ("seed: 1\nseed: 2", "duplicate key"),
    "a key that is a list": ("? [a, b]\n: 1", ""),
    "a key that is a mapping": ("? {a: b}\n: 1", ""),
    "two documents": ("a: 1\n---\nb: 2", "another document"),
    "a NUL": ('a: "x\\0y"', "U+0000"),
    "an escape": ('a: "\\e[31mred"', "U+001B"),
    "text turned around": ('a: "\\u202Egnp.exe"', "U+202E"),
    "half a character": ('a: "\\ud800"', ""),
    "an odd version": ("%YAML 9.9\n---\na: 1", ""),
    "a tab": ("a:\n\t- 1", "is not YAML"),
    "nothing but anchors": ("&a &b x", "is not YAML"),
    "a NUL in the text": ("a: \0", "is not YAML"),
}


@pytest.mark.parametrize("name", YAML_BOMBS)
def test_yaml_that_is_no_study_is_one_line(tmp_path, name):
    text, says = YAML_BOMBS[name]
    path = tmp_path / "study.yaml"
    path.write_text(text, encoding="utf-8")
    said = refusal(load_study, path)
    assert says in said
    assert str(path) in said
    assert len(said) < 2100


def test_laughs_are_counted_before_they_are_laughed():
    tracemalloc.start()
    refusal(yaml.parse, laughs(30), "here")  # 2 * 9^29 words
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10_000_000


def test_aliases_that_do_not_multiply_are_read_and_do_not_share(tmp_path):
    held = yaml.parse("a: &x {k: 1}\nb: *x\nc: {<<: *x, l: 2}", "here")
    assert held == {"a": {"k": 1}, "b": {"k": 1}, "c": {"k": 1, "l": 2}}
    assert held["a"] is not held["b"]


@pytest.mark.parametrize(
    "overrides",
    [
        ["generations=.nan"],
        ["generator={kind: vae, lr: .inf}"],
        ["generator={kind: vae, lr: -.inf}"],
        ["longtail.factor=.nan"],
        ["samples=.inf"],
        ["seed=1e999"],
        ["seed=-1"],
        ["seed=99999999999999999999"],
        ["metrics.memorized_quantile=.nan"],
        ["generator.kind=antigravity:fly"],
        ["generator.kind=this:s"],
        ["generator.kind=imgcollapse.__main__:main"],
        ["generator.kind=':'"],
        ["generator.kind='..:x'"],
        ["generator.kind=os:system"],
        ['data={kind: folder, path: "a\\0b"}'],
    ],
)
def test_numbers_that_are_none_and_kinds_that_are_pythons_are_refused(config, overrides):
    before = set(sys.modules)
    said = refusal(load_study, config, overrides)
    assert overrides[0].split("=")[0].split(".")[0] in said
    assert not {"antigravity", "this"} & (set(sys.modules) - before)


def test_a_part_that_fails_as_it_is_imported_is_one_line(config, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    for name, code in {"ends": "raise SystemExit(3)", "breaks": "1/0", "typo": "def"}.items():
        (tmp_path / f"part_that_{name}.py").write_text(code)
        said = refusal(load_study, config, [f"generator.kind=part_that_{name}:Part"])
        assert "cannot be imported" in said


def test_a_config_that_never_ends_is_not_read_to_its_end():
    began = time.monotonic()
    assert "more than 256 KiB" in refusal(load_study, Path("/dev/zero"))
    assert time.monotonic() - began < 60  # it would never return


def test_a_grid_of_more_arms_than_there_are_atoms_is_refused(tmp_path):
    path = tmp_path / "sweep.yaml"
    points = "".join(f"  k{i}: [{', '.join(map(str, range(20)))}]\n" for i in range(20))
    path.write_text(f"study: {{data: digits, generator: resample}}\ngrid:\n{points}")
    assert "more than 10,000" in refusal(load_plan, path)


@pytest.mark.parametrize("name", ["CON", "a.", "x" * 201])
def test_an_arm_is_called_what_a_folder_may_be_called(tmp_path, name):
    path = tmp_path / "sweep.yaml"
    path.write_text(
        f"study: {{data: digits, generator: resample}}\narms: {{'{name}': {{seed: 1}}}}"
    )
    assert "choose another" in refusal(load_plan, path)
