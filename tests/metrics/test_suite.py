import json
import math
from dataclasses import replace

import pytest
import torch

from imgcollapse import metrics
from imgcollapse.core.seeds import Seed
from imgcollapse.metrics import MetricSettings
from imgcollapse.metrics.floors import FloorCache

NAMES = "fid", "kid", "precision", "recall", "density", "coverage", "vendi", "memorized"


def pixels(name, n):
    draw = Seed((name,)).torch()
    return torch.randint(0, 256, (n, 1, 4, 4), generator=draw, dtype=torch.uint8)


@pytest.fixture
def reference(normal):
    """Classes a and b in plenty, five of c in the reference, none of d."""
    labels = torch.arange(300).short() % 2
    labels[:5] = 2
    return metrics.RealReference(
        normal(7, 300).float(),
        labels,
        normal(8, 400).float(),
        torch.arange(400).short() % 3,
        Seed((0,)),
        MetricSettings(splits=5),
        "oracle 0123",
        pixels("reference", 300),
        pixels("training", 400),
    )


def rows_by(rows):
    return {(row["class"], row["metric"]): row for row in rows}


def measure(side, features, counted):
    images = pixels("samples", len(features))
    return list(side.rows(3, features, images, counted, ["a", "b", "c", "d"]))


def test_every_value_is_followed_by_its_floor_at_the_same_n(reference, normal):
    rows = measure(reference, normal(9, 250), torch.zeros(250).short())
    assert all(set(row) == set(metrics.COLUMNS) for row in rows)
    assert {row["generation"] for row in rows} == {3}
    assert {row["features"] for row in rows} == {"oracle 0123"}
    for row, after in zip(rows, [*rows[1:], {"metric": ""}], strict=True):
        if row["value"] is None:
            assert row["note"]
        elif not row["metric"].endswith("_floor"):
            assert after["metric"] == row["metric"] + "_floor"
            assert (after["class"], after["n"]) == (row["class"], row["n"])
            assert after["low"] <= after["value"] <= after["high"]
    whole = rows_by(rows)
    for name in (*NAMES, "fid_infinity"):
        assert whole["", name]["value"] is not None
        assert whole["", name]["n"] == 250
    assert ("a", "fid_infinity") not in whole
    assert whole["", "fid"]["reference_n"] == 250
    assert whole["", "memorized"]["reference_n"] == 300


def test_samples_of_the_real_distribution_lie_near_their_floors(reference, normal):
    rows = rows_by(measure(reference, normal(9, 250), torch.zeros(250).short()))
    for name in ("fid", "precision", "recall", "density", "coverage", "vendi"):
        value, floor = rows["", name], rows["", f"{name}_floor"]
        assert value["low"] <= floor["high"], name
        assert value["high"] >= floor["low"], name


def test_a_shift_lies_above_the_floor(reference, normal):
    rows = rows_by(measure(reference, normal(9, 250, mean=0.7), torch.zeros(250).short()))
    for name in ("fid", "kid", "fid_infinity"):
        assert rows["", name]["low"] > rows["", f"{name}_floor"]["high"]
    for name in ("precision", "coverage"):
        assert rows["", name]["high"] < rows["", f"{name}_floor"]["low"]


def test_copies_are_memorized(reference, normal):
    rows = reference.rows(
        1, normal(9, 400), pixels("training", 400), torch.arange(400).short() % 3, ["a", "b", "c"]
    )
    found = rows_by(rows)
    for name in ("", "a", "b"):
        assert found[name, "memorized"]["value"] == 1
    assert found["", "memorized_floor"]["value"] == pytest.approx(3 / 301)
    assert found["c", "memorized"]["note"] == "needs 99 held-out real images"


def test_a_class_with_few_samples_has_one_row_a_metric_that_says_why(reference, normal):
    counted = torch.zeros(250, dtype=torch.int16)
    counted[:1] = 1
    rows = measure(reference, normal(9, 250), counted)
    for name, n in (("b", 1), ("c", 0), ("d", 0)):
        of_class = [row for row in rows if row["class"] == name and row["metric"] != "memorized"]
        undefined = [row for row in of_class if row["value"] is None]
        assert {row["n"] for row in of_class} == {n}
        assert {row["metric"] for row in undefined} >= {"fid", "kid", "precision"}
        assert all(row["note"] for row in undefined)
        if n == 0:
            assert len(of_class) == len(NAMES) - 1


@pytest.mark.parametrize("n", [0, 1, 2])
@pytest.mark.parametrize("identical", [False, True])
def test_degenerate_generations_are_finite_or_say_why_not(reference, normal, n, identical):
    features = torch.full((n, 8), 0.3) if identical else normal(1, n)
    for row in measure(reference, features, torch.zeros(n).short()):
        assert row["note"] if row["value"] is None else math.isfinite(row["value"])


def test_one_class_only(normal):
    labels = torch.zeros(60).short()
    side = metrics.RealReference(normal(0, 60), labels, normal(1, 60), labels, Seed((0,)))
    rows = rows_by(side.rows(0, normal(2, 60), None, labels, ["only"]))
    assert rows["only", "fid"]["value"] == rows["", "fid"]["value"]
    assert rows["", "memorized"]["note"] == "the images themselves are not there"


def test_the_same_seed_gives_the_same_floors(reference, normal):
    once = measure(reference, normal(9, 250), torch.zeros(250).short())
    assert once == measure(reference, normal(9, 250), torch.zeros(250).short())


def test_floors_are_taken_over_from_rows_and_not_found_again(reference, normal):
    samples, counted = normal(9, 250), (torch.arange(250) % 3).short()
    rows = measure(reference, samples, counted)
    forgotten = replace(
        reference,
        training_features=reference.training_features + 5,
        _floors=FloorCache(),
        _known={},
    )
    forgotten.load_cached(json.loads(json.dumps(rows)), ["a", "b", "c", "d"])
    assert measure(forgotten, samples, counted) == rows
    others = measure(forgotten, samples[:240], counted[:240])
    assert rows_by(others)["", "fid_floor"]["value"] > 2 * rows_by(rows)["", "fid_floor"]["value"]


def test_classes_may_be_left_out(reference, normal):
    side = metrics.RealReference(
        reference.features,
        reference.labels,
        reference.training_features,
        reference.training_labels,
        Seed((0,)),
        MetricSettings(per_class=False, splits=2),
    )
    rows = side.rows(0, normal(9, 50), None, torch.zeros(50).short(), ["a"])
    assert {row["class"] for row in rows} == {""}
