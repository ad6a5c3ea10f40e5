"""Messages between the processes of a job, over torch.distributed.

Messages go over gloo, in a group without a time limit: the leader may work alone for hours, and a
process that ends is noticed by its closed connections. Sums of tensors on a GPU go over the GPU's
own backend, such as NCCL. A message from the leader precedes all data, so that a process which
waits for the leader waits for a message.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from itertools import islice
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor

from imgcollapse.core.errors import Stopped, UserError

P = TypeVar("P")
R = TypeVar("R")
T = TypeVar("T")
END, LEAVE, CALL, FLAG, OBJECT = range(5)
"""Messages: the job ends, the leader left the work, a call for work, a bool, any object."""

NO_TIMEOUT = timedelta(days=365)  # the time limit of messages
START_TIMEOUT = timedelta(minutes=5)
"""The time limit of a sum over GPUs; all processes are there when it begins."""
BUCKET_SIZE = 2**24  # numbers summed at a time: 64 MB of float32 beside the tensors themselves


class ConnectionLost(Stopped):
    """Another process of the job has ended; the same command resumes from what is saved."""


class LeaderLeft(Exception):  # noqa: N818
    """The leader has left the work that this process was called for."""


class ProcessGroup:
    """A group of processes that run the same code; a single one unless it is a `Communicator`."""

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        """Process `rank`, 0 for the leader, of `size`."""
        self.rank, self.size = rank, size

    def shard(self, n: int) -> slice:
        """Returns this process's rows of n; the shares differ by one row at most."""
        return slice(self.rank * n // self.size, (self.rank + 1) * n // self.size)

    def broadcast(self, value: T) -> T:
        """Returns the leader's value everywhere; raises `ConnectionLost` for an ended process."""
        return value

    def all_gather(self, value: T) -> list[T]:
        """Returns all processes' values by rank, in every process; raises as `broadcast`."""
        return [value]

    def all_reduce_sum(self, tensors: Sequence[Tensor]) -> None:
        """Replaces tensors of one type and device by their sums, of the same bits everywhere.

        Raises as `broadcast`.
        """

    def scatter_map(self, work: Callable[[P], R], parts: Iterable[P]) -> Iterator[R]:
        """Yields the work's result for each part, in order; each process does every `size`-th.

        A `UserError` of one part is raised by all processes; else raises as `broadcast`.
        """

        def outcome(part: P) -> R | UserError:
            try:
                return work(part)
            except UserError as error:
                return error

        rest = iter(parts)
        while turn := list(islice(rest, self.size)):
            mine = turn[self.rank :][:1]
            for results in self.all_gather([outcome(part) for part in mine]):
                for result in results:
                    if isinstance(result, UserError):
                        raise result
                    yield result


class Communicator(ProcessGroup):
    """Sends and receives messages and sums between this process and the others of its job."""

    def __init__(self) -> None:
        super().__init__(dist.get_rank(), dist.get_world_size())
        self._gloo = cast(dist.ProcessGroup, dist.new_group(backend="gloo", timeout=NO_TIMEOUT))

    def send(self, kind: int, content: Any = None) -> None:
        """Sends a message from the leader to all others."""
        data = pickle.dumps(content) if kind in (CALL, OBJECT) else b""
        with _detecting_loss():
            dist.broadcast(torch.tensor([kind, len(data) or bool(content)]), 0, self._gloo)
            if data:
                bits = torch.frombuffer(bytearray(data), dtype=torch.uint8)
                dist.broadcast(bits, 0, self._gloo)

    def receive(self) -> tuple[int, Any]:
        """Waits for the leader's next message: its kind and content."""
        with _detecting_loss():
            head = torch.empty(2, dtype=torch.int64)
            dist.broadcast(head, 0, self._gloo)
            kind, number = head.tolist()
            if kind not in (CALL, OBJECT):
                return kind, bool(number)
            data = torch.empty(number, dtype=torch.uint8)
            dist.broadcast(data, 0, self._gloo)
        return kind, pickle.loads(data.numpy().data)  # noqa: S301 - of a process of this job

    def broadcast(self, value: T) -> T:
        """Returns the leader's value; raises `LeaderLeft` if it has left the work."""
        if self.rank == 0:
            self.send(FLAG if isinstance(value, bool) else OBJECT, value)
            return value
        kind, content = self.receive()
        if kind == LEAVE:
            raise LeaderLeft
        return content

    def all_gather(self, value: T) -> list[T]:
        """Returns every process's value, by rank."""
        self.broadcast(True)
        values: list[Any] = [None] * self.size
        with _detecting_loss():
            dist.all_gather_object(values, value, self._gloo)
        return values

    def all_reduce_sum(self, tensors: Sequence[Tensor]) -> None:
        """Replaces tensors by their sums over all processes, some megabytes at a time."""
        self.broadcast(True)
        group = self._gloo if tensors[0].device.type == "cpu" else None
        for some in _buckets(tensors):
            flat = torch.cat([tensor.flatten() for tensor in some])
            with _detecting_loss():
                dist.all_reduce(flat, group=group)
            sums = flat.split([tensor.numel() for tensor in some])
            for tensor, total in zip(some, sums, strict=True):
                tensor.copy_(total.view_as(tensor))


@contextmanager
def connect(size: int) -> Iterator[Communicator]:
    """Connects to the other processes of the job, `size` in all, through accelerate.

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
def _detecting_loss() -> Iterator[None]:
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:  # what torch.distributed raises has it for a base
        why = str(error).splitlines()[0].rpartition("] ")[2].partition(". ")[0]
        raise ConnectionLost(f"Another process of this job has ended ({why})") from None


def _buckets(tensors: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    some: list[Tensor] = []
    for tensor in tensors:
        if some and sum(map(Tensor.numel, some)) + tensor.numel() > BUCKET_SIZE:
            yield some
            some = []
        some.append(tensor)
    if some:
        yield some
