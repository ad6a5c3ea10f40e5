"""Stopped anywhere and taken up again: the same bits as without a pause."""

import pytest
import torch
from contexts import run_context

from imgcollapse.core import signals
from imgcollapse.core.errors import Stopped
from imgcollapse.core.images import Images
from imgcollapse.generators import DDPM, VAE, Autoregressive
from imgcollapse.io.checkpoints import FIRST_STEP, CheckpointManager, StopAfterFirstStep
from imgcollapse.io.checksums import sha256_of_tensors
from imgcollapse.oracle import CNN

from .told import CPU, ON_A_GPU_TOO, SEED, Told

GENERATORS = {
    "vae": VAE(width=4, latent=3, steps=9, batch=8),
    "ddpm": DDPM(channels=(8,), steps=9, sample_steps=4, sample_batch=2, sampler="ddpm"),
    "dpm++": DDPM(channels=(8,), steps=9, batch=8, sample_steps=4, sample_batch=3),
    "autoregressive": Autoregressive(width=8, layers=1, heads=2, steps=9, batch=8, sample_batch=2),
}
ASKED = torch.tensor([0, 1, 1, 0, 1, 0, 1, 1], dtype=torch.int16)
HOUR = 3600.0


@pytest.fixture
def every_step(monkeypatch):
    """Progress is told of every step, so that a test can act at any of them."""
    monkeypatch.setattr("imgcollapse.training.loop.REPORT_SECONDS", -1)


@pytest.fixture(params=[kind for kind in GENERATORS if kind != "dpm++"])
def generator(request):
    return GENERATORS[request.param]


def images(n=12):
    pixels = torch.randint(0, 256, (n, 1, 8, 8), generator=SEED.torch(), dtype=torch.uint8)
    return Images(pixels, torch.arange(n, dtype=torch.int16) % 2)


def fit(generator, checkpoints=None, told=None, device=CPU):
    return generator.fit(
        images(),
        run_context(SEED / "fit", device, progress=told or Told(), checkpoints=checkpoints),
    )


@ON_A_GPU_TOO
@pytest.mark.usefixtures("every_step")
def test_a_training_stopped_at_any_step_ends_with_the_same_bits(generator, device, tmp_path):
    unbroken = fit(generator, device=device).state()
    for step in (1, 4, 7):
        told = Told(train=step)
        with signals.catch_signals(), pytest.raises(Stopped, match="SIGTERM"):
            fit(generator, CheckpointManager(tmp_path / "work", HOUR), told, device)
        assert told.seen[-1] == ("train", step + 1)  # the step under way is finished, and kept
    told = Told()
    checkpoints = CheckpointManager(tmp_path / "work", HOUR)
    broken = fit(generator, checkpoints, told, device).state()
    assert told.seen[0] == ("train", 9)
    assert sha256_of_tensors(broken) == sha256_of_tensors(unbroken)
    assert checkpoints.metadata.get("replayed") == (None if device is CPU else "yes")


@pytest.mark.parametrize("kind", ["ddpm", "dpm++", "autoregressive"])
def test_sampling_stopped_between_batches_draws_the_same_images(kind, tmp_path):
    model = fit(GENERATORS[kind])
    unbroken = model.sample(ASKED, run_context(SEED / "sample")).pixels
    batch = GENERATORS[kind].sample_batch
    told = Told(sample=batch)
    with signals.catch_signals(), pytest.raises(Stopped):
        model.sample(
            ASKED,
            run_context(
                SEED / "sample",
                progress=told,
                checkpoints=CheckpointManager(tmp_path / "work", HOUR),
            ),
        )
    assert told.seen[-1] == ("sample", batch)
    told = Told()
    broken = model.sample(
        ASKED,
        run_context(
            SEED / "sample", progress=told, checkpoints=CheckpointManager(tmp_path / "work", HOUR)
        ),
    ).pixels
    assert told.seen[0] == ("sample", 2 * batch)
    assert broken.equal(unbroken)


def test_an_oracle_stopped_in_training_ends_with_the_same_bits(tmp_path):
    oracle, real = CNN(width=4, steps=60, batch=8), images(24)

    def trained(told, checkpoints=None):
        return oracle.fit(
            real, real, run_context(SEED, progress=told, checkpoints=checkpoints, shape=real.shape)
        )

    with signals.catch_signals(), pytest.raises(Stopped):
        trained(Told(train=50), CheckpointManager(tmp_path / "work", HOUR))
    broken = trained(Told(), CheckpointManager(tmp_path / "work", HOUR))
    assert broken.sha256() == trained(Told()).sha256()


def test_every_step_can_be_kept_and_the_end_too(generator, tmp_path):
    checkpoints = CheckpointManager(tmp_path / "work", interval=0)
    state = fit(generator, checkpoints).state()
    kept = sorted(path.stem for path in (tmp_path / "work").glob("fit_*.json"))
    assert kept == ["fit_000000008", "fit_000000009"]
    told = Told()  # nothing is left to be trained
    again = fit(generator, CheckpointManager(tmp_path / "work", interval=0), told)
    assert told.seen == []
    assert sha256_of_tensors(again.state()) == sha256_of_tensors(state)


def test_the_first_step_is_known_by_its_weights_and_can_be_taken_again(generator):
    checkpoints = CheckpointManager()
    fit(generator, checkpoints)
    with pytest.raises(StopAfterFirstStep.Taken) as taken:
        fit(generator, StopAfterFirstStep())
    assert str(taken.value) == checkpoints.metadata[FIRST_STEP]
    with pytest.raises(StopAfterFirstStep.Taken) as other:
        generator.fit(images(), run_context(SEED / "other", checkpoints=StopAfterFirstStep()))
    assert str(other.value) != checkpoints.metadata[FIRST_STEP]
