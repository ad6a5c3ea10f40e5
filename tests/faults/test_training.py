"""Numbers that end, memory that runs out: gone back, halved, told, or given up in one line."""

import json

import pytest
import torch
from contexts import run_context
from torch import nn

from imgcollapse.core.errors import Diverged, UserError
from imgcollapse.core.images import Images
from imgcollapse.generators import DDPM, VAE, Autoregressive
from imgcollapse.generators.sampling import require_finite
from imgcollapse.io.checkpoints import CheckpointManager
from imgcollapse.training import loop
from imgcollapse.training.batch_rng import BatchRNG
from imgcollapse.training.loop import train
from imgcollapse.training.training_config import TrainingConfig

from .told import CPU, ON_A_GPU_TOO, SEED


class Line(nn.Module):
    """Two weights that look for the mean pixel."""

    def __init__(self):
        super().__init__()
        self.at = nn.Parameter(torch.tensor([0.0, 0.5]))


def pictures(n=16):
    pixels = torch.randint(0, 256, (n, 1, 2, 2), generator=SEED.torch(), dtype=torch.uint8)
    return Images(pixels, torch.zeros(n, dtype=torch.int16))


def learn(poison=None, checkpoints=None, steps=10, batch=8, seed=SEED, ema=0.0):
    """Train a line; `poison(call, loss)` may spoil the loss of any call.

    Returns:
        the weights, and the pixels that every call has seen.
    """
    network, seen = Line(), []

    def loss(pixels, labels, draws):
        seen.append(pixels)
        found = (network.at.sum() - pixels.mean() - draws.normal(1).mean()) ** 2
        return poison(len(seen), found) if poison else found

    plan = TrainingConfig(steps, batch, lr=0.1, ema=ema)
    train(network, pictures(), loss, plan, run_context(seed, checkpoints=checkpoints))
    return network.at.detach(), seen


def test_losses_are_of_the_steps_that_led_to_the_end(tmp_path):
    """Of a training that went back to its fourth step, and of one that was taken up after it."""
    checkpoints = CheckpointManager(tmp_path / "work", interval=0)
    plan, network, calls = TrainingConfig(10, 8, lr=0.1), Line(), []

    def loss(pixels, _labels, _draws):
        calls.append(len(calls))
        found = (network.at.sum() - pixels.mean()) ** 2
        return found * float("nan") if len(calls) == 5 else found

    losses = train(network, pictures(), loss, plan, run_context(SEED, checkpoints=checkpoints))
    assert len(losses) == 10
    assert all(loss == loss for loss in losses)
    again = train(Line(), pictures(), loss, plan, run_context(SEED, checkpoints=checkpoints))
    assert again == []


def test_what_was_known_of_a_training_is_known_before_a_step_is_recorded(tmp_path, monkeypatch):
    """A batch that did not fit is taken in parts again, and not recorded whole."""
    first = CheckpointManager(tmp_path / "work", interval=0)
    first.add_metadata("micro_batch", 2)
    learn(checkpoints=first, steps=10)
    known = []
    monkeypatch.setattr(
        loop, "record_step", lambda *of: known.append(dict(of[-1].checkpoints.metadata))
    )
    learn(checkpoints=CheckpointManager(tmp_path / "work", interval=0), steps=10)
    assert known[0]["micro_batch"] == 2


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("step", [1, 6, 10])
def test_a_loss_without_number_goes_back_once_and_on_with_other_batches(tmp_path, bad, step):
    lines = []
    checkpoints = CheckpointManager(tmp_path / "work", interval=0, log=lines.append)
    weights, seen = learn(lambda call, loss: loss * bad if call == step else loss, checkpoints)
    assert weights.isfinite().all()
    why = f"the loss is {bad} in step {step} of 10"
    assert checkpoints.metadata["retried"] == {"from_step": step - 1, "why": why}
    assert lines == [f"{why}: going on from step {step - 1} with other batches"]
    assert len(seen) == 11
    _, undisturbed = learn()
    for own, other in zip(seen[:step], undisturbed, strict=False):
        assert own.equal(other)
    for own, other in zip(seen[step:], undisturbed[step - 1 :], strict=True):
        assert not own.equal(other)


def drawn(seed, device):
    """The mean of the normal draws of each step, and of each after a retry."""
    means = []
    for name in (seed / "step", seed / "retry" / "step"):
        for i in range(10):
            draws = BatchRNG(name / i, 8, device.torch)
            draws.integers(16)
            means.append(draws.normal(1).mean().item())
    return means[:10], means[10:]


@ON_A_GPU_TOO
def test_a_batch_without_number_is_gone_back_from_however_its_step_is_taken(device, tmp_path):
    """What spoils it is in its draws, and so in a step that a GPU replays."""
    for seed in (SEED / i for i in range(100)):
        first, again = drawn(seed, device)
        worst = max(first)
        step = first.index(worst)
        if 0 < step < 9 and max(again[step:]) < worst:
            break
    network = Line()

    def loss(pixels, labels, draws):
        found = draws.normal(1).mean()
        distance = (network.at.sum() - pixels.mean() - found) ** 2
        return torch.where(found > worst - 1e-6, float("nan"), distance)

    checkpoints = CheckpointManager(tmp_path / "work", interval=0)
    plan = TrainingConfig(10, 8, lr=0.1)
    losses = train(
        network, pictures(), loss, plan, run_context(seed, device, checkpoints=checkpoints)
    )
    why = f"the loss is nan in step {step + 1} of 10"
    assert checkpoints.metadata["retried"] == {"from_step": step, "why": why}
    assert checkpoints.metadata.get("replayed") == (None if device is CPU else "yes")
    assert network.at.isfinite().all()
    assert len(losses) == 10


@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_without_a_checkpoint_it_goes_back_to_the_start(monkeypatch, ema):
    monkeypatch.setattr("imgcollapse.training.loop.REPORT_SECONDS", 3600)
    checkpoints = CheckpointManager()
    weights, seen = learn(lambda call, loss: loss / 0 if call == 4 else loss, checkpoints, ema=ema)
    assert checkpoints.metadata["retried"]["from_step"] == 0
    assert len(seen) == 10 + 10  # looked at once, at the end: a look waits for the device
    undisturbed, other = learn(seed=SEED / "retry", ema=ema)
    assert weights.equal(undisturbed)
    assert torch.stack(seen[10:]).equal(torch.stack(other))


def test_a_second_time_ends_it_and_no_bad_checkpoint_is_kept(tmp_path):
    checkpoints = CheckpointManager(tmp_path / "work", interval=0)
    with pytest.raises(Diverged) as ended:
        learn(lambda call, loss: loss / 0 if call in (5, 8) else loss, checkpoints)
    assert str(ended.value).splitlines() == [
        "generator.lr: the loss is inf in step 5 of 10; with other batches from step 4 on the loss "
        "is inf in step 7 of 10; lower lr (0.1), or use precision float32"
    ]
    latest = CheckpointManager(tmp_path / "work").load_latest("fit")
    assert latest.step == 6
    assert all(tensor.isfinite().all() for tensor in latest.tensors.values())


def test_a_weight_without_number_is_found_where_every_loss_has_one():
    """The square root's slope at 0 is infinite, and infinity times 0 no number."""

    def poison(call, loss):
        return loss + (0 * loss).sqrt() if call == 10 else loss

    checkpoints = CheckpointManager()
    learn(poison, checkpoints)
    assert checkpoints.metadata["retried"]["why"] == ("a weight is not finite after step 10 of 10")


def test_a_retry_goes_on_as_one_after_an_interruption(tmp_path):
    """The seed of the retry is not forgotten."""
    facts = {}
    for length in (7, 10):
        checkpoints = CheckpointManager(tmp_path / "work", interval=0)
        poison = (lambda call, loss: loss / 0 if call == 3 else loss) if length == 7 else None
        weights, _ = learn(poison, checkpoints, steps=length)
        facts[length] = checkpoints.metadata["retried"]
    assert facts[7] == facts[10]
    unbroken, _ = learn(
        lambda call, loss: loss / 0 if call == 3 else loss,
        CheckpointManager(tmp_path / "other", interval=0),
    )
    assert weights.equal(unbroken)


SMALL = {
    "vae": VAE(width=4, latent=3, steps=5, batch=8),
    "ddpm": DDPM(channels=(8,), steps=5, batch=8, conditional=True),
    "autoregressive": Autoregressive(width=8, layers=1, heads=2, steps=5, batch=8),
}


@ON_A_GPU_TOO
@pytest.mark.parametrize(
    ("kind", "most"), [("vae", 1), ("vae", 3), ("vae", 7), ("ddpm", 3), ("autoregressive", 3)]
)
def test_out_of_memory_halves_what_is_shown_at_once_and_trains_the_same(
    kind, most, device, monkeypatch, tmp_path
):
    generator = SMALL[kind]
    images = Images(
        torch.randint(0, 256, (12, 1, 8, 8), generator=SEED.torch(), dtype=torch.uint8),
        torch.arange(12, dtype=torch.int16) % 2,
    )
    undisturbed = generator.fit(images, run_context(SEED, device)).state()
    limit_memory(monkeypatch, most)
    lines = []
    checkpoints = CheckpointManager(tmp_path / "work", interval=0, log=lines.append)
    state = generator.fit(images, run_context(SEED, device, checkpoints=checkpoints)).state()
    size = max(s for s in (1, 2, 4) if s <= most)
    assert checkpoints.metadata["micro_batch"] == size
    assert lines[-1].startswith(f"out of memory: going on with {size} images at a time")
    off = torch.cat([(state[k] - weight).abs().flatten() for k, weight in undisturbed.items()])
    # Sums in another order. Adam divides a gradient by its own size, so where it is all rounding a
    # weight may go another way in each of the 5 steps, by lr at most.
    assert off.median() < (1e-6 if device is CPU else 1e-4)  # a GPU rounds products to TF32
    assert off.max() <= 2 * 5 * generator.lr
    # The next training that goes on from here does not run into it again.
    again = CheckpointManager(tmp_path / "work", interval=0)
    assert again.load_latest("fit").step == 5
    assert again.metadata["micro_batch"] == size


def limit_memory(monkeypatch, most):
    """There is memory for `most` images at a time in every loss."""
    from imgcollapse.training import loop

    before = loop.to_float

    def limited(pixels):
        if len(pixels) > most:
            raise torch.OutOfMemoryError("planted")
        return before(pixels)

    monkeypatch.setattr(loop, "to_float", limited)
    from imgcollapse.generators.autoregressive import LanguageModel

    loss = LanguageModel.loss

    def limited_loss(self, tokens, labels, draws):
        if len(tokens) > most:
            raise torch.OutOfMemoryError("planted")
        return loss(self, tokens, labels, draws)

    monkeypatch.setattr(LanguageModel, "loss", limited_loss)


def test_no_memory_for_one_image_is_one_line(monkeypatch):
    limit_memory(monkeypatch, 0)
    with pytest.raises(UserError, match="not memory enough for one image") as given_up:
        learn()
    assert "\n" not in str(given_up.value)


@pytest.mark.parametrize("kind", ["ddpm", "autoregressive"])
def test_out_of_memory_in_sampling_draws_fewer_at_a_time(kind, monkeypatch):
    from imgcollapse.generators import DiffusionModel, LanguageModel

    images = Images(
        torch.randint(0, 256, (12, 1, 8, 8), generator=SEED.torch(), dtype=torch.uint8),
        torch.arange(12, dtype=torch.int16) % 2,
    )
    generator = {
        "ddpm": DDPM(channels=(8,), steps=3, batch=8, sample_steps=4, sample_batch=8),
        "autoregressive": Autoregressive(width=8, layers=1, heads=2, steps=3, sample_batch=8),
    }[kind]
    model = generator.fit(images, run_context(SEED))
    asked = torch.zeros(11, dtype=torch.int16)
    undisturbed = model.sample(asked, run_context(SEED / "sample")).pixels
    owner, name = {"ddpm": (DiffusionModel, "_draw"), "autoregressive": (LanguageModel, "_write")}[
        kind
    ]
    method = getattr(owner, name)

    def limited(self, *arguments):
        if len(arguments[0]) > 3:
            raise torch.OutOfMemoryError("planted")
        return method(self, *arguments)

    monkeypatch.setattr(owner, name, limited)
    lines = []
    checkpoints = CheckpointManager(log=lines.append)
    pixels = model.sample(asked, run_context(SEED / "sample", checkpoints=checkpoints)).pixels
    assert checkpoints.metadata["sample_batch"] == 2
    assert [line.split(" images")[0] for line in lines] == [
        "out of memory: drawing 4",
        "out of memory: drawing 2",
    ]
    if kind == "ddpm":  # matrix products of another size round differently: a grey level at most
        assert (pixels.int() - undisturbed.int()).abs().max() <= 1
    else:  # a token changes where two shares are equal to the last bit, which no seed here meets
        assert pixels.equal(undisturbed)


def test_samples_that_are_no_numbers_are_not_made_into_pixels(monkeypatch):
    with pytest.raises(Diverged, match="samples: some are not numbers"):
        require_finite(torch.tensor([0.0, float("nan")]))
    images = Images(torch.zeros(4, 1, 8, 8, dtype=torch.uint8), torch.zeros(4, dtype=torch.int16))
    for generator in (
        VAE(width=4, latent=3, steps=1),
        DDPM(channels=(8,), steps=1, sample_steps=2),
        Autoregressive(width=8, layers=1, heads=2, steps=1),
    ):
        model = generator.fit(images, run_context(SEED))
        for weight in model.network.parameters():
            weight.data.fill_(float("nan"))
        with pytest.raises(Diverged, match="samples: some are not numbers"):
            model.sample(images.labels, run_context(SEED))


def test_facts_lie_beside_every_checkpoint(tmp_path):
    learn(
        lambda call, loss: loss / 0 if call == 3 else loss,
        CheckpointManager(tmp_path / "work", interval=0),
    )
    manifest = json.loads((tmp_path / "work/fit_000000010.json").read_text())
    assert set(manifest["facts"]) == {"first_step", "retried"}
