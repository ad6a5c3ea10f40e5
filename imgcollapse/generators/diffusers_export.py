"""Hands a trained diffusion model to everybody who uses diffusers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers.models.unets.unet_2d import UNet2DModel
from diffusers.pipelines.ddpm.pipeline_ddpm import DDPMPipeline

from imgcollapse.core.errors import UserError
from imgcollapse.generators.ddpm import DiffusionModel
from imgcollapse.generators.unet import unet

UNFOLDING = '''"""A DDPM whose network sees {patch}x{patch} squares of pixels as channels."""

import torch.nn.functional as F
from diffusers import DDPMPipeline, ImagePipelineOutput


class PatchDDPMPipeline(DDPMPipeline):
    def __call__(self, *args, output_type="pil", return_dict=True, **more):
        folded = super().__call__(*args, output_type="pt", return_dict=False, **more)[0]
        images = F.pixel_shuffle(folded, {patch})[..., :{height}, :{width}]
        if output_type != "pt":
            images = images.cpu().permute(0, 2, 3, 1).numpy()
        if output_type == "pil":
            images = self.numpy_to_pil(images)
        return ImagePipelineOutput(images=images) if return_dict else (images,)
'''
"""The file of a custom pipeline: diffusers' networks have no layer that folds pixels."""


def export_pipeline(model: DiffusionModel, folder: Path, label: int | None = None) -> None:
    """Write a folder that `diffusers.DDPMPipeline.from_pretrained` opens.

    A class, `label`, is baked into the time embedding, so the folder holds an ordinary
    unconditional network; it draws without guidance. None is any class. Images whose sides the
    network pads come out padded. A model that folds patches needs the `pipeline.py` in the folder:
    `DiffusionPipeline.from_pretrained(folder, custom_pipeline=folder, trust_remote_code=True)`.
    Raises `UserError` where
    the model has no such class.
    """
    settings = model.settings
    if label is not None and not settings.conditional:
        raise UserError(
            f"label: {label} was asked of a model that knows no classes; leave label out,"
            " or train with conditional: true"
        )
    if label is not None and not 0 <= label < model.any_class:
        raise UserError(f"label: there is no class {label}; use 0 to {model.any_class - 1}")
    # DDPMPipeline is annotated for one scheduler, and works with all of them.
    scheduler: Any = model.schedule.sampler(settings.sampler, settings.sample_steps, of_clean=False)
    DDPMPipeline(without_classes(model, label), scheduler).save_pretrained(folder)
    if settings.patch != 1:
        _, height, width = model.padding.shape
        code = UNFOLDING.format(patch=settings.patch, height=height, width=width)
        (folder / "pipeline.py").write_text(code, encoding="utf-8")


def without_classes(model: DiffusionModel, label: int | None) -> UNet2DModel:
    """A network that samples one class, or any for None, without a class input."""
    settings, state = model.settings, model.state()
    if settings.conditional:
        condition = model.any_class if label is None else label
        embedding = state.pop("class_embedding.weight")[condition]
        # diffusers adds the class embedding to the time embedding, whose last layer is this one.
        state["time_embedding.linear_2.bias"] = state["time_embedding.linear_2.bias"] + embedding
    inside, levels = model.padding.padded_shape, settings.channels
    with torch.random.fork_rng(devices=[]):
        network = unet(inside, levels, settings.layers, settings.attention, None)
    network.load_state_dict(state)
    return network.eval()
