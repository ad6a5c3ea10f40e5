"""Checks this machine and installation, without torch: its probe is a process of its own."""

from __future__ import annotations

import importlib.util
import json
import locale
import os
import platform
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any, Literal, get_args

from imgcollapse.tools.doctor.torch_probe import probe_torch

Verdict = Literal["ok", "remark", "broken"]

_PROBE_BYTES = 16 * 2**20
"""Bytes that are written to measure how fast a disk is."""

_GB = 10**9
_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "firefox", "xdg-open", "open")
_NMS = "torchvision::nms"
_WEIGHTS = {
    "inception": tuple(f"{kind}inception-2015-12-05-6726825d.pth" for kind in ("weights-", "pt_")),
    "dinov2": tuple(f"dinov2_vit{size}14_pretrain.pth" for size in "sbl"),
    "backbone": ("resnet18-", "resnet50-"),
}
"""Files in torch.hub's cache, or how their names begin, by the kind of features that need them."""
_FONTS = ("DejaVuSans.ttf", "DejaVuSans-Bold.ttf")


@dataclass(frozen=True)
class CheckResult:
    """The result of one check: what was found, and what to do about it if anything.

    A "remark" is on machines where studies run, but not as well as they could.
    """

    topic: str
    verdict: Verdict
    message: str
    fix: str = ""


Results = list[CheckResult]


def examine(folder: Path) -> Results:
    """Runs all checks; `folder` is where runs are to be written."""
    facts = probe_torch()
    checks: tuple[Callable[[], Results], ...] = (
        _python,
        _packages,
        partial(_torch, facts),
        partial(_devices, facts),
        partial(_threads, facts),
        partial(_disk, folder),
        _temporary,
        _shared_memory,
        _home,
        _encoding,
        _fonts,
        _browser,
        partial(_weights, facts),
    )
    results = []
    for check in checks:
        try:
            results += check()
        except Exception as error:  # on a broken machine a check may fail too
            message = f"a check failed: {type(error).__name__}: {error}"
            results += _remark("doctor", message, "look at what it names")
    return results


def as_json(results: Sequence[CheckResult]) -> str:
    """Returns the results as a JSON object with `ok`, true if nothing is broken."""
    ok = all(result.verdict != "broken" for result in results)
    return json.dumps({"ok": ok, "findings": [asdict(result) for result in results]}, indent=2)


def _result(verdict: Verdict, topic: str, message: str, fix: str = "") -> Results:
    return [CheckResult(topic, verdict, message, fix)]


_ok, _remark, _broken = (partial(_result, verdict) for verdict in get_args(Verdict))


def _python() -> Results:
    system = f"{platform.system()} {platform.machine()}"
    return _ok("python", f"{platform.python_version()}, {system}")


def _packages() -> Results:
    """Compares the versions of all required packages with the requirements."""
    if (version := _version("imgcollapse")) is None:
        return _remark("packages", "imgcollapse is not installed", "pip install -e .")
    wrong = []
    for name, wanted in _required("imgcollapse").items():
        found = _version(name)
        if found is None:
            wrong.append(f"{name} is missing")
        elif not _satisfies(found, wanted):
            wrong.append(f"{name} is {found}, not {wanted}")
    if wrong:
        fix = "pip install -e . in imgcollapse's folder, or make install"
        return _broken("packages", "; ".join(wrong), fix)
    return _ok("packages", f"imgcollapse {version} and all required packages")


def _version(name: str) -> str | None:
    with suppress(metadata.PackageNotFoundError):
        return metadata.version(name)
    return None


def _required(package: str) -> dict[str, str]:
    """The versions that an installed package asks for, such as ">=2.14.0", without its extras."""
    lines: list[str] = []
    with suppress(metadata.PackageNotFoundError):
        lines = metadata.requires(package) or []
    found = (re.fullmatch(r"([A-Za-z0-9._-]+)\s*\(?([^;)]*)\)?", line) for line in lines)
    return {match[1]: match[2].strip() for match in found if match}


def _satisfies(version: str, wanted: str) -> bool:
    try:
        from packaging.specifiers import SpecifierSet
    except ImportError:
        return True
    with suppress(ValueError):  # InvalidSpecifier and InvalidVersion are
        return SpecifierSet(wanted).contains(version, prereleases=True)
    return True


def _torch(facts: dict[str, Any]) -> Results:
    """Checks that torch and torchvision can be imported and were built for each other."""
    versions = {name: _version(name) for name in ("torch", "torchvision")}
    pair = " and ".join(f"{name} {found or 'missing'}" for name, found in versions.items())
    wanted = _required("torchvision").get("torch")
    fix = "reinstall both from one index: pip install --force-reinstall torch torchvision"
    if wanted:
        vision = f"torchvision=={versions['torchvision']}"
        fix = f"pip install --force-reinstall 'torch{wanted}' {vision}"
    for name in ("torch", "torchvision"):
        if (error := facts.get(name, {}).get("error")) is None:
            continue
        first = (error.splitlines() or [""])[0]
        if _NMS in error:
            return _broken("torch", f"{pair} do not fit together ({first})", fix)
        other = f"pip install --force-reinstall {name}" if name == "torch" else fix
        return _broken("torch", f"{name} cannot be imported ({first})", other)
    if wanted and not _satisfies((versions["torch"] or "").partition("+")[0], wanted):
        return _broken("torch", f"{pair}: that torchvision was built for torch{wanted}", fix)
    return _ok("torch", f"{pair}, a matched pair")


def _devices(facts: dict[str, Any]) -> Results:
    """Lists the GPUs, or says why there are none."""
    if "devices" not in facts:
        return []
    results = []
    if error := facts.get("cuda_error"):
        message = f"a GPU is there and fails: {error.splitlines()[0]}"
        results += _broken("device", message, "set device: cpu")
    for index, device in enumerate(facts["devices"]):
        kind = "bfloat16" if device["bfloat16"] else "float32 (it has no native bfloat16)"
        memory = f"{device['free'] / _GB:.0f} of {device['memory'] / _GB:.0f} GB free"
        results += _ok("device", f"cuda:{index} {device['name']}, {memory}, precision {kind}")
    if results:
        return results
    kind = "bfloat16" if facts["cpu_bfloat16"] else "float32 (no native bfloat16)"
    message = f"cpu, precision {kind}"
    if not (shutil.which("nvidia-smi") or Path("/proc/driver/nvidia").exists()):
        return _ok("device", message)
    built = facts["cuda_built"]
    why = f"torch was built for CUDA {built}" if built else "torch was built without CUDA"
    message = f"{message}; there is an NVIDIA driver, and {why}"
    fix = "install the torch that fits the driver: pytorch.org/get-started"
    return _remark("device", message, fix)


def _threads(facts: dict[str, Any]) -> Results:
    import joblib

    cores, threads = joblib.cpu_count(), facts.get("threads")
    message = f"{cores} core{'s' * (cores > 1)} for this process"
    if threads is None:
        return _ok("threads", message)
    if threads > cores:
        fix = f"set threads: {cores} in the study, or OMP_NUM_THREADS={cores}"
        return _remark("threads", f"{message}, and torch would use {threads}", fix)
    return _ok("threads", f"{message}, torch uses {threads}")


def _disk(folder: Path) -> Results:
    """Checks that runs can be written; measures the free space and the speed."""
    place = next(place for place in (folder, *folder.absolute().parents) if place.is_dir())
    free = shutil.disk_usage(place).free
    try:
        with tempfile.NamedTemporaryFile(dir=place, prefix=".imgcollapse-") as file:
            start = time.perf_counter()
            file.write(os.urandom(_PROBE_BYTES))
            file.flush()
            os.fsync(file.fileno())
            speed = _PROBE_BYTES / max(time.perf_counter() - start, 1e-9)
    except OSError as error:
        message = f"{place} cannot be written to ({error.strerror})"
        return _remark("disk", message, "choose another folder with --out")
    message = f"{place}: {free / _GB:,.1f} GB free, written and flushed at {speed / 1e6:,.0f} MB/s"
    if free < 2 * _GB:
        add = _broken if free < 10**8 else _remark
        return add("disk", message, "free some space, or choose another folder with --out")
    if speed < 5e6:
        return _remark("disk", f"{message}, which is slow", "write runs to a local disk: --out")
    return _ok("disk", message)


def _temporary() -> Results:
    try:
        with tempfile.TemporaryFile() as file:
            file.write(b"x")
    except OSError as error:
        message = f"no temporary file can be written ({error.strerror or error})"
        return _broken("temp folder", message, "set TMPDIR to a writable folder")
    return _ok("temp folder", tempfile.gettempdir())


def _shared_memory() -> Results:
    """Checks the folder in which worker processes share tensors."""
    place = Path("/dev/shm")  # noqa: S108 (only looked at, nothing is written there)
    if not place.is_dir():
        return []
    free, why = shutil.disk_usage(place).free, "worker processes share tensors there"
    if not os.access(place, os.W_OK):
        return _remark("shared mem", f"{place} cannot be written to", f"mount it writable; {why}")
    message = f"{free / _GB:,.2f} GB free in {place}"
    if free < 2**27:
        return _remark("shared mem", message, f"start a container with --shm-size=1g; {why}")
    return _ok("shared mem", message)


def _home() -> Results:
    try:
        home = Path.home()
    except RuntimeError:
        return _remark("home", "the home folder is not known", "set HOME")
    caches = Path(os.environ.get("MPLCONFIGDIR") or os.environ.get("XDG_CACHE_HOME") or home)
    place = next((each for each in (caches, *caches.parents) if each.exists()), home)
    if os.access(place, os.W_OK):
        return _ok("home", str(home))
    message = f"{place} cannot be written to: matplotlib searches for fonts at every start"
    return _remark("home", message, "set MPLCONFIGDIR to a writable folder")


def _encoding() -> Results:
    """Checks that names in any script can be printed."""
    kind = (sys.stdout.encoding or locale.getpreferredencoding(False)).lower()
    if "utf" in kind:
        return _ok("text", kind)
    message = f"the terminal's encoding is {kind}: other characters are printed as \\u escapes"
    return _remark("text", message, "set LC_ALL=C.UTF-8")


def _fonts() -> Results:
    spec = importlib.util.find_spec("matplotlib")
    folder = Path(spec.origin).parent if spec and spec.origin else None
    fonts = [folder / "mpl-data/fonts/ttf" / name for name in _FONTS] if folder else []
    if fonts and all(font.is_file() for font in fonts):
        return _ok("fonts", "DejaVu Sans, from matplotlib")
    message = "DejaVu Sans, which comes with matplotlib, is missing"
    return _broken("fonts", message, "pip install --force-reinstall matplotlib")


def _browser() -> Results:
    found = next((name for name in _BROWSERS if shutil.which(name)), None)
    if found or Path("/Applications/Safari.app").exists():
        return _ok("browser", f"{found or 'Safari'}, for reports and review")
    fix = "reports are files to copy; for review use ssh -L, or review --export"
    return _remark("browser", "none on this machine", fix)


def _weights(facts: dict[str, Any]) -> Results:
    """Lists the pretrained networks in torch.hub's cache."""
    if "hub" not in facts:
        return []
    folder = Path(facts["hub"]) / "checkpoints"
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    found = []
    for kind, starts in _WEIGHTS.items():
        found += [f"{kind} ({name})" for name in names if name.startswith(starts)][:1]
    none = f"none in {folder}; metrics.features=oracle and oracle.kind=cnn need none"
    return _ok("weights", f"{', '.join(found)} in {folder}" if found else none)
