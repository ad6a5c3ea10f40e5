"""What test_distributed.py starts as two processes, and does in one to compare."""

import sys
from pathlib import Path

import torch

from imgcollapse import metrics
from imgcollapse.config.study import Study
from imgcollapse.core.device import choose_device
from imgcollapse.core.errors import UserError
from imgcollapse.core.progress import NullProgress
from imgcollapse.core.seeds import Seed
from imgcollapse.experiment import data_parallel
from imgcollapse.experiment.runner import run
from imgcollapse.metrics.features import Network, Prepare
from imgcollapse.metrics.memorization import nearest
from imgcollapse.parallel import process_group
from imgcollapse.parallel.process_group import current_group
from imgcollapse.training import loop

STUDY = {
    "generations": 2,
    "samples": 60,
    "data": {"kind": "digits"},
    "longtail": {"kind": "exponential", "factor": 8, "images": 60},
    "splits": {"oracle": 40, "calibration": 10, "reference": 60},
    "oracle": {"kind": "cnn", "steps": 40, "width": 8},
    "metrics": {"splits": 2, "per_class": False, "vocabulary": None},
    "precision": "float32",
    "threads": 1,
}
GENERATORS = {
    "vae": {"kind": "vae", "steps": 40, "batch": 33, "width": 8, "decode": "sample"},
    # Ancestral noise is drawn by batch, so it shows that batches are those of one process.
    "ddpm": {
        "kind": "ddpm",
        "channels": [16],
        "conditional": True,
        "steps": 30,
        "batch": 33,
        "sampler": "ddpm",
        "sample_steps": 8,
        "sample_batch": 16,
    },
    # Does not divide: the leader's alone.
    "gaussian": {"kind": "gaussian", "pca": 8},
}


class Curve(NullProgress):
    """Remembers every loss."""

    def __init__(self):
        self.generation, self.losses = 0, []

    def start_generation(self, lineage, generation, study):
        self.generation = generation

    def __call__(self, stage, step, steps, images, loss=None):
        if stage == "train" and self.generation and loss is not None:
            self.losses.append([self.generation, step, loss])


def live(kind, folder):
    """Run a study of one of the generators; its losses."""
    curve = Curve()
    run(
        Study.model_validate(STUDY | {"generator": GENERATORS[kind]}), folder / kind, reporter=curve
    )
    return curve.losses


def share(folder):
    """Work of all kinds that divides, and what this process sees of it, as a file."""
    ours, seed = current_group(), Seed(("job",))
    sums = [torch.zeros(3, 2), torch.zeros(5)]
    for row in range(11)[ours.shard(11)]:
        sums[0] += row
        sums[1] += torch.arange(5) * row
    ours.all_reduce_sum(sums)
    found = {
        "sums": sums,
        "squares": list(ours.scatter_map(lambda x: x * x, range(7))),
        "agreed": ours.broadcast("the leader's" if ours.rank == 0 else "a follower's"),
        "refusal": _refusal(lambda: list(ours.scatter_map(_refuses_five, range(7)))),
        "metrics": _synced(seed),
        "unequal": _refusal(lambda: data_parallel._require_equal_weights(_Model(ours.rank))),
    }
    torch.save(found, folder / f"rank_{ours.rank}_of_{ours.size}.pt")


def _refuses_five(x):
    if x == 5:
        raise UserError("five: is refused")
    return x


def _refusal(work):
    try:
        work()
    except UserError as error:
        return str(error)
    return None


class _Model:
    def __init__(self, weight):
        self.weight = weight

    def state(self):
        return {"weight": torch.tensor(self.weight)}


def _synced(seed):
    """Metrics of which each process has seen a part: five rows, or the others."""
    width, n = 6, 40
    luck = seed.torch()
    real, generated = (torch.randn(n, width, generator=luck).double() for _ in range(2))
    pixels = torch.randint(9, (n, 1, 2, 2), generator=luck).byte()
    seen = (
        [slice(0, 5), slice(5, n)][current_group().rank]
        if current_group().size > 1
        else slice(0, n)
    )
    found = {}
    for metric in (
        metrics.FrechetDistance(),
        metrics.FrechetInfinity(),
        metrics.KernelDistance(),
        metrics.PrecisionRecall(),
    ):
        metric.update(real[seen], real=True)
        metric.update(generated[seen], real=False)
        found[type(metric).__name__] = metric.compute()
    vendi, memorized = metrics.Vendi(), metrics.MemorizedShare(0.2)
    vendi.update(generated[seen])
    training = pixels[:20]
    memorized.update(nearest(pixels[20:], training)[seen], real=True)
    memorized.update(nearest(pixels, training)[seen], real=False)
    return found | {type(metric).__name__: metric.compute() for metric in (vendi, memorized)}


class Projection(Network):
    """Stands for a network with pretrained weights."""

    kind: str = "projection"

    def source(self):
        return None  # it is built from nothing

    def resize(self):
        return "no resize"

    def build(self):
        with Seed(("projection",)).seed_torch():
            linear = torch.nn.Linear(3 * 8 * 8, 4)
        return torch.nn.Sequential(Prepare(8, "bilinear"), torch.nn.Flatten(), linear)


def project(folder):
    """Features of images that are more than a batch, twice by one extractor."""
    pixels = torch.randint(256, (300, 1, 6, 6), generator=Seed(("pixels",)).torch()).byte()
    extractor, seen = Projection(), torch.zeros(300, 1)
    device = choose_device("cpu", "float32")
    found = [data_parallel.features(extractor, pixels, seen, device) for _ in range(2)]
    torch.save(found, folder / "features.pt")


if __name__ == "__main__":
    out = Path(sys.argv[1])
    loop.REPORT_SECONDS = -1.0  # look at every step
    with process_group.join_process_group() as leads:
        if leads:
            # What the leader drops the others drop too, and go on.
            try:
                with process_group.on_all_processes(share, out):
                    raise ZeroDivisionError
            except ZeroDivisionError:
                pass
            with process_group.on_all_processes(share, out):
                share(out)
            project(out)
            torch.save({kind: live(kind, out) for kind in GENERATORS}, out / "losses.pt")
