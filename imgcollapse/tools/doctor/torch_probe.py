"""Reports torch's version, devices and folders as JSON.

Run as a process of its own: importing a broken torch may fail, hang, or end the process.
"""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import import_module
from typing import Any

TIMEOUT = 60
"""Seconds that importing torch may take, for instance from a slow network drive."""


def probe_torch() -> dict[str, Any]:
    """Runs this module as a process; returns its facts, or `{"torch": {"error": reason}}`."""
    # -P: modules in the current folder are not imported.
    command = [sys.executable, "-P", "-W", "ignore", "-m", "imgcollapse.tools.doctor.torch_probe"]
    try:
        done = subprocess.run(  # noqa: S603 (this very interpreter, and no word from outside)
            command, capture_output=True, text=True, timeout=TIMEOUT, errors="replace"
        )
    except subprocess.TimeoutExpired:
        return _no_torch(f"importing it takes more than {TIMEOUT} s")
    except OSError as error:
        return _no_torch(f"Python cannot be started: {error}")
    try:
        return json.loads(done.stdout.splitlines()[-1])
    except (ValueError, IndexError):
        last = (done.stderr.strip().splitlines() or ["it prints nothing"])[-1]
        return _no_torch(f"importing it ends the process with code {done.returncode}: {last}")


def _no_torch(why: str) -> dict[str, Any]:
    return {"torch": {"error": why}}


def _collect_facts() -> dict[str, Any]:
    """Imports torch and torchvision; asks torch about threads, devices and its folders."""
    facts: dict[str, Any] = {}
    for name in ("torch", "torchvision"):
        try:
            module = import_module(name)
            facts[name] = {"version": str(module.__version__)}
        except BaseException as error:  # SystemExit too is reported
            facts[name] = {"error": f"{type(error).__name__}: {error}"}
            if name == "torch":
                return facts
    import torch

    facts["threads"] = torch.get_num_threads()
    facts["hub"] = torch.hub.get_dir()
    facts["cuda_built"] = torch.version.cuda
    facts["devices"] = []
    try:
        for index in range(torch.cuda.device_count()):
            free, total = torch.cuda.mem_get_info(index)
            torch.ones(8, device=f"cuda:{index}").sum().item()
            name = torch.cuda.get_device_properties(index).name
            native = torch.cuda.get_device_capability(index) >= (8, 0)
            device = {"name": name, "memory": total, "free": free, "bfloat16": native}
            facts["devices"].append(device)
    except Exception as error:
        facts["cuda_error"] = f"{type(error).__name__}: {error}"
    from imgcollapse.core.device import choose_device

    facts["cpu_bfloat16"] = choose_device("cpu").dtype == torch.bfloat16
    return facts


if __name__ == "__main__":
    found = json.dumps(_collect_facts())
    sys.stdout.write(f"\n{found}\n")
