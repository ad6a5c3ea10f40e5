from __future__ import annotations

from pathlib import Path

from imgcollapse.config.loader import load_study
from imgcollapse.report.sections.citation import bibtex, fingerprint, to_yaml
from imgcollapse.runs.run_dir import Run

from .parsed import Page

DEMO = Path(__file__).parents[2] / "configs/demo.yaml"


def record(made_with: str = "0.1.0") -> dict:
    study = load_study(DEMO, ["data.seed=3"]).resolved()
    return {
        "study": study,
        "data": {"sha256": "0" * 64},
        "made_with": {"imgcollapse": made_with, "torch": "2.15.0"},
        "started": "2026-01-02T03:04:05+0000",
    }


def test_the_settings_are_the_same_study_again(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(to_yaml(record()["study"]), encoding="utf-8")
    assert load_study(tmp_path / "study.yaml").resolved() == record()["study"]


def test_the_box_holds_the_settings_as_a_file_that_is_the_same_study(
    vanishing: Run, report: Path, tmp_path: Path
) -> None:
    page = Page(report)
    settings = page.files["run.yaml"].decode()
    assert settings in page.text
    (tmp_path / "study.yaml").write_text(settings, encoding="utf-8")
    again = load_study(tmp_path / "study.yaml").resolved()
    stated = vanishing.record["study"]
    assert {key: again[key] for key in ("seed", "lineages", "generations", "samples")} == (
        {key: stated[key] for key in ("seed", "lineages", "generations", "samples")}
    )
    assert again["regime"]["kind"] == stated["regime"]["kind"]
    assert page.files["run.bib"].decode() in page.text
    assert fingerprint(vanishing.record) in page.text


def test_the_fingerprint_follows_everything_that_decides_the_bits() -> None:
    base, other = record(), record()
    other["started"] = "2027-01-01T00:00:00+0000"
    assert fingerprint(other) == fingerprint(base)
    other["study"]["seed"] = 1
    assert fingerprint(other) != fingerprint(base)
    assert fingerprint(record("0.2.0")) != fingerprint(base)


def test_the_references_are_whole() -> None:
    entries = bibtex(record())
    assert entries.count("{") == entries.count("}")
    assert "version = {0.1.0}" in entries
    assert "year    = {2026}" in entries
    assert "10.1038/s41586-024-07566-y" in entries
