"""The noise schedule of a diffusion model, and diffusers' samplers."""

from __future__ import annotations

import warnings
from typing import Any, Literal

import torch
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler
from torch import Tensor

Sampler = Literal["ddim", "ddpm", "dpm++", "sde-dpm++"]
Scheduler = DDPMScheduler | DDIMScheduler | DPMSolverMultistepScheduler


class NoiseSchedule:
    """x_t = sqrt(a_t) x_0 + sqrt(1 - a_t) noise, for t = 0 .. timesteps - 1.

    Attributes:
        alphas: a_t, the variance of x_t that is signal: float32[timesteps].
    """

    def __init__(self, schedule: str, timesteps: int, prediction: str) -> None:
        """`schedule` is cosine or linear; the network predicts epsilon or v."""
        self.prediction = prediction
        self._settings: dict[str, Any] = {
            "num_train_timesteps": timesteps,
            "beta_schedule": "squaredcos_cap_v2" if schedule == "cosine" else "linear",
            # Ho et al.'s 1e-4 .. 0.02 at T = 1000; any T ends at the same noise.
            "beta_start": 0.1 / timesteps,
            "beta_end": 20 / timesteps,
            # The first step starts at the level that pure noise has (Lin et al. 2024).
            "timestep_spacing": "trailing",
        }
        self.alphas = DDPMScheduler(**self._settings).alphas_cumprod
        self._there: dict[torch.device, Tensor] = {}

    def noisy(self, clean: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """x_t of clean images [B, C, H, W] at timesteps t [B]."""
        signal, spoil = self._amplitudes(t, clean)
        return signal * clean + spoil * noise

    def target(self, clean: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """The network's target: the noise, or v (Salimans & Ho 2022)."""
        if self.prediction == "epsilon":
            return noise
        signal, spoil = self._amplitudes(t, clean)
        return signal * noise - spoil * clean

    def clean(self, noisy: Tensor, answer: Tensor, t: Tensor) -> Tensor:
        """The x_0, clipped to [-1, 1], that the network's answer to x_t amounts to."""
        signal, spoil = self._amplitudes(t, noisy)
        if self.prediction == "epsilon":
            return ((noisy - spoil * answer) / signal).clamp(-1, 1)
        return (signal * noisy - spoil * answer).clamp(-1, 1)

    def _amplitudes(self, t: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        # Brought to a device once: a step that copies waits for the one before it.
        if like.device not in self._there:
            self._there[like.device] = self.alphas.to(like.device)
        alphas = self._there[like.device][t].view(-1, 1, 1, 1)
        return alphas.sqrt(), (1 - alphas).sqrt()

    def sampler(self, name: Sampler, steps: int, of_clean: bool) -> Scheduler:
        """A diffusers scheduler for this process, about to take its first of `steps` steps.

        `name` is ancestral (Ho et al. 2020), DDIM (Song et al. 2021), DPM-Solver++ 2M, or SDE-DPM-
        Solver++ 2M, which adds noise on the way as ancestral sampling does (Lu et al. 2022). It
        gets the clipped x_0 where `of_clean`, else the network's output, which it clips itself.
        """
        answer = "epsilon" if self.prediction == "epsilon" else "v_prediction"
        settings = {**self._settings, "prediction_type": "sample" if of_clean else answer}
        if name in ("ddpm", "ddim"):
            scheduler = (DDPMScheduler if name == "ddpm" else DDIMScheduler)(**settings)
        else:
            scheduler = DPMSolverMultistepScheduler(
                **settings,
                algorithm_type="sde-dpmsolver++" if name == "sde-dpm++" else "dpmsolver++",
                # The cosine schedule ends at a log-SNR where the solver is unstable.
                lambda_min_clipped=-5.1,
                # With this maximum, thresholding is plain clipping to [-1, 1].
                thresholding=not of_clean,
                sample_max_value=1.0,
            )
        # The solver hands tensors to numpy 2 in a way that numpy will one day refuse.
        with warnings.catch_warnings(category=DeprecationWarning, action="ignore"):
            scheduler.set_timesteps(steps)
        return scheduler
