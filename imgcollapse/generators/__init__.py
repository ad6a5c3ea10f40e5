"""Generators: what is trained on images and draws new ones.

    vae.py       a convolutional variational autoencoder
    ddpm.py      a diffusion model; noise.py its noising process and samplers, unet.py its network,
                 speed.py how that is made fast, fused.py its blocks for a GPU, kernels.py
                 what runs there
    autoregressive.py  a language model over image tokens; tokens.py what they are,
                 transformer.py its network, decoding.py temperature, top-k and top-p
    gaussian.py  one Gaussian, and a mixture: closed forms to check everything else against
    resample.py  the perfect learner: what chance alone does
    training.py  the one training loop; plan.py how long and how fast, draws.py the random numbers
                 of a batch, course.py how far it has come, memory.py less at a time where it ends,
                 replay.py a step that a GPU has recorded
    sampling.py  images drawn a batch at a time
    pipeline.py  a trained diffusion model as a diffusers pipeline folder

To add one, extend `core.protocols.Generator` in a file of its own and name it here; or leave this
room alone and name it in the study by import path, `kind: my_package.flow:Flow`.
"""

from typing import Annotated

from imgcollapse.core.components import ComponentUnion
from imgcollapse.generators.autoregressive import Autoregressive, LanguageModel
from imgcollapse.generators.base import Generator
from imgcollapse.generators.ddpm import DDPM, DiffusionModel
from imgcollapse.generators.diffusers_export import export_pipeline
from imgcollapse.generators.gaussian import FittedMixture, Gaussian, Mixture
from imgcollapse.generators.resample import Resample, StoredSet
from imgcollapse.generators.vae import VAE, VAEModel

AnyGenerator = Annotated[
    Generator, ComponentUnion(VAE, DDPM, Autoregressive, Gaussian, Mixture, Resample)
]

__all__ = [
    "DDPM",
    "VAE",
    "AnyGenerator",
    "Autoregressive",
    "DiffusionModel",
    "FittedMixture",
    "Gaussian",
    "Generator",
    "LanguageModel",
    "Mixture",
    "Resample",
    "StoredSet",
    "VAEModel",
    "export_pipeline",
]
