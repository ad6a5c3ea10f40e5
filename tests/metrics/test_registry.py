"""A metric is one file: a user's own stands wherever a built-in one does."""

import doctest
import importlib
import pkgutil
import re

import numpy as np
import pytest
import torch

import imgcollapse as ic
from imgcollapse import metrics
from imgcollapse.config.loader import load_study
from imgcollapse.core.errors import UserError
from imgcollapse.metrics.registry import BUILT_IN, import_metric

BRIGHTNESS = '''
from torchmetrics.utilities import dim_zero_cat

from imgcollapse.core.estimate import t_interval
from imgcollapse.metrics import Metric, MetricInfo


class Brightness(Metric):
    """Mean brightness of images, from 0 to 1."""

    infos = (MetricInfo("brightness", "brightness", "Mean brightness", limits=(0, 1)),)

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.add_state("values", default=[], dist_reduce_fx="cat")

    def update(self, images):
        self.values.append(images.double().mean((1, 2, 3)))

    def compute(self):
        values = dim_zero_cat(self.values)
        error = float(values.std() / len(values) ** 0.5)
        return t_interval(float(values.mean()), error, len(values) - 1, (0, 1))
'''
OWN = "metrics={also: [own_brightness:Brightness, 'torchmetrics.image:TotalVariation'], splits: 3}"
NAMES = "brightness", "total_variation"


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A user's module with a metric, on Python's path."""
    (tmp_path / "own_brightness.py").write_text(BRIGHTNESS)
    monkeypatch.syspath_prepend(str(tmp_path))


def test_own_metrics_are_measured_beside_their_floors(own, config, tmp_path):
    run = ic.run(config, tmp_path / "run", [OWN])
    found = run.metrics.set_index(["generation", "metric"])
    for g in range(4):
        pixels = run.lineages[0].samples(g).pixels if g else None
        for name in NAMES:
            value, floor = found.loc[g, name], found.loc[g, f"{name}_floor"]
            assert value["low"] < value["value"] < value["high"]
            assert floor["low"] <= floor["value"] <= floor["high"]
            assert value["n"] == floor["n"] == 40
        if pixels is not None:
            brightness = float(pixels.double().mean() / 255)
            assert found.loc[g, "brightness"]["value"] == pytest.approx(brightness, abs=1e-7)
    assert run.record["study"]["metrics"]["also"] == list(run.study.metrics.also)
    # Nothing else depends on them.
    plain = ic.run(config, tmp_path / "plain", ["metrics={splits: 3}"])
    others = ~run.metrics["metric"].str.startswith(NAMES)
    assert run.metrics[others].reset_index(drop=True).equals(plain.metrics)
    assert "also" not in plain.record["study"]["metrics"]
    # A run may be evaluated by a metric that it was begun without.
    last = run.lineages[0].samples(3)
    evaluation = ic.evaluate(last, plain, overrides=[OWN])
    rows = evaluation.metrics.set_index("metric")
    for name in NAMES:
        expected = found.loc[3, name]["value"]
        assert rows.loc[name]["value"] == pytest.approx(expected, rel=1e-6)
        assert rows.loc[f"{name}_floor"]["value"] > 0


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("nowhere:Metric", "cannot be imported: No module named 'nowhere'"),
        ("nowhere", "is not an import path; write module:Class"),
        ("os:path", "is not a Metric: os is Python's"),
        ("imgcollapse.metrics:FrechetDistance", "there is a metric fid already"),
        ("torchmetrics.image:PeakSignalNoiseRatio", "its update takes preds, target, not images"),
        ("imgcollapse.metrics:Metric", "declares no infos"),
    ],
)
def test_what_is_no_metric_of_images_is_refused(config, path, message):
    with pytest.raises(UserError, match=re.escape(message)):
        load_study(config, [f"metrics={{also: ['{path}']}}"])


def test_an_answer_that_is_no_estimate_is_refused_by_the_metric_s_name():
    class Plain(metrics.Metric):
        infos = (metrics.MetricInfo("plain", "plain", "Plain", higher_is_better=None),)
        inputs = "features"

        def update(self, features):
            pass

        def compute(self):
            return 1.0

    with pytest.raises(UserError, match=r"metric plain: Plain.compute gave float; let it return"):
        Plain().between(torch.zeros(2, 3), torch.zeros(2, 3))


def inputs(metric, seed, n):
    """Random inputs of a metric."""
    draw = np.random.default_rng(seed)
    shapes = {"features": (n, 5), "images": (n, 1, 4, 4), "nearest": (n,), "bits": (n,)}
    if metric.inputs == "words":
        return torch.from_numpy(draw.integers(0, 6, (n, 3, 3)))
    return torch.from_numpy(draw.random(shapes[metric.inputs]))


def new(kind):
    patches = torch.arange(6).byte().view(6, 1, 1, 1)
    codebook = metrics.Codebook(patches, torch.arange(6, 0, -1), 1, 4)
    if kind is metrics.WordMetrics:
        return kind(codebook)
    return kind.configured(metrics.MetricSettings(neighbours=3))


def update(metric, batch, real):
    if metric.two_sample:
        metric.update(batch, real=real)
    elif not real:
        metric.update(batch)


KINDS = [*BUILT_IN, import_metric("torchmetrics.image:TotalVariation")]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_states_of_two_processes_put_together_are_those_of_one_pass(kind):
    sides = {True: inputs(kind, 0, 130), False: inputs(kind, 1, 90)}
    whole, parts = new(kind), [new(kind), new(kind)]
    for real, rows in sides.items():
        update(whole, rows, real)
        for metric, part in zip(parts, (rows[:50], rows[50:]), strict=True):
            for batch in part.split(20):
                update(metric, batch, real)
    joined = new(kind)
    for state, reduction in joined._reductions.items():
        gathered = [
            torch.cat(list(getattr(metric, state))) for metric in parts if getattr(metric, state)
        ]
        if gathered:
            setattr(joined, state, reduction(gathered[::-1]))
    joined._update_count = 1
    for name, value in whole.estimates().items():
        found = [number for number in joined.estimates()[name][:3] if number is not None]
        expected = [number for number in value[:3] if number is not None]
        assert expected
        assert found == pytest.approx(expected, rel=1e-9), name


def test_every_metric_is_described():
    names = [info.name for metric in BUILT_IN for info in metric.infos]
    assert len(names) == len(set(names))
    for metric in BUILT_IN:
        assert metric.higher_is_better == metric.infos[0].higher_is_better
        assert "arXiv" in metric.__doc__ or ">>>" in metric.__doc__


def test_the_examples_of_the_docstrings_are_right():
    tried = 0
    for found in pkgutil.walk_packages(metrics.__path__, "imgcollapse.metrics."):
        result = doctest.testmod(importlib.import_module(found.name))
        assert not result.failed, found.name
        tried += result.attempted
    assert tried > 25
