"""What all tests of bad input ask for: one line."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from imgcollapse.core.errors import UserError


def refusal(work, *arguments, **settings) -> str:
    with pytest.raises(UserError) as raised:
        work(*arguments, **settings)
    said = str(raised.value)
    assert said.isprintable()
    return said


def png(size: int = 8) -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (size, size), (1, 2, 3)).save(data, "PNG")
    return data.getvalue()
