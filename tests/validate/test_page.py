"""The table, the page and the file for programs."""

from __future__ import annotations

import json
import math
import re
from html.parser import HTMLParser
from io import StringIO

import numpy as np
from rich.console import Console

from imgcollapse.cli.tables import law_table
from imgcollapse.tools.validate import Result, summary, write
from imgcollapse.tools.validate.laws import Curve, Law, Measurement, Plot

RIGHT = Measurement("E[x], k = 1", 0.5, 0.5, 0.51, 0.01, 99, "0.5")
WRONG = Measurement("a <bound>", 2, math.inf, 1.0, 0.1, 99)
EXACT = Measurement("an exact number", 0, 1, 2.0, 0.0, 99)
X = np.array([1.0, 2.0, 4.0])
PLOT = Plot(
    "Share & time",
    "generation",
    [Curve("one", X, X / 8, X / 8, 0 * X), Curve("two", X, None, 1 / X, 0.1 / X)],
    log_x=True,
    log_y=True,
)
RESULTS = [
    Result([RIGHT], [PLOT], law=Law("T3", "Survival", "Somebody 2024", ()), seconds=1.0),
    Result([RIGHT, WRONG, EXACT], [PLOT], law=Law("T5", "Drift", "Somebody 1931", ()), seconds=2.0),
    Result(skipped="no MNIST; bring it", law=Law("T1", "VAE", "Nature", ()), seconds=0.1),
]


def test_the_summary_names_what_failed_and_what_was_not_tested():
    assert summary(RESULTS) == "1 of 3 laws hold; T5 failed; T1 skipped; 3 s."


def test_the_table_shows_each_number_with_its_brackets():
    page = StringIO()
    console = Console(file=page, width=200)
    console.print(law_table(RESULTS))
    text = page.getvalue()
    for shown in ("E[x], k = 1", "0.51", "+1.0", "≥ 2", "-10.0", "FAILED", "no MNIST; bring it"):
        assert shown in text


def test_the_page_is_whole_and_needs_no_network(tmp_path):
    page = write(RESULTS, tmp_path / "new" / "folder")
    html = page.read_text()
    HTMLParser().feed(html)
    assert html.count("<svg") == html.count("</svg>") == 2
    assert not re.search(r"(src|href)=[\"']?(https?:)?//|@import|url\((?!#)", html)
    assert "a &lt;bound&gt;" in html
    assert html.count('<tr class="failed">') == 2
    assert "no MNIST; bring it" in html


def test_the_record_is_plain_json(tmp_path):
    write(RESULTS, tmp_path)

    def refuse(constant):
        raise AssertionError(constant)

    record = json.loads((tmp_path / "validation.json").read_text(), parse_constant=refuse)
    assert [law["verdict"] for law in record] == ["passed", "failed", "skipped"]
    right, wrong, exact = record[1]["findings"]
    assert (right["low"], right["high"], right["holds"]) == (0.5, 0.5, True)
    assert (wrong["high"], wrong["holds"]) == (None, False)
    assert (exact["deviation"], exact["holds"]) == (None, False)
