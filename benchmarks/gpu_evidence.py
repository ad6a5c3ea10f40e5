"""Evidence from one GPU, made to take under ten minutes: gpu tests, bench and a short study.

    python benchmarks/gpu_evidence.py                              # CIFAR-10 is downloaded to data/
    python benchmarks/gpu_evidence.py data.kind=folder data.path=cifar10.zip
    python benchmarks/gpu_evidence.py --smoke --out /tmp/evidence  # seconds, on a CPU: that it runs

Writes tests.json, bench.json and study.json, and README.md, a page of them, to docs/results.
Settings after the options are the study's, as in `imgcollapse run`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from imgcollapse.cli.progress import ConsoleProgress
from imgcollapse.experiment.runner import run
from imgcollapse.io.atomic import make_folder, write_bytes, write_json
from imgcollapse.tools import bench

ROOT = Path(__file__).parents[1]
CONFIG = ROOT / "configs/cifar10_lt_ddpm.yaml"
SHORT = ["generations=2", "generator.steps=1500", "oracle.steps=1500"]
"""The config's own networks; fewer steps, so that two generations take minutes."""
DRAWN = ["data={kind: paper_dogs, size: 32}", "generator.steps=10"]
"""For the smoke run: images that need no download, on top of the config's smoke section."""


def main(arguments: list[str] | None = None) -> None:
    """Gather the evidence and write the page."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    options.add_argument("settings", nargs="*", metavar="key=value")
    options.add_argument("--out", type=Path, default=ROOT / "docs/results")
    options.add_argument("--smoke", action="store_true")
    asked = options.parse_args(arguments)
    if not (asked.smoke or torch.cuda.is_available()):
        sys.exit("no GPU is here; --smoke shows on a CPU that the script runs")
    begun, out = time.monotonic(), make_folder(asked.out)
    tests = tested()
    write_json(out / "tests.json", tests)
    parts = ["vae", "ddpm", "measuring"] if not asked.smoke else ["ddpm"]
    report = bench.bench(
        parts,
        "smoke" if asked.smoke else "gpu",
        repeats=1 if asked.smoke else 3,
        command="python benchmarks/gpu_evidence.py",
    )
    bench.write(report, out / "bench.json")
    study = studied(asked.settings, asked.smoke)
    write_json(out / "study.json", study)
    minutes = (time.monotonic() - begun) / 60
    write_bytes(out / "README.md", page(tests, report, study, minutes).encode())
    print(out / "README.md")


def tested() -> dict[str, Any]:
    """Run the part of the suite that needs a GPU, in a process of its own; counts by outcome."""
    with tempfile.TemporaryDirectory() as folder:
        found = Path(folder) / "tests.xml"
        command = [sys.executable, "-m", "pytest", "-m", "gpu", "tests", f"--junitxml={found}"]
        code = subprocess.run(command, cwd=ROOT, check=False).returncode  # noqa: S603 - our own tests
        suite = next(ET.parse(found).getroot().iter("testsuite"))  # noqa: S314 - pytest wrote it
        counts = {name: int(suite.get(name, 0)) for name in ("failures", "errors", "skipped")}
        total = int(suite.get("tests", 0))
        passed = total - sum(counts.values())
        return {
            "command": "pytest -m gpu",
            "exit": code,
            "passed": passed,
            **counts,
            "seconds": float(suite.get("time", 0)),
        }


def studied(settings: list[str], smoke: bool) -> dict[str, Any]:
    """Run the study in a folder that is thrown away; its tables, and where the time went."""
    overrides = [*(DRAWN if smoke else SHORT), *settings]
    with tempfile.TemporaryDirectory() as folder, ConsoleProgress() as display:
        begun = run(CONFIG, Path(folder) / "run", overrides, smoke=smoke, reporter=display)
        lineage = begun.lineages[0]
        metrics = begun.metrics
        shown = metrics[metrics["class"].isna() | (metrics["class"] == "")]
        return {
            "command": f"imgcollapse run {CONFIG.relative_to(ROOT)} {' '.join(overrides)}",
            "made_with": begun.record["made_with"],
            "oracle": {"accuracy": begun.record["oracle"]["accuracy"]},
            "seconds": {g: lineage.manifest(g)["seconds"] for g in range(1, lineage.generations)},
            "census": json.loads(begun.census.to_json(orient="records")),
            "metrics": json.loads(shown.to_json(orient="records")),
        }


def page(tests: dict[str, Any], report: bench.Report, study: dict[str, Any], minutes: float) -> str:
    """The same as a page in Markdown."""
    machine = report.machine
    lines = [
        "# Evidence from one GPU",
        "",
        f"`{report.command}`, {machine['device']}, torch {machine['torch']}, {report.date}, "
        f"{minutes:.1f} minutes; precision {machine['precision']}.",
        "",
        f"**Tests.** `{tests['command']}`: {tests['passed']} passed, {tests['failures']} failed, "
        f"{tests['errors']} errors, {tests['skipped']} skipped, {tests['seconds']:.0f} s.",
        "",
        "**Matrix products.** "
        + ", ".join(f"{name} {peak / 1e12:.1f} TFLOP/s" for name, peak in report.peak.items()),
        "",
        "| work | here, images/s | reference | ratio | steps alone | of peak | result |",
        "|---|---|---|---|---|---|---|",
    ]
    for found in report.comparisons:
        quality = found.quality
        result = f"{quality.what} {quality.difference:+.1%}" if quality else ""
        share = f"{found.peak_share:.1%}" if found.peak_share else ""
        lines.append(
            f"| {found.title} | {found.ours.median:,.0f} | {found.reference.median:,.0f} | "
            f"{spread(found.ratios)} | {spread(found.step_ratios)} | {share} | {result} |"
        )
    lines += ["", f"**Study.** `{study['command']}`", "", "| generation | seconds by stage |"]
    lines += ["|---|---|"]
    for g, seconds in study["seconds"].items():
        stages = ", ".join(f"{stage} {each:.1f}" for stage, each in seconds.items())
        lines.append(f"| {g} | {stages} |")
    return "\n".join(lines) + "\n"


def spread(ratios: Sequence[float]) -> str:
    """Median of ratios and their range, in words."""
    if not ratios:
        return ""
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


if __name__ == "__main__":
    main()
