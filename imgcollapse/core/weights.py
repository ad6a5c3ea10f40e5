"""State dicts from disk: found, hashed, and loaded without running anything that is in them."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from imgcollapse.core.errors import UserError
from imgcollapse.core.storage import explained, sha256


def find(weights: Path | None, names: Sequence[str], url: str) -> Path:
    """The file the user named, or the first of `names` in torch.hub's cache. Never downloads.

    Raises:
        UserError: it is not there.
    """
    cache = Path(torch.hub.get_dir()) / "checkpoints"
    choices = [weights] if weights else [cache / name for name in names]
    for path in choices:
        if path.is_file():
            return path
    raise UserError(
        f"metrics.features.weights: {choices[0]} is not there; fetch {url} and name the file, "
        "or use metrics.features=oracle"
    )


def digest(path: Path) -> str:
    """The sha256 of a file, read again only when it has changed."""
    with explained(path):
        status = path.stat()
        return _digest(path, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=8)
def _digest(path: Path, changed: int, size: int) -> str:
    return sha256(path)


def state_dict(path: Path) -> dict[str, Tensor]:
    """Named tensors from a file that torch.save wrote; whatever else it holds is refused.

    Raises:
        UserError: it is not a state dict.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError) as error:
        raise _not_weights(path, str(error).splitlines()[0]) from None
    if not isinstance(state, dict) or not all(isinstance(t, Tensor) for t in state.values()):
        raise _not_weights(path, "it holds something else")
    return state


def fill(network: torch.nn.Module, state: dict[str, Tensor], path: Path) -> None:
    """Give a network built on the meta device its tensors; every name and shape must be there.

    Raises:
        UserError: they differ.
    """
    try:
        network.load_state_dict(state, assign=True)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:120]
        raise _not_weights(path, reason) from None


def _not_weights(path: Path, reason: str) -> UserError:
    return UserError(
        f"metrics.features.weights: {path} does not hold this network's weights ({reason}); "
        "fetch them again, or use metrics.features=oracle"
    )
