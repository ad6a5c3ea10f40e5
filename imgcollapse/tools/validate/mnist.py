"""T1: a VAE on MNIST, retrained on its own decoder means."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from imgcollapse.core.errors import UserError
from imgcollapse.core.images import UNKNOWN, Images
from imgcollapse.core.lineage_images import LineageImages
from imgcollapse.data.torchvision_sets import TorchvisionSet
from imgcollapse.generators.vae import VAEModel
from imgcollapse.tools.validate.laws import (
    Array,
    Curve,
    LawContext,
    Measurement,
    Outcome,
    Plot,
    compare,
)
from imgcollapse.tools.validate.lineages import NO_RESERVE
from imgcollapse.training.context import RunContext

PUBLISHED = np.array([0.688, 0.603, 0.534, 0.483, 0.443])
SPREAD = np.array([0.011, 0.006, 0.012, 0.009, 0.018])
"""Mean and standard deviation over the five published runs, generations 0 to 4."""
RUNS = 5


class ShumailovVAE:
    """What the first encoder sees in each generation's samples shrinks by a tenth a generation.

    Published generation 0 is the first retrained model: model 2 here, whose original is model 1.
    """

    id = "T1"
    title = "A VAE on its own MNIST"
    threads = None
    source = (
        "Shumailov et al., Nature 2024: mean over latent dimensions of the standard deviation of "
        "the original encoder's means, over generated images. Five published runs give .688 .603 "
        ".534 .483 .443, about x0.896 a generation. Levels depend on how long the VAEs learn; what "
        "is tested is the factor, which must lie within the published runs' spread, and the fall."
    )

    def test(self, trial: LawContext, say: Callable[[str], Any]) -> Outcome:
        """Train chains of VAEs."""
        try:
            digits = TorchvisionSet(name="MNIST", root=trial.data).load().train
        except UserError:
            return Outcome(
                skipped=f"{trial.data} holds no MNIST; put it there (MNIST/raw/...), or name the "
                "folder that holds it: --data PATH"
            )
        chains = []
        for i in range(trial.digits.seeds):
            seed = trial.seed / "mnist" / i
            rows = torch.randperm(len(digits.labels), generator=(seed / "digits").torch())
            rows = rows[: trial.digits.images]
            chains.append(
                self._chain(trial, Images(digits.read(rows), digits.labels[rows]), i, say)
            )
        return judge(np.array(chains), trial.digits.images)

    def _chain(
        self, trial: LawContext, real: Images, number: int, say: Callable[[str], Any]
    ) -> list[float]:
        """sigma of published generations 0, 1, ...: one chain of VAEs."""
        seed = trial.seed / "mnist" / number
        generator = trial.parts.vae(epochs=trial.digits.epochs, batch=trial.digits.batch)
        archive, asked = LineageImages(real, NO_RESERVE), torch.full((len(real),), UNKNOWN).short()
        original, sigmas = None, []
        for g in range(1, len(PUBLISHED) + 2):
            training = archive.gather(trial.parts.replace.select(archive, g, seed / g / "select"))
            context = RunContext(seed / g / "fit", trial.device, training.shape, 0)
            model = generator.fit(training, context)
            assert isinstance(model, VAEModel)  # what encodes
            original = original or model
            samples = model.sample(asked, context.with_seed(seed / g / "sample"))
            archive.append(samples)
            if g > 1:
                sigmas.append(float(original.encode(samples.pixels).std(dim=0).mean()))
                say(f"T1: seed {number}, generation {g - 2}: sigma {sigmas[-1]:.3f}")
        return sigmas


def judge(sigmas: Array, images: int) -> Outcome:
    """Whether chains float64[seeds, 5] of sigma over so many images each fall as published.

    The factors of all seeds and steps are taken as independent replicates. They must agree with a
    factor that one of the published runs may have had: of five normal draws the outermost lie 1.16
    standard deviations out.
    """
    steps = len(PUBLISHED) - 1
    factor = float((PUBLISHED[-1] / PUBLISHED[0]) ** (1 / steps))
    relative = np.hypot(*(SPREAD / PUBLISHED)[[0, -1]]) / steps
    reach = 1.163 * factor * float(relative)
    factors = sigmas[:, 1:] / sigmas[:, :-1]
    mean = sigmas.mean(axis=0)
    slowest = float((mean[1:] / mean[:-1]).max())
    # A standard deviation over N normal draws is known to 1/sqrt(2N); twenty dimensions help.
    noise = slowest / math.sqrt(len(sigmas) * images * 20)
    findings = [
        compare(
            "sigma's factor a generation, within the published runs' spread",
            factors.ravel(),
            (factor - reach, factor + reach),
            f"{factor:.3f}",
        ),
        Measurement(
            "largest factor of a step: sigma falls in each", 0, 1, slowest, noise, images - 1
        ),
    ]
    x = np.arange(len(PUBLISHED))
    spread = sigmas.std(axis=0, ddof=1) / math.sqrt(len(sigmas)) if len(sigmas) > 1 else 0 * mean
    curves = [
        Curve("here", x.astype(float), None, mean, spread),
        Curve("published", x.astype(float), None, PUBLISHED, SPREAD / math.sqrt(RUNS)),
    ]
    return Outcome(findings, [Plot("Mean sigma of the latent means", "generation", curves)])
