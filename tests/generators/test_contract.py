"""What every generator owes the rest of the house."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from contexts import run_context
from pydantic import TypeAdapter, ValidationError
from safetensors.torch import load_file, save_file

from imgcollapse.core.device import Device
from imgcollapse.core.errors import UserError
from imgcollapse.core.images import UNKNOWN, Images
from imgcollapse.core.seeds import Seed
from imgcollapse.generators import (
    DDPM,
    VAE,
    AnyGenerator,
    Autoregressive,
    Gaussian,
    Mixture,
    Resample,
)
from imgcollapse.generators.base import Generator
from imgcollapse.generators.tokens import PatchTokens

from .conftest import Watcher, noise_images

SMALL = {
    "vae": VAE(width=4, latent=3, steps=3, batch=8),
    "vae-sample": VAE(width=4, latent=3, steps=3, batch=8, decode="sample"),
    "ddpm": DDPM(channels=(8, 16), steps=3, batch=8, sample_steps=4, sample_batch=5),
    "ddpm-ancestral": DDPM(channels=(8,), steps=2, batch=8, sampler="ddpm", sample_steps=4),
    "ddpm-conditional": DDPM(
        channels=(8, 8), steps=2, batch=8, sample_steps=4, conditional=True, guidance=2, patch=2
    ),
    "pixels": Autoregressive(width=8, layers=1, heads=2, steps=3, batch=8, sample_batch=5),
    "words": Autoregressive.model_validate(
        {"tokens": {"kind": "words", "size": 9}, "conditional": True, "width": 8, "steps": 3}
    ),
    "gaussian": Gaussian(),
    "mixture": Mixture(components=2, pca=4),
    "resample": Resample(),
}
ASKED = torch.tensor([0, 1, 1, 0, 1, 0, 1], dtype=torch.int16)


@pytest.fixture(params=SMALL, ids=str)
def generator(request: pytest.FixtureRequest) -> Generator:
    return SMALL[request.param]


@pytest.fixture(params=[(1, 8, 8), (3, 9, 13)], ids=str)
def images(request: pytest.FixtureRequest, seed: Seed) -> Images:
    return noise_images(12, request.param, seed)


def test_draws_one_image_for_each_label_asked(
    generator: Generator, images: Images, cpu: Device, seed: Seed, reporter: Watcher
) -> None:
    model = generator.fit(images, run_context(seed / "fit", progress=reporter))
    samples = model.sample(ASKED, run_context(seed / "sample", progress=reporter))
    assert samples.shape == images.shape
    assert len(samples) == len(ASKED)
    if generator.conditional:
        assert samples.labels.equal(ASKED)
    elif not isinstance(generator, Resample):
        assert (samples.labels == UNKNOWN).all()
    stage, step, steps, drawn, _ = reporter.seen[-1]
    assert (stage, drawn) == ("sample", 7)
    assert step == steps


def test_same_seed_same_bits_and_no_other_randomness(
    generator: Generator, images: Images, cpu: Device, seed: Seed, reporter: Watcher
) -> None:
    def drawn(name: str) -> torch.Tensor:
        model = generator.fit(images, run_context(seed / "fit", progress=reporter))
        return model.sample(ASKED, run_context(seed / name, progress=reporter)).pixels

    torch_before, numpy_before = torch.get_rng_state(), np.random.get_state()  # noqa: NPY002
    first = drawn("sample")
    assert torch.get_rng_state().equal(torch_before)
    assert np.array_equal(np.random.get_state()[1], numpy_before[1])  # noqa: NPY002
    torch.manual_seed(7)
    assert drawn("sample").equal(first)
    assert not drawn("other").equal(first)


def test_a_saved_model_draws_the_same_images(
    generator: Generator, images: Images, cpu: Device, seed: Seed, reporter: Watcher, tmp_path: Path
) -> None:
    model = generator.fit(images, run_context(seed / "fit", progress=reporter))
    save_file(model.state(), tmp_path / "model.safetensors")
    before = torch.get_rng_state()
    restored = generator.restore(
        load_file(tmp_path / "model.safetensors"), run_context(seed, shape=images.shape)
    )
    assert torch.get_rng_state().equal(before)
    expected = model.sample(ASKED, run_context(seed / "sample", progress=reporter))
    assert expected.pixels.is_contiguous(), "oracles round otherwise where channels come last"
    assert restored.sample(ASKED, run_context(seed / "sample", progress=reporter)).pixels.equal(
        expected.pixels
    )


def test_an_empty_training_set_is_refused_in_one_line(
    generator: Generator, images: Images, cpu: Device, seed: Seed, reporter: Watcher
) -> None:
    with pytest.raises(UserError, match="training set") as refused:
        generator.fit(images[:0], run_context(seed, progress=reporter))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("kind", ["vae", "ddpm", "pixels", "words"])
def test_a_warm_start_continues_from_the_previous_weights(
    kind: str, images: Images, cpu: Device, seed: Seed, reporter: Watcher
) -> None:
    cold = SMALL[kind]
    previous = cold.fit(images, run_context(seed / "first", progress=reporter))
    frozen = cold.model_copy(update={"warm_start": True, "lr": 1e-12, "steps": 1})
    state = frozen.fit(images, run_context(seed / "second", progress=reporter), previous).state()
    for name, weight in previous.state().items():
        torch.testing.assert_close(state[name], weight)


@pytest.mark.parametrize("kind", ["vae", "ddpm", "pixels", "words"])
def test_weights_of_another_shape_are_refused(
    kind: str, images: Images, cpu: Device, seed: Seed, reporter: Watcher
) -> None:
    state = SMALL[kind].fit(images, run_context(seed, progress=reporter)).state()
    other = {
        "vae": VAE(width=8),
        "ddpm": DDPM(channels=(8,)),
        "pixels": Autoregressive(),
        "words": SMALL["words"].model_copy(update={"tokens": PatchTokens(patch=2)}),
    }[kind]
    with pytest.raises(UserError, match="do not fit"):
        other.restore(state, run_context(seed, shape=images.shape))


def test_a_study_names_a_generator_by_kind() -> None:
    read = TypeAdapter(AnyGenerator).validate_python
    assert read("vae") == VAE()
    assert read("autoregressive") == read({"kind": "autoregressive", "tokens": "pixels"})
    assert read({"kind": "ddpm", "channels": [8, 16]}) == DDPM(channels=(8, 16))


@pytest.mark.parametrize(
    "settings",
    [
        {"kind": "vae", "conditional": True},
        {"kind": "gaussian", "warm_start": True},
        {"kind": "ddpm", "channels": [12]},
        {"kind": "ddpm", "channels": []},
        {"kind": "ddpm", "guidance": 2},
        {"kind": "ddpm", "conditional": True, "guidance": 2, "label_dropout": 0},
        {"kind": "ddpm", "sample_steps": 2000},
        {"kind": "ddpm", "sampler": "ddim", "sample_steps": 30},
        {"kind": "ddpm", "latent": 3},
        {"kind": "autoregressive", "width": 30, "heads": 4},
        {"kind": "autoregressive", "warm_steps": 5},
        {"kind": "autoregressive", "top_p": 0},
        {"kind": "autoregressive", "tokens": {"kind": "pixels", "levels": 1}},
        {"kind": "autoregressive", "tokens": {"kind": "pixels", "size": 9}},
    ],
    ids=str,
)
def test_settings_that_cannot_work_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=str(settings["kind"])):
        TypeAdapter(AnyGenerator).validate_python(settings)
