"""A connection to a Ray cluster whose machines all see the sweep's folder and have room for it."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from imgcollapse.core import signals
from imgcollapse.core.errors import UserError
from imgcollapse.core.sanitize import first_line
from imgcollapse.io import atomic
from imgcollapse.sweeps.ray_task import Place, unseen
from imgcollapse.sweeps.tasks import Task

HERE = "local"
"""The address of a cluster of this machine alone, which is started for the sweep."""

LOOPBACK = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
"""Makes Ray stay on the loopback address of this machine, as it does on Windows and macOS."""


@contextmanager
def connect_to_ray(address: str) -> Iterator[Any]:
    """Ray, connected to a cluster."""
    if address == HERE:
        os.environ |= LOOPBACK
    try:
        ray: Any = import_module("ray")
    except ImportError:
        raise UserError(
            "--ray: ray is not installed; pip install 'imgcollapse[ray]', or use --jobs"
        ) from None
    ours = not ray.is_initialized()
    if ours:
        before = [(number, signal.getsignal(number)) for number in signals.SIGNALS]
        quiet = {"logging_level": "ERROR", "log_to_driver": False}
        try:
            if address == HERE:
                ray.init(HERE, include_dashboard=False, _node_ip_address="127.0.0.1", **quiet)
            else:
                _knock(address)
                ray.init(address, **quiet)
        except (OSError, RuntimeError, ValueError) as error:
            raise UserError(
                f"--ray: no cluster at {address!r} ({first_line(error)}); start one with "
                "ray start --head, name its host:port, or use --ray local"
            ) from None
        for number, handler in before:  # Ray takes them for itself, and SIGTERM would be a crash
            signal.signal(number, handler)
    try:
        yield ray
    finally:
        if ours:
            ray.shutdown()


def _knock(address: str) -> None:
    """See that somebody answers at host:port; Ray itself would try for minutes.

    Raises:
        OSError: nobody does.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host, int(port)), timeout=10).close()


@contextmanager
def shared(ray: Any, units: Sequence[Task]) -> Iterator[Place]:
    """The sweep's folder, after seeing that all machines share it and have room for the units."""
    nodes = [node for node in ray.nodes() if node["Alive"]]
    for unit in units:
        _check_room(nodes, unit)
    token = units[0].folder.parent / f"{secrets.token_hex(8)}{atomic.ASIDE}"
    atomic.write_bytes(token, b"a sweep is running here\n")
    try:
        _check_seen(ray, nodes, token)
        yield Place(Path.cwd(), token, tuple(sys.path))
    finally:
        token.unlink(missing_ok=True)


def _check_room(nodes: Sequence[Mapping[str, Any]], unit: Task) -> None:
    threads = unit.study["threads"] or 1
    most = max(node["Resources"].get("CPU", 0) for node in nodes)
    if most < threads:
        raise UserError(
            f"threads: {threads} are asked for and no machine of the cluster has more than "
            f"{most:g} cores; set fewer"
        )


def _check_seen(ray: Any, nodes: Sequence[Mapping[str, Any]], token: Path) -> None:
    """Ask every machine whether the token is there."""
    strategies = import_module("ray.util.scheduling_strategies")
    path = str(token)
    look = ray.remote(lambda path: Path(path).is_file())
    answers = []
    for node in nodes:
        there = strategies.NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        answers.append(look.options(num_cpus=0, scheduling_strategy=there).remote(path))
    for node, seen in zip(nodes, ray.get(answers), strict=True):
        if not seen:
            raise UserError(unseen(node["NodeManagerAddress"], token.parent))
