"""Pretrained weights from disk: found, hashed, and loaded without running code in the file."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated

import torch
from pydantic import AfterValidator
from torch import Tensor, nn
from torchvision import models

from imgcollapse.core.errors import UserError
from imgcollapse.core.sanitize import with_home
from imgcollapse.io.atomic import sha256, wrap_os_errors

_NAMED_DIGEST = re.compile(r"-([0-9a-f]{8,64})\.(pth|pt)")
"""Published files of torch.hub have the first digits of their sha256 in their name."""


def _has_fc(name: str) -> str:
    known = [known for known in models.list_models(models) if known.startswith(("res", "reg"))]
    if name not in known:
        raise ValueError(f"unknown network; choose one of {', '.join(known)}")
    return name


NetworkName = Annotated[str, AfterValidator(_has_fc)]
"""A classification network of torchvision whose last layer is `fc`."""


@dataclass(frozen=True)
class PretrainedWeights:
    """A file of pretrained weights that a setting needs. Nothing is ever downloaded."""

    setting: str  # names the file
    named: Path | None  # the file; None means torch.hub's cache
    published: Sequence[str]  # its possible names in the cache
    url: str  # where it is published
    instead: str  # a setting that needs no weights, for error messages

    def find_file(self) -> Path:
        """Returns the path of the file; a UserError if it is missing."""
        cache = Path(torch.hub.get_dir()) / "checkpoints"
        choices = (
            [with_home(self.named)] if self.named else [cache / name for name in self.published]
        )
        for path in choices:
            if path.is_file():
                return path
        raise UserError(
            f"{self.setting}: {choices[0]} is not there; fetch {self.url} and name the file, or "
            f"use {self.instead}"
        )

    def load_state(self) -> dict[str, Tensor]:
        """Returns the state dict in the file, which torch.save wrote; anything else is refused.

        Raises:
            UserError: it is missing, has no state dict, or not the sha256 in its name.
        """
        path = self.find_file()
        claimed = _NAMED_DIGEST.search(path.name)
        if claimed and not (found := sha256_of_file(path)).startswith(claimed[1]):
            raise self.refused(path, f"its sha256 is {found[:12]}..., its name says {claimed[1]}")
        try:
            _check_packing(path)
            state = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # reading a damaged file may raise anything
            raise self.refused(path, _reason(error)) from None
        if not isinstance(state, dict) or not all(
            isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in state.items()
        ):
            raise self.refused(path, "it holds something else")
        for name, tensor in state.items():
            if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_meta:
                raise self.refused(path, f"{name} is not a plain tensor")
            if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
                raise self.refused(path, f"{name} is larger than its data")
            if tensor.is_floating_point() and not tensor.isfinite().all():
                raise self.refused(path, f"{name} holds values that are not finite")
        return state

    def copy_into(self, network: nn.Module, state: dict[str, Tensor], assign: bool = True) -> None:
        """Loads tensors into a network of the same names and shapes; otherwise a UserError.

        With `assign` they become the network's own, which may be on the meta device.
        """
        try:
            network.load_state_dict(state, assign=assign)
        except Exception as error:
            raise self.refused(self.find_file(), _reason(error)) from None

    def refused(self, path: Path, reason: str) -> UserError:
        """Returns the error for a file that has other contents."""
        return UserError(
            f"{self.setting}: {path} does not hold this network's weights ({reason}); fetch them "
            f"again, or use {self.instead}"
        )


def sha256_of_file(path: Path) -> str:
    """Returns the sha256 of a file; it is read again only if it has changed."""
    with wrap_os_errors(path):
        status = path.stat()
        return _digest(path, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=8)
def _digest(path: Path, changed: int, size: int) -> str:
    return sha256(path)


def _check_packing(path: Path) -> None:
    """Checks that the file does not grow when it is read: torch.save never compresses."""
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise ValueError("it is compressed")
    if sum(member.file_size for member in members) > path.stat().st_size:
        raise ValueError("it is larger when unpacked")


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__
