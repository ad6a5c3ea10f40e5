"""The references train the same network, with the same objective and schedule."""

import pytest
import torch
import torch.nn.functional as F
from contexts import run_context
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from torch import nn
from torch.utils.data import DataLoader

from imgcollapse.core.device import Device
from imgcollapse.core.images import to_float
from imgcollapse.core.progress import NullProgress
from imgcollapse.core.seeds import Seed
from imgcollapse.generators import DDPM, VAE
from imgcollapse.generators.noise_schedule import NoiseSchedule
from imgcollapse.generators.unet import unet
from imgcollapse.generators.vae import ConvVAE
from imgcollapse.tools.bench import references
from imgcollapse.tools.bench.harness import count_flops, digits, dogs
from imgcollapse.tools.bench.training import LATENT, negative_elbo

CPU = torch.device("cpu")
FLOAT32 = Device(CPU, torch.float32)
SEED = Seed(("test",))


def shapes(network):
    return {name: tuple(weight.shape) for name, weight in network.named_parameters()}


def test_the_data_sets_hold_the_images():
    for images in (digits(5), dogs(5, 16), dogs(5, 28, gray=True)):
        shown = references.ddpm_dataset(images)
        assert torch.allclose(torch.stack(list(shown)), to_float(images.pixels), atol=1e-6)
        assert torch.allclose(
            torch.stack(list(references.vae_dataset(images))), images.pixels / 255, atol=1e-6
        )


def test_held_out_images_are_others():
    for of in (lambda held: digits(300, held), lambda held: dogs(20, 8, held_out=held)):
        seen = {image.numpy().tobytes() for image in of(False).pixels}
        assert not any(image.numpy().tobytes() in seen for image in of(True).pixels)


def test_diffusers_default_process_is_the_one_this_program_is_set_to():
    theirs, ours = DDPMScheduler(num_train_timesteps=1000), NoiseSchedule("linear", 1000, "epsilon")
    assert torch.allclose(theirs.alphas_cumprod, ours.alphas, rtol=1e-5)
    clean, noise = torch.randn(2, 4, 1, 2, 2, generator=SEED.torch())
    t = torch.tensor([0, 10, 500, 999])
    noisy = theirs.add_noise(clean, noise, t)
    assert torch.allclose(noisy, ours.noisy(clean, noise, t), atol=1e-6)
    assert torch.equal(ours.target(clean, noise, t), noise)


def test_both_train_the_same_diffusion_network():
    images = digits(32)
    part = DDPM(channels=(8,), steps=2, batch=16, schedule="linear", prediction="epsilon")
    ours = part.fit(images, run_context(SEED, FLOAT32, classes=10)).network
    with (SEED / "init").seed_torch():
        theirs = unet(images.shape, part.channels, part.layers, part.attention, None)
    start = {name: weight.detach().clone() for name, weight in theirs.named_parameters()}
    longer = part.model_copy(update={"steps": 5, "lr": 1e-2, "warmup": 0, "ema": 0.999})
    with SEED.seed_torch():
        losses = references.train_ddpm(
            theirs, references.ddpm_dataset(images), longer, CPU, NullProgress()
        )
    assert shapes(ours) == shapes(theirs)
    assert len(losses) == 5  # two epochs and a half: as many steps as were asked for
    moved = [not torch.equal(weight, start[name]) for name, weight in theirs.named_parameters()]
    assert all(moved)
    # The first step's loss is that of the start: an untrained network does not predict noise.
    assert 0.5 < losses[0] < 2
    assert losses[-1] < losses[0]


def test_both_train_the_same_vae():
    images = dogs(16, 28, gray=True)
    ours = VAE(width=4, steps=1, batch=8).fit(images, run_context(SEED, FLOAT32, classes=0)).network
    network = ConvVAE(images.shape, LATENT, 4)
    theirs = references.PlainVAE(network.encoder, network.decoder)
    assert shapes(ours) == shapes(network) == shapes(theirs)
    with SEED.seed_torch():
        losses = references.train_vae(
            theirs, references.vae_dataset(images), 3, VAE(batch=8, lr=1e-2, weight_decay=0), CPU
        )
    assert losses[2] < losses[0]


def test_the_plain_vae_minimizes_the_loss_that_is_compared():
    network = ConvVAE((1, 28, 28), LATENT, 4)
    images = dogs(8, 28, gray=True)
    dataset = references.vae_dataset(images)
    with SEED.seed_torch():
        (loss,) = references.train_vae(
            references.PlainVAE(network.encoder, network.decoder),
            dataset,
            1,
            VAE(batch=8, weight_decay=0).model_copy(update={"lr": 0.0}),
            CPU,
        )
    with SEED.seed_torch():
        order = torch.tensor([int(row) for row in DataLoader(range(8), 1, shuffle=True)])
        noise = torch.randn(8, LATENT)
    pixels = to_float(images.pixels[order])
    expected = negative_elbo(network, pixels, noise).item()
    assert loss == pytest.approx(expected, rel=1e-4)


def test_operations_are_counted_from_shapes():
    layer, x = nn.Linear(3, 5), torch.zeros(7, 3)
    assert count_flops(lambda: layer(x)) == 2 * 7 * 3 * 5
    # Backward: the gradient of the weights alone, for x asks for none.
    assert (
        count_flops(lambda: F.mse_loss(layer(x), torch.zeros(7, 5)).backward()) == 2 * 2 * 7 * 3 * 5
    )
