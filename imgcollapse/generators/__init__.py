"""Generators: image models that are trained on one generation and draw the next.

    base.py            the interface: Generator, Model
    vae.py             a convolutional variational autoencoder
    ddpm.py            a diffusion model: noise_schedule.py its noise and samplers, unet.py its
                       network, fused.py and kernels.py the network's blocks for a GPU
    autoregressive.py  a language model over image tokens: tokens.py the tokenizers,
                       transformer.py its network and the sampling of tokens
    gaussian.py        one Gaussian, and a mixture: closed forms to check everything else against
    resample.py        resampling of the training set: genetic drift alone
    sampling.py        samples drawn batch by batch, with checkpoints
    diffusers_export.py  a trained diffusion model as a diffusers pipeline folder

They are trained by training/loop.py. To add one, extend `Generator` in a file of its own and name
it here; or name it in the study by import path, `kind: my_package.flow:Flow`.
"""

from typing import Annotated

from imgcollapse.core.components import ComponentUnion
from imgcollapse.generators.autoregressive import Autoregressive, LanguageModel
from imgcollapse.generators.base import Generator
from imgcollapse.generators.ddpm import DDPM, DiffusionModel
from imgcollapse.generators.diffusers_export import export_pipeline
from imgcollapse.generators.gaussian import FittedMixture, Gaussian, Mixture
from imgcollapse.generators.resample import Resample
from imgcollapse.generators.vae import VAE

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
    "export_pipeline",
]
