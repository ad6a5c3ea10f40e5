"""Section "When each class was last detected": the census at the end, class by class."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from imgcollapse.report.census_arrays import CensusArrays
from imgcollapse.report.chart import palette
from imgcollapse.report.data import PageData
from imgcollapse.report.figure import side_by_side
from imgcollapse.report.formatting import NONE, generations_text, percent
from imgcollapse.report.section import Block, Column, Panels, Section, Table, TableRow, Text
from imgcollapse.report.survival import survival_curve_of, survival_panels


class LastDetected(Section):
    """The share of each class in the last generation, and when the class was last detected."""

    name, runs = "seen", "one"
    heading = "When each class was last detected"

    def blocks(self, data: PageData) -> Sequence[Block]:
        """The table; of several lineages survival curves as well."""
        census = data.run.census
        several = len(census.lineages) > 1
        said = (
            "Shares are among the recognized samples, estimated from the oracle's calibrated "
            "probabilities by expectation-maximization, so that its mistakes on held-out real "
            "images are corrected for; intervals carry both sampling and that correction. A class "
            "is detected in a generation where its interval leaves out 0; missed in three "
            "generations running that would have shown it at its real share, it is called extinct."
        )
        said += " Shares and limits are means over lineages." if several else ""
        found: list[Block] = [_table(census), Text(said)]
        panels = [figure for _, figure in survival_panels(census, data.run.drift_test)]
        if panels:
            survival = (
                "Survival: the share of lineages in which the class is not yet called extinct "
                "(Kaplan–Meier, with 95% interval); dashed, what chance alone gives under the same "
                "rule."
            )
            found += [Text(survival), Panels(panels, side_by_side("survival", panels))]
        return found


def _table(census: CensusArrays) -> Table:
    several = len(census.lineages) > 1
    range_of = "range" if several else "95% interval"
    columns = [
        Column("class"),
        Column("real share", number=True, wide=True),
        Column("real images", number=True, wide=True),
        Column(f"share in generation {census.last} ({range_of})"),
        Column("detection limit", number=True, wide=True),
        Column("last detected in", number=True),
        *([Column("half extinct by", number=True, wide=True)] if several else []),
        Column("status"),
    ]
    return Table("When each class was last detected", columns, class_rows(census))


def class_rows(census: CensusArrays) -> list[TableRow]:
    """One row for each class, common to rare, in the columns of the table."""
    real = census.training / census.training.sum()
    several = len(census.lineages) > 1
    return [
        TableRow(
            [
                name,
                percent(real[k]),
                f"{census.training[k]:,}",
                _share(census, k),
                _mean_percent(census.limit[:, census.last, k]),
                generations_text(census.last_detected[:, k]),
                *([_half(census, k)] if several else []),
                _status(census, k),
            ],
            color,
            alert=bool(census.gone[:, k].all()),
        )
        for k, (name, color) in enumerate(
            zip(census.classes, palette(len(census.classes)), strict=True)
        )
    ]


def _share(census: CensusArrays, k: int) -> str:
    """The share in the last generation with its interval; of several lineages mean and range."""
    shares = census.frequency[:, census.last, k]
    shares = shares[np.isfinite(shares)]
    if not len(shares):
        return "undefined"
    low, high = shares.min(), shares.max()
    if len(census.lineages) == 1:
        low, high = census.low[0, census.last, k], census.high[0, census.last, k]
    return f"{percent(shares.mean())} ({percent(low)} to {percent(high)})"


def _mean_percent(values: np.ndarray) -> str:
    there = values[np.isfinite(values)]
    return percent(there.mean()) if len(there) else NONE


def _status(census: CensusArrays, k: int) -> str:
    extinct, gone = census.extinct[:, census.last, k], census.gone[:, k]
    lineages = len(gone)
    if lineages > 1:
        below = (gone & ~extinct).sum()
        parts = [f"extinct in {extinct.sum()}"] * bool(extinct.any())
        parts += [f"below detection in {below}"] * bool(below)
        return f"{', '.join(parts)} of {lineages}" if parts else "present in all"
    if extinct[0]:
        return f"extinct, called in {census.called[0, k]}"
    return "below detection" if gone[0] else "present"


def _half(census: CensusArrays, k: int) -> str:
    """Median survival over lineages."""
    median = survival_curve_of(census, k).median
    return NONE if median is None else str(median)
