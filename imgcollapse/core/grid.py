"""A picture of many small images."""

from __future__ import annotations

from PIL import Image
from torchvision.transforms.functional import to_pil_image
from torchvision.utils import make_grid

from imgcollapse.core.images import Images


def sample_grid(images: Images, columns: int = 16, rows: int = 8, width: int = 1024) -> Image.Image:
    """The first columns x rows images side by side, enlarged in whole steps to about `width`."""
    shown = images.pixels[: columns * rows]
    tiles = make_grid(shown, nrow=columns, padding=1, pad_value=255)
    zoom = max(1, width // tiles.shape[-1])
    picture = to_pil_image(tiles)
    size = picture.width * zoom, picture.height * zoom
    return picture.resize(size, Image.Resampling.NEAREST)
