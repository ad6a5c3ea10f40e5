"""Removing what a study's retention does not keep."""

from __future__ import annotations

from imgcollapse.config.study import Keep, Retention
from imgcollapse.io import atomic, checksums
from imgcollapse.runs.lineage_dir import MANIFEST, MODEL, SAMPLES, Lineage


def prune(lineage: Lineage, retention: Retention, first: int = 1) -> None:
    """Remove samples and models of old generations; generation 0 stays whole.

    A manifest names what is removed before it is, so that a removal which is cut short is finished
    by the next.

    Args:
        lineage: whose.
        retention: what is kept.
        first: generations before this one have been seen to.
    """
    keeps: dict[str, Keep] = {SAMPLES: retention.samples, MODEL: retention.models}
    last = lineage.generations - 1
    for g in range(max(first, 1), last + 1):
        manifest, folder = lineage.manifest(g), lineage.folder(g)
        removed = set(manifest.get("pruned", ()))
        removes = {
            name
            for name, keep in keeps.items()
            if keep != "all" and last - g >= keep and name in manifest["files"]
        }
        if removes - removed:
            removed |= removes
            checksums.write_json(folder / MANIFEST, manifest | {"pruned": sorted(removed)})
            lineage.invalidate(g)
        for name in removed:
            with atomic.wrap_os_errors(folder):
                (folder / name).unlink(missing_ok=True)


def expired(retention: Retention, g: int) -> int:
    """The earliest generation that may lose something once generation g is there."""
    keeps = [keep for keep in (retention.samples, retention.models) if keep != "all"]
    return g - max(keeps, default=-1)
