"""T1: a VAE on MNIST, retrained on its own decoder means."""

from __future__ import annotations

import math

import numpy as np
import torch

from imgcollapse.core.errors import UserError
from imgcollapse.core.images import UNKNOWN, Images
from imgcollapse.core.lineage_images import LineageImages, training_sets
from imgcollapse.data.torchvision_sets import TorchvisionSet
from imgcollapse.generators.vae import VAEModel
from imgcollapse.tools.validate import laws
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


class ShumailovVAE(laws.Law):
    """The spread of samples, in the first encoder's latents, shrinks by a tenth a generation.

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

    def test(self, context: LawContext) -> Outcome:
        """Trains chains of VAEs."""
        try:
            digits = TorchvisionSet(name="MNIST", root=context.data).load().train
        except UserError:
            return Outcome(
                skipped=f"{context.data} holds no MNIST; put it there (MNIST/raw/...), or name the "
                "folder that holds it: --data PATH"
            )
        chains = []
        for i in range(context.mnist.seeds):
            seed = context.seed / "mnist" / i
            rows = torch.randperm(len(digits.labels), generator=(seed / "digits").torch())
            rows = rows[: context.mnist.images]
            real = Images(digits.read(rows), digits.labels[rows])
            chains.append(self._chain(context, real, i))
        return judge(np.array(chains), context.mnist.images)

    def _chain(self, context: LawContext, real: Images, number: int) -> list[float]:
        """sigma of published generations 0, 1, ...: one chain of VAEs."""
        seed = context.seed / "mnist" / number
        generator = context.parts.vae(epochs=context.mnist.epochs, batch=context.mnist.batch)
        images, asked = LineageImages(real, NO_RESERVE), torch.full((len(real),), UNKNOWN).short()
        original, sigmas = None, []
        for g, seed_g, chosen in training_sets(
            context.parts.replace, images, lambda g: seed / g, last=len(PUBLISHED) + 1
        ):
            training = images.gather(chosen)
            run = RunContext(seed_g / "fit", context.device, training.shape, 0)
            model = generator.fit(training, run)
            assert isinstance(model, VAEModel)  # only a VAE encodes
            original = original or model
            samples = model.sample(asked, run.with_seed(seed_g / "sample"))
            images.append(samples)
            if g > 1:
                sigmas.append(float(original.encode(samples.pixels).std(dim=0).mean()))
                context.log(f"T1: seed {number}, generation {g - 2}: sigma {sigmas[-1]:.3f}")
        return sigmas


def judge(sigmas: Array, images: int) -> Outcome:
    """Compares chains of sigma, float64[seeds, 5] over so many images, with the published ones.

    The factors of all seeds and steps are taken as independent replicates. They must agree with a
    factor that one of the published runs may have had: the outermost of five normal draws are 1.16
    standard deviations from their mean.
    """
    steps = len(PUBLISHED) - 1
    factor = float((PUBLISHED[-1] / PUBLISHED[0]) ** (1 / steps))
    relative = np.hypot(*(SPREAD / PUBLISHED)[[0, -1]]) / steps
    reach = 1.163 * factor * float(relative)
    factors = sigmas[:, 1:] / sigmas[:, :-1]
    mean = sigmas.mean(axis=0)
    slowest = float((mean[1:] / mean[:-1]).max())
    # A deviation of N normal draws has relative error 1/sqrt(2N), here in 20 dimensions.
    noise = slowest / math.sqrt(len(sigmas) * images * 20)
    measurements = [
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
    return Outcome(measurements, [Plot("Mean sigma of the latent means", "generation", curves)])
