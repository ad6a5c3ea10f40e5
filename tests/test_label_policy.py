import torch

from imgcollapse.core.images import class_shares
from imgcollapse.core.seeds import Seed
from imgcollapse.label_policy import RealMarginal, TrainingMarginal, Uniform

TRAINING = torch.tensor([0.5, 0.5, 0.0], dtype=torch.float64)
REAL = torch.tensor([0.7, 0.2, 0.1], dtype=torch.float64)


def test_each_policy_draws_from_its_own_shares():
    n = 20_000
    wanted = {
        Uniform(): torch.full((3,), 1 / 3),
        RealMarginal(): REAL,
        TrainingMarginal(): TRAINING,
    }
    for policy, expected in wanted.items():
        labels = policy.draw(TRAINING, REAL, n, Seed((0,)))
        assert labels.dtype == torch.int16
        error = (expected * (1 - expected) / n).sqrt()
        assert ((class_shares(labels, 3) - expected).abs() <= 4 * error).all()


def test_a_class_that_has_left_the_training_set_is_never_asked_for_again():
    labels = TrainingMarginal().draw(TRAINING, REAL, 10_000, Seed((1,)))
    assert not (labels == 2).any()
