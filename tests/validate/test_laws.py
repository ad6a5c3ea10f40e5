"""When a measurement fails, and what a right program gets."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from imgcollapse.core.errors import UserError
from imgcollapse.tools.validate import LAWS, validate
from imgcollapse.tools.validate.curation import PREFERENCE
from imgcollapse.tools.validate.drift import EFFECTIVE_SIZE, FIRST_EXTINCTION
from imgcollapse.tools.validate.generators import SHUMAILOV_VAE
from imgcollapse.tools.validate.laws import ALPHA, Measurement, MnistTraining, compare


def test_the_deviation_is_in_standard_errors_of_the_mean():
    # Mean 3; variance 4 + 0 + 4 over 2, so a standard error of sqrt(4 / 3).
    measurement = compare("x", [1, 3, 5], 2.0)
    assert measurement.measured == 3
    assert measurement.error == pytest.approx(math.sqrt(4 / 3), rel=1e-15)
    assert measurement.deviation == pytest.approx(1 / math.sqrt(4 / 3), rel=1e-15)
    assert measurement.freedom == 2


@pytest.mark.parametrize(
    ("measured", "deviation"), [(0.5, 0), (0.2, 0), (1.0, 0), (1.3, 3), (0.0, -2)]
)
def test_inside_what_theory_allows_nothing_deviates(measured, deviation):
    # 0.3 / 0.1 and 0.2 / 0.1 to a float's rounding.
    assert Measurement("x", 0.2, 1.0, measured, 0.1, 10).deviation == pytest.approx(
        deviation, rel=1e-14
    )


def test_a_number_without_error_must_be_right():
    assert Measurement("x", 1, 1, 1, 0.0, 10).holds
    assert Measurement("x", 1, 1, 1.1, 0.0, 10).deviation == math.inf
    assert not Measurement("x", 1, 1, 1.1, 0.0, 10).holds


def test_few_replicates_are_allowed_more():
    # Student's t with one degree of freedom is Cauchy: cot(pi ALPHA / 2) is its quantile.
    one = Measurement("x", 0, 0, 1, 1, 1).allowed
    assert one == pytest.approx(1 / math.tan(math.pi * ALPHA / 2), rel=1e-9)
    assert (
        one
        > Measurement("x", 0, 0, 1, 1, 5).allowed
        > Measurement("x", 0, 0, 1, 1, 500).allowed
        > 4
    )


def test_what_is_not_a_number_does_not_hold():
    assert not Measurement("x", 0, 1, math.nan, 0.1, 10).holds


@pytest.mark.parametrize(
    "law", [EFFECTIVE_SIZE, FIRST_EXTINCTION, PREFERENCE], ids=lambda law: law.id
)
def test_this_program_obeys(law, context):
    outcome = law.test(context(0.2))
    assert [measurement.name for measurement in outcome.measurements if not measurement.holds] == []


@pytest.mark.slow
@pytest.mark.parametrize("law", [law for law in LAWS if law.id != "T1"], ids=lambda law: law.id)
def test_this_program_obeys_in_full(law, context):
    outcome = law.test(context())
    assert [measurement.name for measurement in outcome.measurements if not measurement.holds] == []


def test_the_same_seed_finds_the_same():
    one, two = (validate(["T9"], seed=4, log=lambda _: None)[0] for _ in range(2))
    other = validate(["T9"], seed=5, log=lambda _: None)[0]
    assert one.measurements == two.measurements
    assert one.measurements != other.measurements


def test_laws_are_named_in_any_case_and_unknown_ones_refused():
    said = []
    assert [result.law.id for result in validate(["t9"], log=said.append)] == ["T9"]
    assert said[-1].startswith("T9 Curation by preference: passed")
    with pytest.raises(UserError, match=r"^--only: there is no law T11 here; choose from T2, .*$"):
        validate(["T9", "T11"])


def test_without_mnist_its_law_is_skipped_and_says_what_to_do(tmp_path):
    result = validate(["T1"], data=tmp_path, log=lambda _: None)[0]
    assert result.verdict == "skipped"
    assert "--data PATH" in (result.skipped or "")


def test_the_real_vae_goes_through_its_law(shared_data, context):
    said = []
    tiny = replace(context(), data=shared_data, mnist=MnistTraining(64, 1, 32, 2), log=said.append)
    outcome = SHUMAILOV_VAE.test(tiny)
    assert len(said) == 10
    assert [curve.name for curve in outcome.plots[0].curves] == ["here", "published"]
    assert np.isfinite([measurement.measured for measurement in outcome.measurements]).all()
    # Two steps of training are no VAE, and 64 images too few to tell.
    assert outcome.measurements[0].error > 0.02
