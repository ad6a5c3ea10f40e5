from __future__ import annotations

import re
from importlib.resources import files
from itertools import combinations

import numpy as np
import pytest
from numpy.typing import NDArray

from imgcollapse.report.charts import ACCENT, SECOND, palette

Color = NDArray[np.float64]

# Machado, Oliveira & Fernandes 2009 (IEEE TVCG 15:1291), severity 1, on linear RGB.
SIGHT = {
    "all cones": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
}
TO_XYZ = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]


def linear(color: str) -> Color:
    """#rrggbb => linear RGB (IEC 61966-2-1)."""
    c = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def lab(rgb: Color) -> Color:
    """Linear RGB => CIELAB under D65."""
    xyz = np.array(TO_XYZ) @ rgb.clip(0, 1) / np.array([0.9505, 1, 1.089])
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def nearest(colors: list[str], sight: str) -> float:
    """The smallest distance of two colors, in CIELAB units; 2.3 are just noticeable."""
    seen = [lab(np.array(SIGHT[sight]) @ linear(color)) for color in colors]
    return min(float(np.linalg.norm(a - b)) for a, b in combinations(seen, 2))


def contrast(a: str, b: str) -> float:
    """WCAG 2.2."""
    dark, light = sorted(float(np.array(TO_XYZ[1]) @ linear(color)) for color in (a, b))
    return (light + 0.05) / (dark + 0.05)


def themes() -> list[dict[str, str]]:
    """Colors of the light and of the dark page, by CSS variable."""
    css = files("imgcollapse.report").joinpath("templates", "report.css").read_text()
    light, dark = css.split("prefers-color-scheme", 1)[0], css.split("prefers-color-scheme", 1)[1]
    find = re.compile(r"--([\w-]+): (#[0-9a-f]{6})")
    return [dict(find.findall(light)), dict(find.findall(dark.split("}", 1)[0]))]


@pytest.mark.parametrize("sight", SIGHT)
@pytest.mark.parametrize("classes", [2, 8, 12])
def test_no_two_classes_look_alike(sight: str, classes: int) -> None:
    assert nearest(palette(classes), sight) > 10


@pytest.mark.parametrize("sight", SIGHT)
def test_the_two_curves_of_a_chart_do_not_look_alike(sight: str) -> None:
    assert nearest([ACCENT, SECOND], sight) > 40


def test_a_measure_that_can_tell_red_from_green() -> None:
    assert nearest(["#c00000", "#5a7000"], "all cones") > 60
    assert nearest(["#c00000", "#5a7000"], "deuteranopia") < 25


def test_curves_and_words_stand_out_from_both_papers() -> None:
    for theme in themes():
        paper = theme["paper"]
        assert all(contrast(c, paper) >= 3 for c in [*palette(12), ACCENT, SECOND])  # SC 1.4.11
        for ink in ("ink", "muted", "accent", "alert"):
            assert contrast(theme[ink], paper) >= 4.5, ink  # SC 1.4.3
        assert contrast(theme["alert"], theme["alert-wash"]) >= 4.5
