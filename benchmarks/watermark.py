"""How well the watermark is found, by image set, size and what was done to the images.

    python benchmarks/watermark.py [--data DIR] [--images N] [--keys K]

Digits of scikit-learn and paper dogs need no data; with `--data`, a folder that holds MNIST,
cifar10-jpg.zip or stanford-dogs-12x64px.zip, those too, MNIST and CIFAR-10 also at 16 px. The mark
is looked for at a false-positive rate of 1% in N marked images, as they are and after each attack,
and with another key; then in 4 N images that nobody marked, with each of K keys. The spread is the
variance of these K rates over that of a share: 1 if images are found independently.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics.functional.image import peak_signal_noise_ratio

from imgcollapse.core.seeds import Seed
from imgcollapse.curation.watermark.attacks import ATTACKS
from imgcollapse.curation.watermark.spread_transform import SpreadTransformMark
from imgcollapse.data import Digits, Folder, PaperDogs, TorchvisionSet
from imgcollapse.data.base import Source

RATE, PSNR, MARGIN = 0.01, 35.0, 2


def sets(data: Path | None, most: int) -> Iterator[tuple[str, Tensor]]:
    """Each image set that is there, by name: uint8[N, C, H, W]."""
    sources: dict[str, Source] = {"digits": Digits(), "paper dogs": PaperDogs(size=32)}
    if data and (data / "MNIST").is_dir():
        sources["MNIST"] = TorchvisionSet(name="MNIST", root=data)
    if data and (data / "cifar10-jpg.zip").is_file():
        sources["CIFAR-10"] = Folder(path=data / "cifar10-jpg.zip")
    if data and (data / "stanford-dogs-12x64px.zip").is_file():
        sources["Stanford Dogs"] = Folder(path=data / "stanford-dogs-12x64px.zip")
    for name, source in sources.items():
        stock = source.load().train
        rows = torch.randperm(len(stock.labels), generator=Seed(("bench", name)).torch())[:most]
        pixels = stock.read(rows.sort().values)
        yield name, pixels
        if name in ("MNIST", "CIFAR-10"):
            small = F.interpolate(pixels.float(), (16, 16), mode="bilinear", antialias=True)
            yield name, small.round().clamp(0, 255).to(torch.uint8)


def main() -> None:
    """Print the table."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    options.add_argument("--data", type=Path)
    options.add_argument("--images", type=int, default=500)
    options.add_argument("--keys", type=int, default=10)
    asked = options.parse_args()
    head = ["images", "px", "PSNR", "as is", *ATTACKS, "wrong key", "FPR", "spread"]
    print("| " + " | ".join(head) + " |", "|" + "---|" * len(head), sep="\n")
    for name, pixels in sets(asked.data, 4 * asked.images):
        shape = tuple(pixels.shape[1:])
        right, wrong = (
            SpreadTransformMark.of(key, shape, PSNR, MARGIN) for key in ("bench", "another")
        )
        hosts = pixels[: asked.images]
        marked = right.embed(hosts)
        psnr = peak_signal_noise_ratio(
            marked.float(), hosts.float(), data_range=255.0, dim=(1, 2, 3), reduction="none"
        )
        row = [name, f"{shape[2]}", f"{psnr.mean():.1f}", found(right, marked)]
        for attack, distort in ATTACKS.items():
            row.append(found(right, distort(marked, Seed(("bench", name, attack)))))
        row.append(found(wrong, marked))
        rates = torch.tensor(
            [
                float(SpreadTransformMark.of(key, shape, PSNR, MARGIN).detect(pixels, RATE).mean())
                for key in range(asked.keys)
            ]
        )
        spread = rates.var() / (RATE * (1 - RATE) / len(pixels))
        row += [f"{rates.mean():.2%}", f"{spread:.1f}"]
        print("| " + " | ".join(row) + " |", flush=True)


def found(mark: SpreadTransformMark, pixels: Tensor) -> str:
    """Share of images in which a mark is found."""
    return f"{mark.detect(pixels, RATE).mean():.1%}"


if __name__ == "__main__":
    main()
