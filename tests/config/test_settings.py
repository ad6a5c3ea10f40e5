"""Metadata of settings: no field of a study is without it, and its users agree with it."""

import pytest

from imgcollapse.config.study import Study, setting
from imgcollapse.core.components import Setting
from imgcollapse.tools.evaluate import SETTABLE


@pytest.mark.parametrize("name", Study.model_fields)
def test_each_field_of_a_study_has_metadata(name):
    marks = [m for m in Study.model_fields[name].metadata if isinstance(m, Setting)]
    assert len(marks) == 1
    assert marks[0].affects


def affecting(effect):
    return {name for name in Study.model_fields if effect in setting(name).affects}


def test_the_oracle_depends_on_what_is_real_and_on_the_machine():
    assert affecting("oracle") == {
        *("seed", "data", "longtail", "splits", "oracle", "device", "precision", "threads")
    }


def test_the_first_model_depends_on_real_images_alone():
    later = {"regime", "curation", "generations", "lineages", "samples", "labels", "metrics"}
    assert not affecting("first_model") & (later | {"oracle", "retention"})


@pytest.mark.parametrize(
    "key",
    [
        *("generations", "checkpoint_seconds", "report", "report.sections"),
        *("retention", "retention.samples"),
        *("retention.models", "data.root", "data.path", "data.download", "oracle.weights"),
    ],
)
def test_a_resumed_run_may_change(key):
    assert "run" in setting(key).may_change


@pytest.mark.parametrize(
    "key",
    [
        *("seed", "lineages", "samples", "data", "data.kind", "data.size", "generator"),
        *("generator.steps", "oracle", "oracle.kind", "metrics", "threads", "no.such.key"),
    ],
)
def test_a_resumed_run_may_not_change(key):
    assert "run" not in setting(key).may_change


def test_an_evaluation_may_set():
    assert SETTABLE == ["data", "metrics", "device", "precision", "threads"]
