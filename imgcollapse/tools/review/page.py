"""The page: one HTML file with its style and script in it, and pictures beside it or in it."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image
from torch import Tensor

from imgcollapse.core.images import UNKNOWN
from imgcollapse.curation.picks_file import milliseconds
from imgcollapse.io import atomic
from imgcollapse.tools.review.session import RANDOM_SIZE, ReviewSession

COLUMNS, PER_SHEET = 16, 256
"""Samples lie side by side in sheets: hundreds of files would load one after another."""


def sheets(pixels: Tensor) -> list[bytes]:
    """uint8[N, C, H, W] images as PNG files of 256 each, 16 to a row, without gaps."""
    return [_sheet(part) for part in pixels.split(PER_SHEET)]


def _sheet(pixels: Tensor) -> bytes:
    n, channels, height, width = pixels.shape
    rows = -(-n // COLUMNS)
    whole = torch.zeros(rows * COLUMNS, channels, height, width, dtype=torch.uint8)
    whole[:n] = pixels
    tiled = whole.reshape(rows, COLUMNS, channels, height, width).permute(0, 3, 1, 4, 2)
    flat = tiled.reshape(rows * height, COLUMNS * width, channels).squeeze(2)
    data = BytesIO()
    Image.fromarray(flat.numpy()).save(data, "PNG")
    return data.getvalue()


def render(sitting: ReviewSession, pictures: Sequence[str], served: bool) -> tuple[str, str]:
    """The page, and the policy that it is to be shown under.

    Args:
        sitting: what there is to review.
        pictures: where each sheet is: a path beside the page, or a data URI.
        served: whether verdicts go to a server, or stay in the browser.
    """
    environment = Environment(
        loader=PackageLoader("imgcollapse.tools.review"), autoescape=True, undefined=StrictUndefined
    )
    folder = Path(__file__).parent / "templates"
    css, store, script = (
        (folder / name).read_text("utf-8") for name in ("review.css", "store.js", "review.js")
    )
    here = "'self'" if served else ""
    none = "'none'"
    policy = (
        f"default-src 'none'; style-src '{_digest(css)}'; "
        f"script-src '{_digest(store)}' '{_digest(script)}'; img-src data: {here}; "
        f"connect-src {here or none}; base-uri 'none'; form-action 'none'"
    ).replace(" ;", ";")
    page = environment.get_template("review.html.j2").render(
        # These are ours; the policy holds no character that ends the attribute, and the data none
        # that ends the script.
        policy=Markup(policy),  # noqa: S704
        css=Markup(css),  # noqa: S704
        scripts=[Markup(store), Markup(script)],  # noqa: S704
        data=Markup(_embedded(_data(sitting, pictures, served))),  # noqa: S704
        title=f"Review of {sitting.run.path.resolve().name}, generation "
        f"{sitting.subject.generation}",
    )
    return page, policy


def export(sitting: ReviewSession, out: Path) -> Path:
    """Write the page as one file that needs no server: it keeps verdicts in the browser.

    Raises:
        UserError: it cannot be written.
    """
    pictures = [
        "data:image/png;base64," + base64.b64encode(sheet).decode()
        for sheet in sheets(sitting.images.pixels)
    ]
    page, _ = render(sitting, pictures, served=False)
    atomic.make_folder(out.parent)
    atomic.write_bytes(out, page.encode())
    return out


def _data(sitting: ReviewSession, pictures: Sequence[str], served: bool) -> dict[str, Any]:
    subject, labels = sitting.subject, sitting.images.labels
    _, height, width = sitting.images.shape
    picks = sitting.picks.not_after(milliseconds()).model_dump(mode="json")
    return {
        "run": sitting.run.path.resolve().name,
        "lineages": len(sitting.run.lineages),
        "classes": list(subject.classes),
        "width": width,
        "height": height,
        "columns": COLUMNS,
        "per_sheet": PER_SHEET,
        "sheets": list(pictures),
        "asked": labels.tolist() if bool((labels != UNKNOWN).any()) else None,
        "counted": sitting.counted.tolist(),
        "sure": [round(share, 4) for share in sitting.sure.tolist()],
        "doubt": [round(doubt, 4) for doubt in sitting.uncertainty.tolist()],
        "groups": [{"name": group.name, "rows": group.rows} for group in sitting.groups],
        "random": sitting.random_order[:RANDOM_SIZE],
        "picks": picks,
        "served": served,
    }


def _embedded(value: Any) -> str:
    """JSON that can stand inside a script element: no `<` can end it or begin a comment."""
    return json.dumps(value, separators=(",", ":")).replace("<", "\\u003c")


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
