"""An evaluation as tables, and the folder it is written to."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from imgcollapse.core.errors import UserError
from imgcollapse.io import atomic
from imgcollapse.runs.tables import write_table

EVALUATION, CENSUS, METRICS = "evaluation.json", "census.csv", "metrics.csv"


@dataclass(frozen=True)
class Evaluation:
    """The census and the metrics of a set of images.

    Attributes:
        census: class frequencies, with the columns of a run's census.csv; `drift_low` to
            `drift_high` is the exact 95% binomial band of a class among N independent draws from
            the real shares.
        metrics: distances to real images, with the columns of a run's metrics.csv.
        record: the contents of evaluation.json but for both tables.
    """

    census: pd.DataFrame
    metrics: pd.DataFrame
    record: dict[str, Any]

    def write(self, out: Path) -> None:
        """Write evaluation.json and both tables, in place of an earlier evaluation.

        Raises:
            UserError: the folder holds something else, or cannot be written.
        """
        check_out(out, self.record["images"]["path"], self.record["study"])
        out = out.resolve()
        former = out.with_name(f"{out.name}.former{atomic.ASIDE}")
        shutil.rmtree(former, ignore_errors=True)
        with atomic.new_folder(out) as folder:
            write_table(folder / CENSUS, self.census)
            write_table(folder / METRICS, self.metrics)
            tables = {"census": rows(self.census), "metrics": rows(self.metrics)}
            atomic.write_json(folder / EVALUATION, self.record | tables)
            with atomic.wrap_os_errors(out):
                if out.exists():
                    out.rename(former)
        shutil.rmtree(former, ignore_errors=True)


def check_out(out: Path, images: str | None, study: dict[str, Any]) -> None:
    """Check that a folder is empty, or holds an earlier evaluation of the same images.

    Args:
        out: the folder.
        images: absolute path of the images, or none.
        study: the resolved study.

    Raises:
        UserError: it holds something else.
    """
    with atomic.wrap_os_errors(out):
        held = {path.name for path in out.iterdir()} if out.exists() else set()
    if foreign := sorted(held - {EVALUATION, CENSUS, METRICS}):
        raise UserError(
            f"{out}: not empty and not an evaluation (it holds {foreign[0]}); choose another --out"
        )
    if held:
        there = atomic.read_json(out / EVALUATION, "remove the folder, or choose another --out")
        if (there.get("images", {}).get("path"), there.get("study")) != (images, study):
            raise UserError(
                f"{out}: is the evaluation of other images, or by another study; choose another "
                "--out"
            )
    atomic.check_writable(out)


def rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as JSON values; undefined ones are null."""
    values = table.astype(object)
    return values.where(table.notna(), None).to_dict("records")
