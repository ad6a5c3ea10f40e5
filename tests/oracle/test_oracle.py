import pytest
import torch
from contexts import run_context
from torchvision import models

from imgcollapse.core.errors import UserError
from imgcollapse.core.images import UNKNOWN, Images
from imgcollapse.core.seeds import Seed
from imgcollapse.data import Digits, PaperDogs
from imgcollapse.oracle import CNN, Backbone
from imgcollapse.oracle.frozen import calibrate

SEED = Seed((0,))


def stripes(seed, n, size=12):
    """Two classes, horizontal and vertical stripes, in noise."""
    draw = Seed(("stripes", seed)).torch()
    labels = (torch.arange(n) % 2).short()
    wave = 127 + 60 * torch.sin(torch.arange(size) * 1.5 + torch.rand(n, 1, generator=draw) * 6)
    across = wave[:, None, :].expand(n, size, size)
    clean = across.where((labels == 0)[:, None, None], across.transpose(1, 2))
    noisy = clean + 20 * torch.randn(n, size, size, generator=draw)
    return Images(noisy.clamp(0, 255).byte()[:, None], labels)


@pytest.fixture(scope="module")
def oracle():
    fit = CNN(steps=60, width=8).fit
    return fit(stripes(0, 200), stripes(1, 100), run_context(SEED, shape=(1, 12, 12)))


def test_it_learns_what_can_be_told_apart_and_records_how_well(oracle):
    assert oracle.accuracy > 0.95
    assert oracle.confusion.sum() == 100
    assert oracle.confusion.sum(1).tolist() == [50, 50]
    assert oracle.confusion.trace() / 100 == pytest.approx(oracle.accuracy)


def test_it_turns_away_about_as_many_real_images_as_it_was_told_to(oracle):
    again = CNN(steps=60, width=8).build(run_context(SEED, shape=(1, 12, 12))).load(oracle.state())
    again.calibrate(stripes(0, 200), stripes(6, 400), 0.2)
    assert (again.held_out.counted == UNKNOWN).double().mean() == pytest.approx(0.2, abs=0.01)
    turned_away = (again.predict(stripes(7, 400).pixels).counted == UNKNOWN).double().mean()
    # A 20% point of 400 images, tried on 400 others: two binomial errors of sqrt(.2 x .8 / 400).
    assert turned_away == pytest.approx(0.2, abs=4 * (2 * 0.2 * 0.8 / 400) ** 0.5)


def test_what_is_unlike_any_real_image_is_unrecognised(oracle):
    grey = torch.arange(200).byte()[:, None, None, None].expand(-1, -1, 12, 12)
    black_or_white = (
        (torch.arange(200) % 2 * 255).byte()[:, None, None, None].expand(-1, -1, 12, 12)
    )
    for mush in (grey, black_or_white):
        assert (oracle.predict(mush).counted == UNKNOWN).double().mean() >= 0.95


@pytest.mark.parametrize("held_out", [20, 45, 100])
@pytest.mark.parametrize("source", [Digits(), PaperDogs(stock=120)])
def test_noise_and_constants_are_unrecognized_with_few_held_out_images(source, held_out):
    """A network of 40 steps takes noise for a class; the pixels themselves say that it is none."""
    images, draw = source.load().train, Seed(("few", held_out)).torch()
    rows = torch.randperm(len(images.labels), generator=draw)
    labels, pixels = images.labels[rows], images.read(rows)
    of_three = labels < 3
    labels, pixels = labels[of_three], pixels[of_three]
    shape, cut = tuple(pixels.shape[1:]), len(pixels) // 2 - held_out // 2
    context = run_context(SEED, shape=shape, classes=3)
    fitted = CNN(steps=40, width=8).fit(
        Images(pixels[:40], labels[:40]),
        Images(pixels[cut : cut + held_out], labels[cut : cut + held_out]),
        context,
    )
    noise = torch.randint(0, 256, (200, *shape), generator=draw).byte()
    gray = torch.arange(256).byte()[:, None, None, None].expand(-1, *shape)
    for nonsense in (noise, gray):
        assert (fitted.predict(nonsense).counted == UNKNOWN).double().mean() >= 0.99
    others = pixels[cut + held_out :]
    turned_away = (fitted.predict(others).counted == UNKNOWN).double().mean()
    assert turned_away < 0.03 + 3 * (0.03 / len(others)) ** 0.5 + 3 * (0.03 / held_out) ** 0.5


def test_an_oracle_of_an_earlier_version_answers_as_it_did(oracle):
    state = {name: t for name, t in oracle.state().items() if "texture" not in name}
    again = CNN(steps=60, width=8).build(run_context(SEED, shape=(1, 12, 12))).load(state)
    new = stripes(9, 50).pixels
    assert torch.equal(again.predict(new).atypicality, oracle.predict(new).atypicality)


def test_probabilities_mean_what_they_say(oracle):
    """On average over new images, in each class and wherever the oracle hesitates."""
    new = stripes(8, 2000)
    noise = torch.randint(0, 256, new.pixels.shape, generator=Seed((9,)).torch()).byte()
    hard = Images((0.3 * new.pixels + 0.7 * noise).byte(), new.labels)
    again = CNN(steps=60, width=8).build(run_context(SEED, shape=(1, 12, 12))).load(oracle.state())
    again.calibrate(hard[:1000], hard[:1000], 0.05)
    p = again.predict(hard[1000:].pixels).probabilities[:, 1].double()
    truth = hard.labels[1000:].double()
    assert ((p > 0.1) & (p < 0.9)).sum() > 100, "else nothing is tested"
    for part in (p < 0.5, p >= 0.5, p > 0):
        error = (p[part] * (1 - p[part])).mean().sqrt() / part.sum().sqrt()
        # The record that it was calibrated on errs as much again.
        assert abs(p[part].mean() - truth[part].mean()) < 4 * 2**0.5 * error


def test_an_oracle_without_a_mistake_is_not_infinitely_sure():
    scores = torch.tensor([[9.0, -9.0], [-9.0, 9.0]]).repeat(50, 1)
    found = calibrate(scores, torch.tensor([0, 1]).repeat(50).short())
    assert 0.1 < found.scale < 100
    assert found.bias.abs().max() < 1


def test_the_batch_size_does_not_matter(oracle):
    pixels = stripes(3, 700).pixels
    whole, parts = oracle.predict(pixels), [oracle.predict(p) for p in pixels.split(37)]
    assert torch.equal(whole.counted, torch.cat([p.counted for p in parts]))
    assert torch.allclose(whole.features, torch.cat([p.features for p in parts]), atol=1e-5)


def test_a_saved_oracle_answers_the_same(oracle):
    again = CNN(steps=60, width=8).build(run_context(SEED, shape=(1, 12, 12))).load(oracle.state())
    pixels = stripes(4, 50).pixels
    assert torch.equal(oracle.predict(pixels).probabilities, again.predict(pixels).probabilities)
    assert torch.equal(oracle.predict(pixels).counted, again.predict(pixels).counted)
    assert again.accuracy == oracle.accuracy
    assert again.sha256() == oracle.sha256()
    assert torch.equal(again.confusion, oracle.confusion)


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 16, 16), (1, 28, 28), (3, 64, 64)])
def test_it_takes_images_of_any_size(shape):
    built = CNN(width=4).build(run_context(SEED, shape=shape, classes=5))
    pixels = torch.randint(256, (40, *shape), generator=Seed((2,)).torch(), dtype=torch.uint8)
    images = Images(pixels, torch.arange(40).short() % 5)
    with pytest.raises(ValueError, match="has not been judged"):
        built.predict(pixels)
    built.calibrate(images[:20], images[20:], 0.1)
    answers = built.predict(pixels[:3])
    assert answers.probabilities.shape == (3, 5)
    assert answers.features.shape == (3, 16)
    assert answers.atypicality.shape == (3,)


def test_a_backbone_loads_weights_from_a_file_without_running_anything(tmp_path):
    path = tmp_path / "resnet18.pth"
    with Seed((1,)).seed_torch():
        torch.save(models.resnet18().state_dict(), path)
    fit = Backbone(weights=path, size=32).fit
    oracle = fit(stripes(0, 60), stripes(1, 40), run_context(SEED, shape=(1, 12, 12)))
    assert oracle.accuracy > 0.8  # even random features tell stripes apart
    again = (
        Backbone(weights=path, size=32)
        .build(run_context(SEED, shape=(1, 12, 12)))
        .load(oracle.state())
    )
    pixels = stripes(2, 10).pixels
    assert torch.equal(oracle.predict(pixels).probabilities, again.predict(pixels).probabilities)


def test_missing_or_wrong_weights_are_one_line(tmp_path):
    def fit(path):
        Backbone(weights=path, size=32).fit(stripes(0, 8), stripes(1, 8), run_context(Seed((0,))))

    with pytest.raises(UserError, match=r"nowhere\.pth is not there; fetch https"):
        fit(tmp_path / "nowhere.pth")
    (tmp_path / "text.pth").write_text("not weights")
    with pytest.raises(UserError, match="does not hold this network's weights"):
        fit(tmp_path / "text.pth")
    with pytest.raises(ValueError, match="unknown network"):
        Backbone(name="resnet1")
