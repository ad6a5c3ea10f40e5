import numpy as np
import torch

from imgcollapse.core.seeds import Seed


def test_the_same_name_gives_the_same_draw_and_another_name_another():
    seed = Seed((0, 1)) / "fit" / 3
    again = Seed((0, 1, "fit", 3))
    assert int(seed) == int(again)
    assert torch.equal(
        torch.rand(5, generator=seed.torch()), torch.rand(5, generator=again.torch())
    )
    assert int(seed) != int(Seed((0, 1)) / "fit" / 4)
    assert seed.numpy().random() == again.numpy().random()


def test_seeds_of_many_names_do_not_collide():
    seeds = {
        int(Seed((s, g)) / "step" / i) for s in range(5) for g in range(20) for i in range(100)
    }
    assert len(seeds) == 5 * 20 * 100


def test_lending_puts_the_global_generator_back():
    before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    with Seed((7,)).seed_torch():
        inside = torch.rand(3)
    assert torch.equal(before, torch.get_rng_state())
    assert (numpy_before == np.random.get_state()[1]).all()  # noqa: NPY002
    with Seed((7,)).seed_torch():
        assert torch.equal(inside, torch.rand(3))
