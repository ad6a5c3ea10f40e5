from __future__ import annotations

import pytest
import torch
from contexts import run_context

from imgcollapse.core.device import Device
from imgcollapse.core.errors import UserError
from imgcollapse.core.images import to_float, unlabeled
from imgcollapse.core.seeds import Seed
from imgcollapse.generators import DDPM, DiffusionModel
from imgcollapse.generators.noise_schedule import NoiseSchedule
from imgcollapse.generators.unet import PadToMultiple

from .conftest import COLOURS, Watcher, noise_images, two_colours

SMALL = DDPM(channels=(16, 16), attention=False, steps=150, batch=32, lr=3e-3, sample_steps=10)
MANY = torch.arange(60, dtype=torch.int16) % 2


def with_settings(model: DiffusionModel, **changes: object) -> DiffusionModel:
    settings = DDPM.model_validate({**model.settings.model_dump(), **changes})
    process = NoiseSchedule(settings.schedule, settings.timesteps, settings.prediction)
    return DiffusionModel(settings, model.network, model.padding, process, model.device)


@pytest.fixture(scope="module")
def learned() -> DiffusionModel:
    return SMALL.fit(two_colours(64), run_context(Seed(("learn",))))


@pytest.fixture(scope="module")
def conditional() -> DiffusionModel:
    settings = SMALL.model_copy(update={"conditional": True})
    return settings.fit(two_colours(64), run_context(Seed(("learn",))))


@pytest.mark.parametrize("sampler", ["ddpm", "ddim", "dpm++", "sde-dpm++"])
def test_every_sampler_draws_what_was_learned(
    sampler: str, learned: DiffusionModel, seed: Seed, reporter: Watcher
) -> None:
    drawn = with_settings(learned, sampler=sampler).sample(
        MANY, run_context(seed, progress=reporter)
    )
    grey = drawn.pixels.float()
    off = (grey - COLOURS[0]).abs().minimum((grey - COLOURS[1]).abs()).mean((1, 2, 3))
    # Nearer to a colour than a quarter of the way to the other one.
    assert (off < (COLOURS[1] - COLOURS[0]) / 4).float().mean() > 0.9
    light = (grey.mean((1, 2, 3)) > 128).float().mean()
    assert abs(light - 0.5) < 0.3


@pytest.mark.parametrize("guidance", [1.0, 2.0])
def test_a_conditional_model_draws_the_class_it_is_asked_for(
    guidance: float, conditional: DiffusionModel, seed: Seed, reporter: Watcher
) -> None:
    drawn = with_settings(conditional, guidance=guidance).sample(
        MANY, run_context(seed, progress=reporter)
    )
    light = drawn.pixels.float().mean((1, 2, 3)) > 128
    assert (light == MANY.bool()).float().mean() > 0.95
    assert drawn.labels.equal(MANY)


def test_an_image_does_not_depend_on_the_batch_it_is_drawn_in(
    learned: DiffusionModel, seed: Seed, reporter: Watcher
) -> None:
    whole = learned.sample(MANY, run_context(seed, progress=reporter)).pixels
    parts = (
        with_settings(learned, sample_batch=7)
        .sample(MANY, run_context(seed, progress=reporter))
        .pixels
    )
    # Matrix products of another size round differently: a grey level at most.
    assert (whole.int() - parts.int()).abs().max() <= 1


@pytest.mark.parametrize("schedule", ["cosine", "linear"])
@pytest.mark.parametrize("prediction", ["epsilon", "v"])
@pytest.mark.parametrize("sampler", ["ddpm", "ddim", "dpm++", "sde-dpm++"])
def test_a_perfect_answer_leads_every_sampler_back_to_the_image(
    sampler: str, prediction: str, schedule: str, seed: Seed
) -> None:
    """With the exact noise or v of a one-image distribution, any sampler ends at that image."""
    settings = DDPM.model_validate(
        {"sampler": sampler, "prediction": prediction, "schedule": schedule}
    )
    process = NoiseSchedule(settings.schedule, settings.timesteps, settings.prediction)
    image = to_float(noise_images(1, (1, 4, 4), seed).pixels)
    x, noise = torch.randn(image.shape, generator=seed.torch()), seed.torch()
    scheduler = process.sampler(settings.sampler, 10, of_clean=True)
    for t in scheduler.timesteps:
        signal, spoil = process.alphas[t].sqrt(), (1 - process.alphas[t]).sqrt()
        answer = process.target(image, (x - signal * image) / spoil, t)
        x = scheduler.step(process.clean(x, answer, t), t, x, generator=noise).prev_sample
    # epsilon at the cosine schedule's last level divides by 5e-5: a rounding bound, no more.
    torch.testing.assert_close(x, image, atol=2e-3, rtol=0)


def test_the_process_is_the_scheduler_s(seed: Seed) -> None:
    process = NoiseSchedule("cosine", 1000, "v")
    scheduler = process.sampler("ddpm", 10, of_clean=False)
    clean, noise = torch.randn(2, 5, 3, 4, 4, generator=seed.torch())
    t = torch.tensor([0, 10, 500, 998, 999])
    noisy = process.noisy(clean, noise, t)
    torch.testing.assert_close(noisy, scheduler.add_noise(clean, noise, t))
    v = process.target(clean, noise, t)
    torch.testing.assert_close(v, scheduler.get_velocity(clean, noise, t))
    torch.testing.assert_close(process.clean(noisy, v, t), clean.clamp(-1, 1))


@pytest.mark.parametrize(
    ("shape", "multiple", "patch", "inside"),
    [
        ((1, 8, 8), 4, 1, (1, 8, 8)),
        ((3, 9, 13), 4, 2, (12, 6, 8)),
        ((1, 28, 28), 8, 1, (1, 32, 32)),
        ((1, 1, 1), 2, 1, (1, 2, 2)),
    ],
)
def test_images_of_any_size_come_back_from_the_canvas(
    shape: tuple[int, int, int],
    multiple: int,
    patch: int,
    inside: tuple[int, int, int],
    seed: Seed,
) -> None:
    canvas, images = (
        PadToMultiple(shape, multiple, patch),
        to_float(noise_images(3, shape, seed).pixels),
    )
    seen = canvas.pad(images)
    assert canvas.padded_shape == inside
    assert seen.shape == (3, *inside)
    assert canvas.crop(seen).equal(images)


def test_training_images_without_a_class_are_refused(
    cpu: Device, seed: Seed, reporter: Watcher
) -> None:
    images = unlabeled(two_colours(4).pixels)
    with pytest.raises(UserError, match="4 of 4 images have no class"):
        DDPM(conditional=True).fit(images, run_context(seed, progress=reporter))


def test_bfloat16_trains_and_draws(seed: Seed, reporter: Watcher) -> None:
    mixed = Device(torch.device("cpu"), torch.bfloat16)
    settings = SMALL.model_copy(update={"steps": 3, "patch": 2})
    model = settings.fit(two_colours(8), run_context(seed / "fit", mixed, progress=reporter))
    assert all(weight.dtype == torch.float32 for weight in model.state().values())
    assert model.sample(MANY, run_context(seed / "sample", progress=reporter)).shape == (1, 8, 8)
