"""Densities with closed forms: one Gaussian, and a mixture of them."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from pydantic import NonNegativeFloat, PositiveInt
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from torch import Tensor

from imgcollapse.core.errors import UserError
from imgcollapse.core.images import Images, to_float, to_uint8, unlabeled
from imgcollapse.core.seeds import Seed
from imgcollapse.generators.base import Generator, Model
from imgcollapse.training.context import RunContext

BATCH = 4096


class DensityGenerator(Generator):
    """A sum of Gaussians over the pixels, or over their leading principal components."""

    conditional: Literal[False] = False  # pyright: ignore[reportIncompatibleVariableOverride]
    warm_start: Literal[False] = False  # pyright: ignore[reportIncompatibleVariableOverride]
    # Principal components kept, at most; None keeps all. What the others explain is lost.
    pca: PositiveInt | None = None
    # The sampling bias lambda of Alemohammad et al. 2023: every covariance is multiplied by it when
    # images are drawn. 1 is unbiased, 0 draws the means.
    temperature: NonNegativeFloat = 1.0

    def fit(
        self, images: Images, context: RunContext, previous: Model | None = None
    ) -> FittedMixture:
        """Fit in float64 on the CPU; raises `UserError` for too few images."""
        if len(images) < 2:
            raise UserError(
                f"training set: a {self.kind} needs at least 2 images to have a variance,"
                f" and there are {len(images)}; raise samples"
            )
        points = to_float(images.pixels).flatten(1).double().numpy()
        kept = None if self.pca is None else min(self.pca, *points.shape)
        axes = PCA(kept, random_state=int(context.seed / "pca") % 2**32)
        # Images that are all alike have no variance to take shares of.
        with np.errstate(invalid="ignore"):
            coordinates = axes.fit_transform(points)
        weights, means, factors = self._components(axes, coordinates, context.seed)
        context.progress("train", 1, 1, len(images))
        return FittedMixture(
            images.shape,
            self.temperature,
            torch.from_numpy(weights),
            torch.from_numpy(means @ axes.components_ + axes.mean_),
            torch.from_numpy(factors @ axes.components_),
        )

    @abstractmethod
    def _components(
        self, axes: PCA, coordinates: np.ndarray, seed: Seed
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Fit the Gaussians to coordinates [N, R]: weights [M], means [M, R], factors [M, R, R]."""

    def restore(self, state: dict[str, Tensor], context: RunContext) -> FittedMixture:
        """The model whose `state` was saved."""
        return FittedMixture(context.shape, self.temperature, **state)


class Gaussian(DensityGenerator):
    """One Gaussian: the sample mean and the unbiased covariance.

    A covariance without full rank needs no ridge: directions without variance stay so. Retrained on
    its own n samples, the fitted mean wanders, Var(mean_k) = sigma^2 k/n, and the fitted
    sigma_k shrinks, E[sigma_k] = a^k sigma with a = E[chi_{n-1}] / sqrt(n-1) (Shumailov et al.
    2024; Suresh et al. 2024).
    """

    kind: Literal["gaussian"] = "gaussian"

    def _components(
        self, axes: PCA, coordinates: np.ndarray, seed: Seed
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        deviations = np.sqrt(axes.explained_variance_)
        return np.ones(1), np.zeros((1, len(deviations))), np.diag(deviations)[None]


class Mixture(DensityGenerator):
    """A mixture of Gaussians by expectation-maximization (scikit-learn's GaussianMixture)."""

    kind: Literal["mixture"] = "mixture"
    pca: PositiveInt | None = 32
    # How many Gaussians. Each variance gets scikit-learn's ridge of 1e-6, in units of [-1, 1]
    # pixels squared, so that a Gaussian on a single image still has one.
    components: PositiveInt = 10

    def _components(
        self, axes: PCA, coordinates: np.ndarray, seed: Seed
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        if len(coordinates) < self.components:
            raise UserError(
                f"generator.components: {self.components} Gaussians need as many training images,"
                f" and there are {len(coordinates)}; lower it"
            )
        state = int(seed / "mixture") % 2**32
        mixture = GaussianMixture(self.components, max_iter=200, random_state=state)
        # A collapsed training set has fewer distinct images than Gaussians: expected here.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            mixture.fit(coordinates)
        factors = np.linalg.cholesky(np.asarray(mixture.covariances_)).transpose(0, 2, 1)
        return np.asarray(mixture.weights_), np.asarray(mixture.means_), factors


@dataclass(frozen=True)
class FittedMixture:
    """M fitted Gaussians over D pixels of rank R: x = means[m] + sqrt(temperature) z factors[m]."""

    shape: tuple[int, int, int]  # channels, height, width
    temperature: float  # multiplies every covariance
    weights: Tensor  # float64[M], summing to 1
    means: Tensor  # float64[M, D], pixels in [-1, 1]
    factors: Tensor  # float64[M, R, D]; a covariance is its factor's transpose times the factor

    def sample(self, labels: Tensor, context: RunContext) -> Images:
        """Draw as many images as there are `labels`; nobody has named them."""
        n, noise, parts = len(labels), context.seed.torch(), []
        for start in range(0, n, BATCH):
            size = min(BATCH, n - start)
            parts.append(to_uint8(self._draw(size, noise)).view(size, *self.shape))
            context.progress("sample", start + size, n, start + size)
        return unlabeled(torch.cat(parts))

    def _draw(self, size: int, noise: torch.Generator) -> Tensor:
        which = torch.multinomial(self.weights, size, replacement=True, generator=noise)
        _, rank, _ = self.factors.shape
        z = torch.randn(size, rank, generator=noise, dtype=torch.float64) * self.temperature**0.5
        drawn = self.means[which]
        for component in which.unique().tolist():
            here = which == component
            drawn[here] += z[here] @ self.factors[component]
        return drawn

    def state(self) -> dict[str, Tensor]:
        """Weights, means and factors."""
        return {"weights": self.weights, "means": self.means, "factors": self.factors}
