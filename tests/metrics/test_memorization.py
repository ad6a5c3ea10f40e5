import torch

from imgcollapse.core.seeds import Seed
from imgcollapse.metrics import MemorizedShare
from imgcollapse.metrics.memorization import nearest


def images(name, n):
    draw = Seed((name,)).torch()
    return torch.randint(0, 256, (n, 1, 4, 4), generator=draw, dtype=torch.uint8)


def test_distances_are_exact():
    pixels, training = images("samples", 30), images("training", 20)
    by_hand = [min(int((x.long() - y.long()).square().sum()) for y in training) for x in pixels]
    assert nearest(pixels, training).tolist() == by_hand
    assert nearest(training, training).tolist() == [0.0] * 20


def test_the_share_among_real_images_is_the_quantile():
    training, held_out = images("training", 50), images("held out", 199)
    metric = MemorizedShare(quantile=0.05)
    metric.update(nearest(held_out, training), real=True)
    expected = metric.floor(100)["memorized"]
    assert expected.value == 10 / 200
    # The threshold is drawn too, so the mean is over both: 300 times 199 held out and 100 new.
    pool = nearest(images("pool", 20000), training)
    shares = []
    for i in range(300):
        chosen = torch.randperm(len(pool), generator=Seed(("real", i)).torch())
        found = metric.between(pool[chosen[:199]], pool[chosen[199:299]])
        shares.append(found["memorized"].value)
    found = torch.tensor(shares, dtype=torch.float64)
    assert abs(found.mean() - expected.value) < 4 * found.std() / 300**0.5
    inside = ((found >= expected.low) & (found <= expected.high)).double().mean()
    assert inside >= 0.95 - 4 * (0.95 * 0.05 / 300) ** 0.5


def test_copies_are_found_among_new_images():
    training = images("training", 50)
    metric = MemorizedShare()
    metric.update(nearest(images("held out", 400), training), real=True)
    metric.update(nearest(training[:30], training), real=False)
    metric.update(nearest(images("new", 70), training), real=False)
    answer = metric.compute()
    assert 0.30 <= answer.value <= 0.33
    assert answer.low < 0.3 < answer.high


def test_too_few_held_out_images_have_no_first_percentile():
    training = images("training", 5)
    for number, note in ((98, "needs 99 held-out real images"), (99, "")):
        metric = MemorizedShare()
        metric.update(nearest(images("held out", number), training), real=True)
        metric.update(nearest(images("new", 5), training), real=False)
        assert metric.compute().note == note
