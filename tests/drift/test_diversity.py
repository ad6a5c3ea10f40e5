import math

import numpy as np
import pytest

from imgcollapse import drift
from imgcollapse.core.seeds import Seed
from imgcollapse.regimes import Replace

from .simulated_shares import real_labels


def test_measures_of_known_shares():
    x = np.array([[0.25, 0.25, 0.25, 0.25], [0.5, 0.5, 0, 0], [1, 0, 0, 0]])
    np.testing.assert_allclose(drift.heterozygosity(x), [0.75, 0.5, 0], atol=1e-15)
    np.testing.assert_array_equal(drift.classes_alive(x), [4, 2, 1])
    np.testing.assert_allclose(drift.entropy(x), [math.log(4), math.log(2), 0], atol=1e-15)


@pytest.mark.parametrize("measure", [drift.heterozygosity, drift.classes_alive, drift.entropy])
def test_a_lineage_beside_its_chance_band(measure):
    real = real_labels(200)
    null = drift.simulate(Replace(), None, real, real[:0], 200, 6, 5, Seed((1,)), 1000)
    x = null.shares[:200]
    found = drift.against_chance(measure, x, null)
    assert found.value.shape == (200, 7)
    assert found.low.shape == found.high.shape == found.expected.shape == (7,)
    inside = ((found.value >= found.low) & (found.value <= found.high)).mean(axis=0)
    assert (inside >= 0.95 - 3 * math.sqrt(0.95 * 0.05 / 200)).all()
    assert found.low[0] == found.high[0] == pytest.approx(found.expected[0], rel=1e-12)
    assert found.expected[6] < found.expected[0]  # drift only takes
