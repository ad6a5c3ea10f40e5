"""Colours as their ICC profile means them, in sRGB."""

from __future__ import annotations

from functools import lru_cache
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image, ImageCms

_LARGEST = 2**22
"""Bytes of a profile; those of printing presses have some two million."""

_ROUNDING = 2
"""Levels by which the many editions of sRGB differ; a profile that changes no more is one."""

_SPACES = {"RGB ": ("RGB",), "CMYK": ("CMYK",), "GRAY": ("L",)}
"""The modes of images that a profile can be of."""


def to_srgb(image: Image.Image) -> Image.Image:
    """The image as RGB, RGBA or as it was; a profile that cannot be used is passed over."""
    profile = image.info.get("icc_profile")
    if not isinstance(profile, bytes) or not 128 <= len(profile) <= _LARGEST:
        return image
    clear = image.convert("RGBA").getchannel("A") if image.has_transparency_data else None
    if image.mode not in ("RGB", "CMYK", "L"):
        image = image.convert("L" if image.mode in ("1", "LA", "La") else "RGB")
    try:
        transform = _transform(profile, image.mode)
        converted = image.convert("RGB") if transform is None else transform.apply(image)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        converted = image.convert("RGB")
    if clear is not None:
        converted.putalpha(clear)
    converted.info = {}
    return converted


@lru_cache(maxsize=32)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """From a profile to sRGB, or None where it is sRGB itself or is of other images."""
    opened = ImageCms.ImageCmsProfile(BytesIO(profile))
    about: Any = opened.profile
    if mode not in _SPACES.get(about.xcolor_space, ()):
        return None
    # Without its cache of the last pixel a transform can be at work in several threads.
    transform = ImageCms.ImageCmsTransform(
        opened,
        ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")),
        mode,
        "RGB",
        ImageCms.Intent.RELATIVE_COLORIMETRIC,
        flags=ImageCms.Flags.NOCACHE,
    )
    if mode == "CMYK":
        return transform
    levels = np.arange(0, 256, 51, dtype=np.uint8)
    colours = np.stack(np.meshgrid(levels, levels, levels), -1).reshape(1, -1, 3)
    probe = Image.fromarray(colours if mode == "RGB" else levels[None])
    changed = np.asarray(transform.apply(probe)).astype(int) - np.asarray(probe.convert("RGB"))
    return transform if np.abs(changed).max() > _ROUNDING else None
