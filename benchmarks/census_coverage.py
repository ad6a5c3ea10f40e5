"""Does the census keep its promises with a study's own images and oracle?

    python benchmarks/census_coverage.py configs/mnist_vae.yaml data.root=DATA oracle.steps=40 \
        --training 30 --held-out 20 100 500

An oracle is trained on so many images of each class, and calibrated on so many others; several
draws of them. Random mixtures of the remaining images, one to five classes absent, are counted. A
row says how often the 95% intervals hold the true shares, and how often a class that is absent from
a mixture is detected when it is added at its detection limit, and at twice that.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from imgcollapse.census import HeldOut, Prevalence, prevalence
from imgcollapse.config.loader import load_study
from imgcollapse.core.images import UNKNOWN, Images
from imgcollapse.core.seeds import Seed
from imgcollapse.experiment.setup import setup_device
from imgcollapse.training.context import RunContext

Array = NDArray[np.float64]
POOL = 800  # images of each class that mixtures are drawn from


class Bench:
    """The pool of images as the oracle sees them: its answers and the true classes."""

    def __init__(self, held_out: HeldOut, pool: HeldOut, seed: Seed) -> None:
        self.held_out, self.pool, self.rng = held_out, pool, seed.numpy()
        self.rows = [np.flatnonzero(row) for row in pool.members]

    def count(self, shares: Array, n: int) -> Prevalence:
        """The census of n images drawn with these class shares."""
        each = self.rng.multinomial(n, shares)
        drawn = [self.rng.choice(rows, m) for rows, m in zip(self.rows, each, strict=True)]
        rows = torch.from_numpy(np.concatenate(drawn))
        rows = rows[self.pool.counted[rows] != UNKNOWN]
        return prevalence(self.pool.probabilities[rows], self.pool.counted[rows], self.held_out)

    def mixture(self) -> Array:
        """Class shares, one to five of them 0."""
        classes = len(self.rows)
        shares = self.rng.dirichlet(np.ones(classes))
        absent = int(self.rng.integers(1, min(6, classes)))
        shares[self.rng.permutation(classes)[:absent]] = 0
        return shares / shares.sum()


def benches(arguments: argparse.Namespace, each: int) -> Iterator[tuple[float, Bench]]:
    """The oracle's accuracy, and a bench for each draw of `each` held-out images a class."""
    study = load_study(arguments.study, arguments.overrides)
    source, seed = study.data.load(), Seed((study.seed, "coverage"))
    labels, rng = source.train.labels.numpy(), seed.numpy()
    most = max(arguments.held_out)
    sets: list[list[NDArray[np.int64]]] = [[], [], []]
    for k in range(len(source.classes)):
        rows = rng.permutation(np.flatnonzero(labels == k))
        cut = [arguments.training, arguments.training + most, arguments.training + most + POOL]
        for part, chosen in zip(sets, np.split(rows, cut), strict=False):
            part.append(chosen)

    def images(rows: Sequence[NDArray[np.int64]]) -> Images:
        chosen = torch.from_numpy(np.concatenate(rows))
        return Images(source.train.read(chosen), source.train.labels[chosen])

    training = images([rng.permutation(np.concatenate(sets[0]))])
    context = RunContext(seed / "oracle", setup_device(study), training.shape, len(source.classes))
    oracle, pool = None, images(sets[2])
    for draw in range(arguments.draws):
        held_out = images([rng.permutation(rows)[:each] for rows in sets[1]])
        oracle = oracle or study.oracle.fit(training, held_out, context)
        oracle.calibrate(training, held_out, study.oracle.reject)
        known = HeldOut(oracle.labels, oracle.held_out.counted, oracle.held_out.probabilities)
        seen = oracle.predict(pool.pixels)
        right = float((seen.probabilities.argmax(1) == pool.labels).double().mean())
        there = HeldOut(pool.labels, seen.counted, seen.probabilities)
        yield right, Bench(known, there, seed / each / draw)


def row(arguments: argparse.Namespace, found: list[tuple[float, Bench]], n: int) -> str:
    """The rates over all mixtures of n images, as a row of the table."""
    inside, there, widths, told, twice = [], [], [], [], []
    for _, bench in found:
        for _ in range(arguments.mixtures):
            shares = bench.mixture()
            census = bench.count(shares, n)
            inside.append((census.low <= shares + 1e-12) & (shares <= census.high + 1e-12))
            there.append(shares > 0)
            widths.append(census.high - census.low)
            k = bench.rng.choice(np.flatnonzero(shares == 0))
            for times, detected in ((1, told), (2, twice)):
                if (share := times * census.detection_limit[k]) < 1:
                    added = (1 - share) * shares + share * (np.arange(len(shares)) == k)
                    detected.append(bench.count(added, n).low[k] > 0)
    hit, present = np.array(inside), np.array(there)
    by_class = [hit[present[:, k], k].mean() for k in range(hit.shape[1])]
    rates = [
        hit[present].mean(),
        min(by_class),
        hit[~present].mean(),
        np.mean(told),
        np.mean(twice),
    ]
    accuracy = np.mean([right for right, _ in found])
    width = np.array(widths)[present].mean()
    return f"| {accuracy:.1%} | {len(found[0][1].held_out.labels) // hit.shape[1]} | {n:,} | " + (
        " | ".join(f"{rate:.1%}" for rate in rates) + f" | {width:.3f} |"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Coverage of the census, on a study's images.")
    parser.add_argument("study")
    parser.add_argument("overrides", nargs="*")
    parser.add_argument("--training", type=int, default=100, help="images of each class")
    parser.add_argument("--held-out", type=int, nargs="+", default=[100], help="of each class")
    parser.add_argument("--samples", type=int, nargs="+", default=[300, 1000, 3000])
    parser.add_argument("--mixtures", type=int, default=50, help="for each draw")
    parser.add_argument("--draws", type=int, default=4, help="of the held-out images")
    arguments = parser.parse_intermixed_args()
    print(
        "| oracle right | held out a class | n | present | worst class | absent | at the limit "
        "| twice | width |\n|---|---|---|---|---|---|---|---|---|"
    )
    for each in arguments.held_out:
        found = list(benches(arguments, each))
        for n in arguments.samples:
            print(row(arguments, found, n), flush=True)


if __name__ == "__main__":
    main()
