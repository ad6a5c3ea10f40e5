"""Generators: image models that are trained on one generation and draw the next.

To add one, extend `Generator` (base.py) in a file of its own and name it here; or name it in the
study by import path, `kind: my_package.flow:Flow`.
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
