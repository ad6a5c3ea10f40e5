"""What the processes of a job tell each other, over torch.distributed.

Words go over gloo, in a group without a time limit: the leader may be busy alone for hours, and a
process that ends is noticed by its closed connections. Sums of tensors on a GPU go over the GPU's
own backend, such as NCCL. A word from the leader goes before any data, so whoever waits for the
leader waits for a word.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor

from imgcollapse.core.errors import Stopped, UserError

T = TypeVar("T")
END, LEAVE, CALL, FLAG, OBJECT = range(5)
"""The leader is done; drops what is being done; calls for work; says a number; says anything."""

NO_TIMEOUT = timedelta(days=365)
"""How long words may take."""
START_TIMEOUT = timedelta(minutes=5)
"""How long a sum over GPUs may take; all processes are there when it begins."""
BUCKET_SIZE = 2**24
"""Numbers summed at a time: 64 MB of float32 beside the tensors themselves."""


class ConnectionLost(Stopped):
    """Another process of the job has ended: what is done is kept, and the same command goes on."""


class LeaderLeft(Exception):  # noqa: N818
    """The leader has dropped what this process was called on to do."""


class Communicator:
    """This process's links to the others of its job.

    Attributes:
        rank: its number, 0 for the leader.
        size: how many they are.
    """

    def __init__(self) -> None:
        self.rank, self.size = dist.get_rank(), dist.get_world_size()
        self._words = cast(dist.ProcessGroup, dist.new_group(backend="gloo", timeout=NO_TIMEOUT))

    def send(self, kind: int, content: Any = None) -> None:
        """For the leader: tell all others something."""
        data = pickle.dumps(content) if kind in (CALL, OBJECT) else b""
        with _heard():
            dist.broadcast(torch.tensor([kind, len(data) or bool(content)]), 0, self._words)
            if data:
                bits = torch.frombuffer(bytearray(data), dtype=torch.uint8)
                dist.broadcast(bits, 0, self._words)

    def receive(self) -> tuple[int, Any]:
        """For the others: wait for what the leader says."""
        with _heard():
            head = torch.empty(2, dtype=torch.int64)
            dist.broadcast(head, 0, self._words)
            kind, number = head.tolist()
            if kind not in (CALL, OBJECT):
                return kind, bool(number)
            data = torch.empty(number, dtype=torch.uint8)
            dist.broadcast(data, 0, self._words)
        return kind, pickle.loads(data.numpy().data)  # noqa: S301 - of a process of this job

    def broadcast(self, value: T) -> T:
        """The leader's value; raises `Left` where the leader has left."""
        if self.rank == 0:
            self.send(FLAG if isinstance(value, bool) else OBJECT, value)
            return value
        kind, content = self.receive()
        if kind == LEAVE:
            raise LeaderLeft
        return content

    def all_gather(self, value: T) -> list[T]:
        """Everybody's value, by rank."""
        self.broadcast(True)
        values: list[Any] = [None] * self.size
        with _heard():
            dist.all_gather_object(values, value, self._words)
        return values

    def all_reduce_sum(self, tensors: Sequence[Tensor]) -> None:
        """Replace tensors by their sums over all processes, some megabytes at a time."""
        self.broadcast(True)
        group = self._words if tensors[0].device.type == "cpu" else None
        for some in _bunches(tensors):
            flat = torch.cat([tensor.flatten() for tensor in some])
            with _heard():
                dist.all_reduce(flat, group=group)
            sums = flat.split([tensor.numel() for tensor in some])
            for tensor, total in zip(some, sums, strict=True):
                tensor.copy_(total.view_as(tensor))


@contextmanager
def connect(size: int) -> Iterator[Communicator]:
    """Find the other processes of the job through accelerate.

    Args:
        size: how many there are.

    Raises:
        UserError: accelerate is not installed, or torch has restarted the job in a way in which the
            processes cannot find each other.
    """
    again = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") != "0"
    if again and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True":
        # They would be given addresses of processes that are gone, and wait for them.
        raise UserError(
            "max-restarts: the processes cannot find each other again; launch with torchrun "
            "--rdzv-backend c10d and TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1, or without restarts"
        )
    try:
        from accelerate import PartialState
    except ImportError:
        raise UserError(
            f"WORLD_SIZE: says that this is one of {size} processes, and they divide work through "
            "accelerate; install imgcollapse[accelerate], or unset WORLD_SIZE"
        ) from None
    # On a machine without a GPU it has to be told, or it takes each process for a single one.
    cpu = os.environ.get("ACCELERATE_USE_CPU", "") == "true" or not torch.accelerator.is_available()
    state = PartialState(cpu=cpu, timeout=START_TIMEOUT)
    try:
        yield Communicator()
    finally:
        state.destroy_process_group()


@contextmanager
def _heard() -> Iterator[None]:
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:  # what torch.distributed raises has it for a base
        why = str(error).splitlines()[0].rpartition("] ")[2].partition(". ")[0]
        raise ConnectionLost(f"Another process of this job has ended ({why})") from None


def _bunches(tensors: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    some: list[Tensor] = []
    for tensor in tensors:
        if some and sum(map(Tensor.numel, some)) + tensor.numel() > BUCKET_SIZE:
            yield some
            some = []
        some.append(tensor)
    if some:
        yield some
