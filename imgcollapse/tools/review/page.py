"""Renders the review page: one HTML file with style and script, and images beside it or in it."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from markupsafe import Markup
from PIL import Image
from torch import Tensor

from imgcollapse.core.images import UNKNOWN
from imgcollapse.curation.picks_file import now_ms
from imgcollapse.io import atomic
from imgcollapse.report.charts import data_uri
from imgcollapse.report.page import template
from imgcollapse.tools.review.session import RANDOM_SIZE, ReviewSession

COLUMNS, PER_SHEET = 16, 256
"""Samples are tiled in sheets: hundreds of single files would load one after another."""


def png_sheets(pixels: Tensor) -> list[bytes]:
    """Tile uint8[N, C, H, W] images in PNG files of 256 each, 16 to a row, without gaps."""
    return [_sheet(part) for part in pixels.split(PER_SHEET)]


def _sheet(pixels: Tensor) -> bytes:
    n, channels, height, width = pixels.shape
    rows = -(-n // COLUMNS)
    sheet = torch.zeros(rows * COLUMNS, channels, height, width, dtype=torch.uint8)
    sheet[:n] = pixels
    tiled = sheet.reshape(rows, COLUMNS, channels, height, width).permute(0, 3, 1, 4, 2)
    flat = tiled.reshape(rows * height, COLUMNS * width, channels).squeeze(2)
    data = BytesIO()
    Image.fromarray(flat.numpy()).save(data, "PNG")
    return data.getvalue()


def render(session: ReviewSession, sheets: Sequence[str], served: bool) -> tuple[str, str]:
    """Return the page and its content security policy.

    A sheet's URL is a path relative to the page, or a data URI. Verdicts are posted to a server if
    the page is served, and stay in the browser if not.
    """
    folder = Path(__file__).parent / "templates"
    css, store, script = (
        (folder / name).read_text("utf-8") for name in ("review.css", "store.js", "review.js")
    )
    images, posts = ("data: 'self'", "'self'") if served else ("data:", "'none'")
    policy = (
        f"default-src 'none'; style-src '{_digest(css)}'; "
        f"script-src '{_digest(store)}' '{_digest(script)}'; img-src {images}; "
        f"connect-src {posts}; base-uri 'none'; form-action 'none'"
    )
    page = template("review.html.j2", "imgcollapse.tools.review").render(
        # These are our own files, and the policy cannot end its attribute.
        policy=Markup(policy),  # noqa: S704
        css=Markup(css),  # noqa: S704
        scripts=[Markup(store), Markup(script)],  # noqa: S704
        data=_data(session, sheets, served),
        title=f"Review of {session.run.path.resolve().name}, generation "
        f"{session.target.generation}",
    )
    return page, policy


def export(session: ReviewSession, out: Path) -> Path:
    """Write the page as one file that needs no server; it keeps verdicts in the browser.

    Raises:
        UserError: it cannot be written.
    """
    sheets = [data_uri("image/png", sheet) for sheet in png_sheets(session.images.pixels)]
    page, _ = render(session, sheets, served=False)
    atomic.make_folder(out.parent)
    atomic.write_bytes(out, page.encode())
    return out


def _data(session: ReviewSession, sheets: Sequence[str], served: bool) -> dict[str, Any]:
    target, labels = session.target, session.images.labels
    _, height, width = session.images.shape
    return {
        "run": session.run.path.resolve().name,
        "lineages": len(session.run.lineages),
        "classes": list(target.classes),
        "width": width,
        "height": height,
        "columns": COLUMNS,
        "per_sheet": PER_SHEET,
        "sheets": list(sheets),
        "asked": labels.tolist() if bool((labels != UNKNOWN).any()) else None,
        "counted": session.counted.tolist(),
        "sure": [round(share, 4) for share in session.confidence.tolist()],
        "doubt": [round(doubt, 4) for doubt in session.uncertainty.tolist()],
        "groups": [{"name": group.name, "rows": group.rows} for group in session.groups],
        "random": session.random_order[:RANDOM_SIZE],
        "picks": session.picks.clip_times(now_ms()).model_dump(mode="json"),
        "served": served,
    }


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
