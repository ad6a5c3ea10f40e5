"""The language model: its tokens, its memory, its likelihood and its training against a law."""

from __future__ import annotations

import math
from itertools import product

import pytest
import torch
import torch.nn.functional as F
from contexts import run_context
from scipy.stats import chi2
from torch import Tensor, nn

from imgcollapse.core.device import Device
from imgcollapse.core.errors import UserError
from imgcollapse.core.images import Images, unlabeled
from imgcollapse.core.seeds import Seed
from imgcollapse.generators import Autoregressive, LanguageModel
from imgcollapse.generators.tokens import GrayLevels, PatchTokens, PixelTokens
from imgcollapse.generators.transformer import Transformer, probabilities, sample_token
from imgcollapse.training.batch_rng import BatchRNG

from .conftest import Watcher, noise_images

SMALL = Autoregressive(width=16, layers=2, heads=2, steps=20, batch=8, lr=1e-2, warmup=2)
CPU = Device(torch.device("cpu"), torch.float32)


def fitted(settings: Autoregressive, shape: tuple[int, int, int] = (1, 4, 4)) -> LanguageModel:
    """A network that has seen noise: logits that differ, and none far off."""
    return settings.fit(noise_images(20, shape, Seed(("noise",))), run_context(Seed(("f",))))


def with_settings(model: LanguageModel, **changes: object) -> LanguageModel:
    settings = model.settings.model_copy(update=changes)
    return LanguageModel(settings, model.network, model.tokenizer, model.device)


def labels(n: int) -> Tensor:
    return torch.arange(n, dtype=torch.int16) % 2


# Tokens and pixels


def test_every_level_comes_back_and_every_pixel_goes_to_the_nearest() -> None:
    every_pixel = torch.arange(256).view(1, 1, 16, 16).byte()
    for levels in range(2, 257):
        alphabet, every = GrayLevels(levels, (1, 1, levels)), torch.arange(levels)[None]
        assert alphabet.encode(alphabet.decode(every)).equal(every)
        assert alphabet.decode(every).flatten()[[0, -1]].tolist() == [0, 255]
        nearest = GrayLevels(levels, (1, 16, 16)).encode(every_pixel).flatten()
        off = (torch.arange(256).double() / 255 * (levels - 1) - nearest).abs()
        assert off.max() <= 0.5 + 1e-9  # half a level; float64 rounding of numbers below 256


def test_256_levels_lose_nothing_and_are_read_pixel_by_pixel(seed: Seed) -> None:
    pixels = noise_images(3, (3, 5, 4), seed).pixels
    alphabet = PixelTokens(levels=256).fit(unlabeled(pixels))
    tokens = alphabet.encode(pixels)
    assert alphabet.decode(tokens).equal(pixels)
    assert tokens[1, :6].tolist() == [*pixels[1, :, 0, 0].tolist(), *pixels[1, :, 0, 1].tolist()]


@pytest.mark.parametrize("size", [4, 1000])
def test_words_come_back_as_themselves(size: int, seed: Seed) -> None:
    images = noise_images(6, (3, 8, 12), seed)
    alphabet = PatchTokens(size=size, patch=4).fit(images)
    assert (alphabet.size, alphabet.length) == (min(size, 36), 6)
    tokens = torch.randint(alphabet.size, (9, 6), generator=seed.torch())
    assert alphabet.encode(alphabet.decode(tokens)).equal(tokens)
    if size == 1000:  # a word for every patch
        assert alphabet.decode(alphabet.encode(images.pixels)).equal(images.pixels)


def test_words_are_the_means_of_what_is_nearest_to_them(seed: Seed) -> None:
    """Lloyd's condition, to the rounding of centroids, where patches fall into two heaps."""
    heaps = torch.tensor([20, 200]).view(2, 1, 1, 1).repeat(20, 1, 4, 4)
    pixels = heaps + torch.randint(0, 9, heaps.shape, generator=seed.torch())
    alphabet = PatchTokens(size=2, patch=2).fit(unlabeled(pixels.byte()))
    patches = F.pixel_unshuffle(pixels.double(), 2).permute(0, 2, 3, 1).flatten(0, 2)
    names = alphabet.encode(pixels.byte()).flatten()
    assert names.equal((patches.mean(1) > 100).long())
    for token in (0, 1):
        off = alphabet.decode(torch.full((1, 4), token))[0, 0, :2, :2].flatten()
        # Half a grey level of rounding; 80 patches fell to each word.
        assert (off - patches[names == token].mean(0)).abs().max() <= 0.5 + 1e-9


def test_words_of_images_that_are_no_multiple_of_the_patch_keep_their_size(seed: Seed) -> None:
    pixels = noise_images(4, (1, 5, 7), seed).pixels
    alphabet = PatchTokens(size=99, patch=3).fit(unlabeled(pixels))
    assert alphabet.length == 6
    assert alphabet.decode(alphabet.encode(pixels)).equal(pixels)


def test_all_generations_go_by_the_first_one_s_words(seed: Seed, reporter: Watcher) -> None:
    settings = SMALL.model_copy(
        update={"tokens": PatchTokens(size=8, patch=2), "steps": 1, "lr": 1e-3}
    )
    assert settings.needs_previous
    assert not SMALL.needs_previous
    first, later = (noise_images(9, (1, 4, 4), seed / name) for name in ("first", "later"))
    one = settings.fit(first, run_context(seed / 1, progress=reporter))
    two = settings.fit(later, run_context(seed / 2, progress=reporter), one)
    alone = settings.fit(later, run_context(seed / 2, progress=reporter))
    assert two.state()["alphabet/codebook"].equal(one.state()["alphabet/codebook"])
    assert two.tokenizer.dimensions == one.tokenizer.dimensions != alone.tokenizer.dimensions
    # Handing words down is no warm start: one step of Adam moves a weight by 1e-3 at most.
    moved = two.network.positions.weight - one.network.positions.weight
    assert moved.std() > 0.02  # two independent draws of standard deviation 0.02 differ by 0.028


# Sampling


@pytest.mark.parametrize("conditional", [False, True])
def test_the_cache_says_what_reading_it_all_again_would(conditional: bool) -> None:
    model = fitted(SMALL.model_copy(update={"conditional": conditional}))
    network, asked = model.network, labels(6).long() * conditional
    luck = torch.rand(6, 16, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    tokens, past = torch.zeros(6, 16, dtype=torch.int64), network.begin()
    for t in range(16):
        again = network(asked, tokens)[:, t]  # what stands at t and later is not read
        said = network.read(past, tokens[:, t - 1] if t else asked)
        # A few products of 16 float32 numbers of size 1, summed in another order.
        torch.testing.assert_close(said, again, atol=2e-5, rtol=0)
        rising, at = probabilities(again).cumsum(1), luck[:, t, None]
        # No draw is so near to a boundary that rounding could decide it.
        assert (rising - at).abs().min() > 1e-5
        tokens[:, t] = sample_token(probabilities(again), luck[:, t])
    with torch.inference_mode():
        assert model._write(labels(6).long(), luck).equal(tokens)


def test_an_image_does_not_depend_on_the_batch_it_is_drawn_in(
    seed: Seed, reporter: Watcher
) -> None:
    model = fitted(SMALL)
    whole = model.sample(labels(60), run_context(seed, progress=reporter)).pixels
    assert (
        with_settings(model, sample_batch=7)
        .sample(labels(60), run_context(seed, progress=reporter))
        .pixels.equal(whole)
    )
    # 16 tokens of nearly 2 bits each: two images that are alike would be copies.
    assert len(whole.flatten(1).unique(dim=0)) == 60


@pytest.mark.parametrize(
    "greedy", [{"top_k": 1}, {"temperature": 0.0}, {"temperature": 1e-6}, {"top_p": 1e-9}], ids=str
)
def test_the_likeliest_token_alone(greedy: dict[str, float], seed: Seed, reporter: Watcher) -> None:
    model = fitted(SMALL)
    drawn = (
        with_settings(model, **greedy)
        .sample(labels(3), run_context(seed, progress=reporter))
        .pixels
    )
    assert (drawn == drawn[0]).all()
    tokens = model.tokenizer.encode(drawn)
    with torch.inference_mode():
        logits = model.network(torch.zeros(3, dtype=torch.int64), tokens)
    assert logits.argmax(2).equal(tokens)


def test_ties_go_to_the_lower_number() -> None:
    logits = torch.tensor([[0.0, 2.0, 2.0, 1.0, 2.0]])
    one = [[0.0, 1.0, 0.0, 0.0, 0.0]]
    assert probabilities(logits, top_k=1).tolist() == one
    assert probabilities(logits, temperature=0).tolist() == one
    assert probabilities(logits, top_p=0.1).tolist() == one
    assert probabilities(logits, top_k=2).tolist() == [[0.0, 0.5, 0.5, 0.0, 0.0]]


def test_top_p_keeps_the_smallest_set_that_reaches_it() -> None:
    shares = torch.tensor([[0.125, 0.5, 0.25, 0.125]], dtype=torch.float64)
    for top_p, kept in [(0.5, [1]), (0.51, [1, 2]), (0.75, [1, 2]), (0.76, [0, 1, 2])]:
        expected = torch.zeros_like(shares)
        expected[:, kept] = shares[:, kept] / shares[:, kept].sum()
        torch.testing.assert_close(probabilities(shares.log(), top_p=top_p), expected)
    # top_k goes first: of 2/3 and 1/3 the first alone has 0.6.
    assert probabilities(shares.log(), top_k=2, top_p=0.6).tolist() == [[0.0, 1.0, 0.0, 0.0]]
    warm = probabilities(shares.log(), temperature=2)
    torch.testing.assert_close(warm, shares.sqrt() / shares.sqrt().sum())


def test_a_token_without_a_share_is_never_drawn() -> None:
    shares = torch.tensor([[0.0, 0.5, 0.0, 0.5, 0.0]], dtype=torch.float64)
    luck = torch.tensor([0.0, 0.25, 0.5, 1 - 2**-53], dtype=torch.float64)
    assert sample_token(shares.expand(4, -1), luck).tolist() == [1, 1, 3, 3]


# Likelihood


def every_image(levels: int, pixels: int) -> Tensor:
    """int64[levels^pixels, pixels] tokens of all images there are."""
    return torch.tensor(list(product(range(levels), repeat=pixels)))


@pytest.mark.parametrize("conditional", [False, True])
@pytest.mark.parametrize("levels", [2, 3])
def test_the_probabilities_of_all_images_sum_to_one(conditional: bool, levels: int) -> None:
    settings = {"tokens": PixelTokens(levels=levels), "conditional": conditional}
    model = fitted(SMALL.model_copy(update=settings), (1, 2, 2))
    pixels = model.tokenizer.decode(every_image(levels, 4))
    sums = []
    for label in (0, 1):
        asked = torch.full((len(pixels),), label, dtype=torch.int16)
        bits = model.bits_per_dim(Images(pixels, asked))
        assert bits.dtype == torch.float64
        sums.append((2 ** (-4 * bits)).sum().item())
    assert sums == pytest.approx([1, 1], abs=1e-6)


def test_bits_of_a_network_that_says_nothing_are_known(seed: Seed, reporter: Watcher) -> None:
    for tokens, bits in [(PixelTokens(levels=16), 4.0), (PatchTokens(size=8, patch=2), 3 / 12)]:
        settings = SMALL.model_copy(update={"tokens": tokens})
        model = fitted(settings, (3, 4, 4))
        model.network.tokens.weight.data.zero_()
        found = model.bits_per_dim(noise_images(5, (3, 4, 4), seed))
        torch.testing.assert_close(found, torch.full((5,), bits, dtype=torch.float64))


def test_samples_come_as_often_as_their_likelihood_says(seed: Seed, reporter: Watcher) -> None:
    n = 20000
    model = fitted(SMALL.model_copy(update={"tokens": PixelTokens(levels=2)}), (1, 2, 2))
    model = with_settings(model, sample_batch=n)
    pixels = model.tokenizer.decode(every_image(2, 4))
    expected = n * 2 ** (-4 * model.bits_per_dim(unlabeled(pixels)))
    assert expected.min() > 5  # where chi-square holds
    assert expected.max() > 2 * expected.min()  # not every image alike
    drawn = model.tokenizer.encode(
        model.sample(labels(n), run_context(seed, progress=reporter)).pixels
    )
    counts = torch.bincount(drawn @ torch.tensor([8, 4, 2, 1]), minlength=16)
    misfit = ((counts - expected) ** 2 / expected).sum()
    assert misfit < chi2.ppf(1 - 1e-4, 15)


def test_images_without_a_class_are_refused(seed: Seed, reporter: Watcher) -> None:
    settings = SMALL.model_copy(update={"conditional": True})
    nameless = unlabeled(noise_images(4, (1, 4, 4), seed).pixels)
    with pytest.raises(UserError, match="4 of 4 images have no class"):
        settings.fit(nameless, run_context(seed, progress=reporter))
    with pytest.raises(UserError, match="4 of 4 images have no class"):
        fitted(settings).bits_per_dim(nameless)


# Training


class Plain(nn.Module):
    """torch's own encoder layers with a causal mask, as a second opinion."""

    def __init__(self, network: Transformer, width: int, heads: int) -> None:
        super().__init__()
        self.starts, self.tokens = network.starts.weight, network.tokens.weight
        self.positions = network.positions.weight
        self.layers = nn.ModuleList()
        for block in network.blocks:
            layer = nn.TransformerEncoderLayer(
                width, heads, 4 * width, 0.0, "gelu", batch_first=True, norm_first=True
            )
            layer.self_attn.in_proj_weight = block.asked.weight
            layer.self_attn.in_proj_bias = block.asked.bias
            layer.self_attn.out_proj = block.answered
            layer.linear1, layer.linear2 = block.mlp[0], block.mlp[2]
            layer.norm1, layer.norm2 = block.attention_norm, block.mlp_norm
            self.layers.append(layer)
        self.norm = network.norm

    def forward(self, labels: Tensor, tokens: Tensor) -> Tensor:
        x = torch.cat([self.starts[labels][:, None], self.tokens[tokens[:, :-1]]], 1)
        x = x + self.positions
        mask = nn.Transformer.generate_square_subsequent_mask(x.shape[1])
        for layer in self.layers:
            x = layer(x, src_mask=mask, is_causal=True)
        return self.norm(x) @ self.tokens.T


def test_trains_as_a_plain_loop_does(seed: Seed) -> None:
    """Every loss and every weight of ten steps, against torch's own layers and plain Adam."""
    settings = SMALL.model_copy(update={"conditional": True, "steps": 10, "ema": 0.0})
    images = noise_images(12, (1, 4, 4), seed)
    losses: list[float] = []
    model = settings.fit(images, run_context(seed / "fit"))

    with (seed / "fit" / "init").seed_torch():
        network = Transformer(4, 16, 2, width=16, layers=2, heads=2)
    with seed.seed_torch():
        plain = Plain(network, 16, 2)
    tokens = (images.pixels.double() / 85).round().long().flatten(1)
    optimizer = torch.optim.Adam(network.parameters())
    for step in range(10):
        draw = (seed / "fit" / "step" / step).torch()
        rows = torch.randint(12, (8,), generator=draw)
        draws = BatchRNG(seed / "fit" / "step" / step, 8)
        logits = plain(images.labels[rows].long(), tokens[rows])
        chosen = logits.log_softmax(2).gather(2, tokens[rows][..., None])
        loss = -chosen.mean()
        own = model.settings.restore(
            LanguageModel(settings, network, model.tokenizer, CPU).state(),
            run_context(seed, shape=images.shape),
        )
        torch.testing.assert_close(own.loss(tokens[rows], images.labels[rows].long(), draws), loss)
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        rise = min(1, (step + 1) / 3)
        fall = (1 + math.cos(math.pi * max(0, step - 2) / 8)) / 2
        optimizer.param_groups[0]["lr"] = 1e-2 * rise * fall
        optimizer.step()
    assert losses[-1] < losses[0]
    for name, weight in network.state_dict().items():
        # Adam divides by the root of a squared gradient, which blows up the rounding of small ones.
        torch.testing.assert_close(
            model.state()[f"network/{name}"], weight, atol=1e-4, rtol=1e-3, msg=name
        )


def test_learns_a_grammar_to_its_entropy(seed: Seed, reporter: Watcher) -> None:
    """The first pixel is fair, the rest are copies of it: 1 bit in 4 pixels, 1/4 bit each."""
    coins = torch.randint(0, 2, (64, 1, 1, 1), generator=seed.torch()) * 255
    images = unlabeled(coins.expand(-1, 1, 2, 2).byte().contiguous())
    settings = SMALL.model_copy(update={"tokens": PixelTokens(levels=2), "steps": 150, "batch": 32})
    model = settings.fit(images, run_context(seed, progress=reporter))
    assert 0.24 < model.bits_per_dim(images).mean() < 0.27
    drawn = model.sample(
        labels(200), run_context(seed / "sample", progress=reporter)
    ).pixels.flatten(1)
    assert (drawn == drawn[:, :1]).all(dim=1).float().mean() > 0.95
    assert drawn.unique().tolist() == [0, 255]


@pytest.mark.parametrize(
    "tokens", [PixelTokens(levels=5), PatchTokens(size=9, patch=2)], ids=["p", "w"]
)
def test_bfloat16_trains_draws_and_judges(tokens: object, seed: Seed, reporter: Watcher) -> None:
    mixed = Device(torch.device("cpu"), torch.bfloat16)
    settings = SMALL.model_copy(update={"tokens": tokens, "steps": 3})
    images = noise_images(8, (3, 5, 4), seed)
    model = settings.fit(images, run_context(seed / "fit", mixed, progress=reporter))
    weights = {k: w for k, w in model.state().items() if k.startswith("network/")}
    assert all(weight.dtype == torch.float32 for weight in weights.values())
    assert model.sample(labels(5), run_context(seed / "sample", progress=reporter)).shape == (
        3,
        5,
        4,
    )
    assert model.bits_per_dim(images).isfinite().all()
