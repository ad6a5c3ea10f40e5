"""The numbers in a comparison's figures, as tables of all arms."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from imgcollapse.report.census_arrays import Cube
from imgcollapse.report.comparison.aligned_runs import Arm
from imgcollapse.report.comparison.differences import Difference
from imgcollapse.report.comparison.measures import Measure
from imgcollapse.report.comparison.survival_data import SurvivalData
from imgcollapse.report.long_tables import tidy


def over_generations(
    arm: Arm, values: Cube, ends: tuple[Cube, Cube], **beside: Cube | None
) -> pd.DataFrame:
    """A measure by lineage and generation, float64[L, G]; only the mean has an interval, `ends`."""
    nothing = np.full_like(values, np.nan)
    table = tidy(arm.lineages, "value", values, nothing, nothing, **beside)
    if "lineage" in table:  # kept where the measure can be, as the band is drawn
        means = table["lineage"] == "mean"
        table.loc[means, "low"], table.loc[means, "high"] = ends
    else:
        table.insert(0, "lineage", "".join(map(str, arm.lineages)))
    table.insert(0, "arm", arm.title)
    return table


def survival(arm: Arm, lives: SurvivalData) -> pd.DataFrame:
    """The steps of an arm's Kaplan-Meier curve."""
    curve = lives.curve()
    steps = {"generation": curve.generation, "alive": curve.alive}
    return pd.DataFrame({"arm": arm.title, **steps, "low": curve.low, "high": curve.high})


def differences(
    measure: Measure, arms: Sequence[Arm], gaps: Sequence[Difference], last: int
) -> pd.DataFrame:
    """One row for each arm but the baseline."""
    rows = [
        {
            "measure": measure.title,
            "generation": last,
            "arm": arm.title,
            "difference": gap.value,
            "low": gap.low,
            "high": gap.high,
            "interval": gap.how,
        }
        for arm, gap in zip(arms, gaps, strict=True)
    ]
    numbers = ["difference", "low", "high"]
    return pd.DataFrame(rows).astype(dict.fromkeys(numbers, np.float64))
