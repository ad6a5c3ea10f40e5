"""One HTML page over one run or several: no network, no script, opens anywhere."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image
from ruamel.yaml import YAML
from torch import Tensor

from imgcollapse.census import UNRECOGNISED
from imgcollapse.core import storage
from imgcollapse.core.errors import UserError
from imgcollapse.core.images import UNKNOWN
from imgcollapse.lineage import Lineage
from imgcollapse.report import curves
from imgcollapse.report.cells import (
    LOSSLESS,
    Cell,
    class_note,
    column,
    shown_classes,
    shown_generations,
    tile,
)
from imgcollapse.report.chart import palette
from imgcollapse.report.counts import Counts
from imgcollapse.report.summary import class_rows, headline, last_seen_text, warnings
from imgcollapse.run_folder import Run

CELL_SIDE, STRIP_SIDE = 36, 32
"""CSS pixels that an image takes at most, in the vanishing grid and in a sample grid."""
LARGEST_CONFUSION = 20
"""Classes that a confusion matrix is legible with."""


def write_report(runs: Sequence[Path | str], out: Path | str | None = None) -> Path:
    """Write one page over one run, or over several one after another.

    Args:
        runs: run folders.
        out: the page; none is report.html in the folder of a single run.

    Returns:
        Where the page is.

    Raises:
        UserError: a folder is no run, holds no generation yet, or the page cannot be written.
    """
    if out is None and len(runs) != 1:
        raise UserError("--out: a page over several runs needs a name, such as --out report.html")
    out = Path(runs[0]) / "report.html" if out is None else Path(out)
    sections = [_section(Run.open(run), i) for i, run in enumerate(runs)]
    environment = Environment(
        loader=PackageLoader("imgcollapse.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("report.html.j2").render(runs=sections)
    storage.make_folder(out.parent)
    storage.write_bytes(out, page.encode())
    return out


def _section(run: Run, number: int) -> dict[str, Any]:
    """Everything the template says about one run."""
    counts, record = Counts.of(run), run.record
    first = run.lineages[counts.lineages[0]]
    return {
        "id": f"run-{number}",
        "name": run.path.resolve().name,
        "headline": headline(counts),
        "warnings": warnings(run, counts),
        "remarks": record["data"]["remarks"],
        "facts": _facts(record, counts),
        "lineage": first.number,
        "grid": _grid(first, counts),
        "charts": _charts(run, counts),
        "lineages": len(counts.lineages),
        "last": counts.last,
        "classes": [
            row | {"colour": colour}
            for row, colour in zip(class_rows(counts), palette(len(counts.classes)), strict=True)
        ],
        "strips": _strips(first),
        "oracle": _oracle(record),
        "made_with": record["made_with"] | {"began": record["started"]},
        "sha256": record["data"]["sha256"],
        "settings": _yaml(record["study"]),
    }


def _facts(record: dict[str, Any], counts: Counts) -> list[tuple[str, str]]:
    study = record["study"]
    channels, height, width = record["shape"]
    done = "" if counts.last == study["generations"] else f", {counts.last} done"
    complete = "" if len(counts.lineages) == study["lineages"] else f", {len(counts.lineages)} done"
    return [
        ("images", f"{study['data']['kind']}, {width} × {height}, {_colour(channels)}"),
        ("imbalance", study["longtail"]["kind"]),
        ("generator", study["generator"]["kind"]),
        ("regime", study["regime"]["kind"]),
        ("generations", f"{study['generations']}{done}"),
        ("lineages", f"{study['lineages']}{complete}"),
        ("real training images", f"{counts.training.sum():,}"),
        ("samples a generation", f"{counts.n[0, counts.last]:,.0f}"),
        ("seed", str(study["seed"])),
    ]


def _colour(channels: int) -> str:
    return "grey" if channels == 1 else "colour"


def _grid(lineage: Lineage, counts: Counts) -> dict[str, Any]:
    """The vanishing grid of the first lineage that the counts hold."""
    labels = shown_classes(len(counts.classes))
    generations = shown_generations(counts.last + 1)
    columns = [column(lineage, g, labels, most=4) for g in generations]
    real = counts.training / counts.training.sum()
    rows = []
    for i, k in enumerate([*labels, UNKNOWN]):
        known = k != UNKNOWN
        name = counts.classes[k] if known else UNRECOGNISED
        gone = bool(known and counts.gone[0, k])
        rows.append(
            {
                "name": name,
                "known": known,
                "share": f"{real[k]:.1%}" if known else "",
                "last_seen": last_seen_text(counts.last_seen[:1, k]) if gone else "",
                "cells": [
                    _cell(name, g, cells[i]) for g, cells in zip(generations, columns, strict=True)
                ],
            }
        )
    skipped = len(generations) <= counts.last
    return {
        "generations": generations,
        "rows": rows,
        "note": class_note(len(counts.classes)),
        "skipped": f"{len(generations)} of {counts.last + 1} generations" if skipped else "",
    }


def _cell(name: str, g: int, cell: Cell) -> dict[str, Any]:
    share = cell.count / cell.n
    described = f"{name}, generation {g}: {cell.count:,} of {cell.n:,} samples"
    return {
        "image": _image(cell.pixels, 2, CELL_SIDE, described) if cell.count else None,
        "share": f"{share:.1%}" if share >= 0.0005 else "<0.1%",
        "described": described,
    }


def _image(pixels: Tensor, edge: int, side: int, described: str) -> dict[str, Any]:
    """At most edge x edge images as one: source, size in CSS pixels, alternative text.

    Small images are enlarged in whole steps and stay sharp; large ones keep twice the pixels
    they are shown with, for fine screens.
    """
    _, channels, height, width = pixels.shape
    picture = tile(pixels, edge, edge, 2 * side)
    longest = max(height, width)
    zoom = side // longest or side / min(longest, 2 * side)
    return {
        "sharp": longest <= side,
        "src": _data_uri(picture, channels * height * width <= LOSSLESS),
        "width": round(picture.width * zoom),
        "height": round(picture.height * zoom),
        "alt": described,
    }


def _data_uri(picture: Image.Image, lossless: bool) -> str:
    data = BytesIO()
    if lossless:
        picture.save(data, "PNG", optimize=True)
    else:
        picture.save(data, "WEBP", quality=85)
    kind = "png" if lossless else "webp"
    return f"data:image/{kind};base64,{base64.b64encode(data.getvalue()).decode()}"


def _charts(run: Run, counts: Counts) -> list[Markup]:
    metrics, generations = run.metrics, counts.last + 1
    if "lineage" in metrics:
        metrics = metrics.loc[metrics["lineage"].isin(counts.lineages)]
    drawn = [
        curves.frequencies(counts),
        curves.stacked(counts),
        curves.heterozygosity(counts),
        curves.classes_seen(counts),
        curves.distance(metrics, "fid", generations),
        curves.distance(metrics, "kid", generations),
    ]
    # matplotlib has escaped the names in them.
    return [Markup(svg) for svg in drawn if svg]


def _strips(lineage: Lineage) -> list[dict[str, Any]]:
    """The first 64 samples of each generation that is shown."""
    return [
        {
            "generation": g,
            "image": _image(
                lineage.samples(g).pixels[:64],
                8,
                STRIP_SIDE,
                "Real training images" if g == 0 else f"Samples of generation {g}",
            ),
        }
        for g in shown_generations(lineage.generations)
    ]


def _oracle(record: dict[str, Any]) -> dict[str, Any]:
    """Held-out accuracy, and the confusion matrix or the commonest mistakes."""
    oracle, names = record["oracle"], record["classes"]
    confusion = np.asarray(oracle["confusion"], dtype=np.float64)
    rates = confusion / confusion.sum(axis=1, keepdims=True).clip(min=1)
    mistakes = rates * (1 - np.eye(len(names)))
    worst = [divmod(int(at), len(names)) for at in (-mistakes).argsort(axis=None, kind="stable")]
    return {
        "accuracy": oracle["accuracy"],
        "held_out": oracle["held_out"],
        "confidence": oracle["confidence"],
        "matrix": (
            list(zip(names, rates.tolist(), strict=True)) if len(names) <= LARGEST_CONFUSION else []
        ),
        "mistakes": [
            (names[true], names[answered], rates[true, answered])
            for true, answered in worst[:10]
            if mistakes[true, answered] > 0
        ],
    }


def _yaml(study: dict[str, Any]) -> str:
    text = StringIO()
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # pyright: ignore[reportAttributeAccessIssue]
    yaml.dump(study, text)
    return text.getvalue()
