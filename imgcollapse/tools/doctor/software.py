"""What is installed: each check is of one thing, and none imports torch."""

from __future__ import annotations

import importlib.util
import json
import platform
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

from imgcollapse.tools.doctor.findings import Problem

PATIENCE = 60
"""Seconds that importing torch may take, on a slow network drive."""

_NMS = "torchvision::nms"
_WEIGHTS = {
    "inception": (
        "weights-inception-2015-12-05-6726825d.pth",
        "pt_inception-2015-12-05-6726825d.pth",
    ),
    "dinov2": tuple(f"dinov2_vit{size}14_pretrain.pth" for size in "sbl"),
    "backbone": ("resnet18-", "resnet50-"),
}
"""Files of torch.hub's cache, or how their names begin, by the kind of features that need them."""
_FONTS = ("DejaVuSans.ttf", "DejaVuSans-Bold.ttf")


def probe() -> dict[str, Any]:
    """What probe.py says, or why it says nothing."""
    # -P: whatever lies in the current folder is not imported.
    command = [sys.executable, "-P", "-W", "ignore", "-m", "imgcollapse.tools.doctor.probe"]
    try:
        done = subprocess.run(  # noqa: S603 (this very interpreter, and no word from outside)
            command, capture_output=True, text=True, timeout=PATIENCE, errors="replace"
        )
    except subprocess.TimeoutExpired:
        return _no_torch(f"importing it takes more than {PATIENCE} s")
    except OSError as error:
        return _no_torch(f"Python cannot be started: {error}")
    try:
        return json.loads(done.stdout.splitlines()[-1])
    except (ValueError, IndexError):
        last = (done.stderr.strip().splitlines() or ["it says nothing"])[-1]
        return _no_torch(f"importing it ends the process with code {done.returncode}: {last}")


def _no_torch(why: str) -> dict[str, Any]:
    return {"torch": {"error": why}}


def python() -> Iterator[Problem]:
    """The interpreter."""
    said = f"{platform.python_version()}, {platform.system()} {platform.machine()}"
    yield Problem("python", "ok", said)


def packages() -> Iterator[Problem]:
    """What imgcollapse needs, in the versions it needs."""
    try:
        required = metadata.requires("imgcollapse") or []
        version = metadata.version("imgcollapse")
    except metadata.PackageNotFoundError:
        yield Problem("packages", "remark", "imgcollapse is not installed", "pip install -e .")
        return
    wrong = []
    for line in required:
        name = re.match(r"[A-Za-z0-9._-]+", line)
        if ";" in line or name is None:  # of an extra
            continue
        try:
            found = metadata.version(name[0])
        except metadata.PackageNotFoundError:
            wrong.append(f"{name[0]} is missing")
            continue
        if not _satisfies(found, line[name.end() :]):
            wrong.append(f"{name[0]} is {found}, not {line[name.end() :]}")
    if wrong:
        mend = "pip install -e . in imgcollapse's folder, or make install"
        yield Problem("packages", "broken", "; ".join(wrong), mend)
    else:
        yield Problem("packages", "ok", f"imgcollapse {version} and all that it needs")


def _satisfies(version: str, wanted: str) -> bool:
    try:
        from packaging.specifiers import InvalidSpecifier, SpecifierSet
        from packaging.version import InvalidVersion
    except ImportError:
        return True
    try:
        return SpecifierSet(wanted).contains(version, prereleases=True)
    except (InvalidSpecifier, InvalidVersion):
        return True


def pair(facts: dict[str, Any]) -> Iterator[Problem]:
    """torch and torchvision, which must be made for each other."""
    versions = {name: _version(name) for name in ("torch", "torchvision")}
    pair = " and ".join(f"{name} {found or 'missing'}" for name, found in versions.items())
    wants = _built_for()
    mend = "reinstall both from one index: pip install --force-reinstall torch torchvision"
    if wants:
        mend = (
            f"pip install --force-reinstall 'torch{wants}' torchvision=={versions['torchvision']}"
        )
    for name in ("torch", "torchvision"):
        error = facts.get(name, {}).get("error")
        if error is None:
            continue
        first = (error.splitlines() or [""])[0]
        if _NMS in error:
            said = f"{pair} do not fit together ({first})"
            yield Problem("torch", "broken", said, mend)
        else:
            other = f"pip install --force-reinstall {name}" if name == "torch" else mend
            yield Problem("torch", "broken", f"{name} cannot be imported ({first})", other)
        return
    if wants and not _satisfies((versions["torch"] or "").partition("+")[0], wants):
        said = f"{pair}: that torchvision was built for torch{wants}"
        yield Problem("torch", "broken", said, mend)
    else:
        yield Problem("torch", "ok", f"{pair}, a matched pair")


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _built_for() -> str | None:
    """Which torch the torchvision that is installed was built for, such as ">=2.14.0"."""
    try:
        lines = metadata.requires("torchvision") or []
    except metadata.PackageNotFoundError:
        return None
    for line in lines:
        if found := re.fullmatch(r"torch\s*\(?\s*([=<>!~][^;)]*)\)?.*", line):
            return found[1].strip()
    return None


def fonts() -> Iterator[Problem]:
    """What pictures are labelled with."""
    spec = importlib.util.find_spec("matplotlib")
    folder = Path(spec.origin).parent if spec and spec.origin else None
    fonts = [folder / "mpl-data/fonts/ttf" / name for name in _FONTS] if folder else []
    if fonts and all(font.is_file() for font in fonts):
        yield Problem("fonts", "ok", "DejaVu Sans, from matplotlib")
    else:
        mend = "pip install --force-reinstall matplotlib"
        yield Problem(
            "fonts", "broken", "DejaVu Sans, which comes with matplotlib, is missing", mend
        )


def weights(facts: dict[str, Any]) -> Iterator[Problem]:
    """Pretrained networks in torch.hub's cache."""
    if "hub" not in facts:
        return
    folder = Path(facts["hub"]) / "checkpoints"
    held = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    found = [
        f"{kind} ({next(n for n in held if n.startswith(names))})"
        for kind, names in _WEIGHTS.items()
        if any(name.startswith(names) for name in held)
    ]
    if found:
        yield Problem("weights", "ok", f"{', '.join(found)} in {folder}")
    else:
        said = f"none in {folder}; metrics.features=oracle and oracle.kind=cnn need none"
        yield Problem("weights", "ok", said)
