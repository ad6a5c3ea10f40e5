"""What torch says of itself and of this machine, as JSON on standard output.

It is run as a process of its own, for an import may fail, hang, or end the process.
"""

from __future__ import annotations

import json
import sys
from importlib import import_module
from typing import Any


def look() -> dict[str, Any]:
    """Import torch and torchvision; ask torch about threads, devices and its folders."""
    facts: dict[str, Any] = {}
    for name in ("torch", "torchvision"):
        try:
            module = import_module(name)
            facts[name] = {"version": str(module.__version__)}
        except BaseException as error:  # whatever it does, it is told
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
            about = torch.cuda.get_device_properties(index)
            capability = torch.cuda.get_device_capability(index)
            free, total = torch.cuda.mem_get_info(index)
            torch.ones(8, device=f"cuda:{index}").sum().item()
            facts["devices"].append(
                {
                    "name": about.name,
                    "memory": total,
                    "free": free,
                    "bfloat16": capability >= (8, 0),
                }
            )
    except Exception as error:
        facts["cuda_error"] = f"{type(error).__name__}: {error}"
    from imgcollapse.core.device import choose_device

    facts["cpu_bfloat16"] = choose_device("cpu").dtype == torch.bfloat16
    return facts


if __name__ == "__main__":
    found = json.dumps(look())
    sys.stdout.write(f"\n{found}\n")
