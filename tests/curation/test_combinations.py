"""Every remedy with every regime: it trains on something, or is refused in one line."""

from itertools import product

import pytest

import imgcollapse as ic
from imgcollapse.core.errors import UserError
from imgcollapse.experiment import null_model

REMEDIES = {
    "verifier": "{kind: verifier, keep_share: 0.5}",
    "balance": "{kind: balance, keep_share: 0.5}",
    "diversity": "{kind: diversity, keep_share: 0.5}",
    "preference": "{kind: preference, among: 2, reward: {'0': 1}}",
    "picks": "{kind: picks}",
    "watermark": "{kind: watermark}",
    "watermark, down-weighted": "{kind: watermark, weight: 0.25}",
    "detector": "{kind: detector, tpr: 0.9, fpr: 0.05}",
    "detector, perfect": "{kind: detector, tpr: 1, fpr: 0}",
}
REGIMES = {
    "replace": "replace",
    "accumulate": "accumulate",
    "accumulate-subsample": "accumulate-subsample",
    "real-fraction": "{kind: real-fraction, fraction: 0.2}",
    "real-fraction, fresh": "{kind: real-fraction, fraction: 0.2, fresh: true}",
    "real-plus-synthetic": "{kind: real-plus-synthetic, ratio: 0.5}",
    "fresh": "fresh",
    "real-only": "real-only",
}
NONSENSE = {"watermark": {"replace"}, "detector, perfect": {"replace"}}
"""Remedies that leave these regimes nothing to train on."""


@pytest.mark.parametrize(("remedy", "regime"), list(product(REMEDIES, REGIMES)))
def test_a_remedy_goes_with_a_regime_by_config_alone_or_says_why_not(config, remedy, regime):
    settings = [f"curation={REMEDIES[remedy]}", f"regime={REGIMES[regime]}", "samples=100"]
    study = ic.load_study(config, settings)
    if regime in NONSENSE.get(remedy, ()):
        with pytest.raises(UserError, match=r"^curation: [^\n]*removes all[^\n]*$"):
            study.real()
        return
    real = study.real()
    null = null_model.simulate_labels(
        study, real.train.labels, real.reserve.labels, 3, replicates=20
    )
    assert null.shares.sum(axis=2) == pytest.approx(1)
