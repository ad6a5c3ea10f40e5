"""Classes whose names hold dots or look like numbers can be set, and images beside a YAML found."""

from __future__ import annotations

import pytest

from imgcollapse.config.loader import load_study, split_key
from imgcollapse.core.errors import UserError
from imgcollapse.data import Exponential

STUDY = """
data: {kind: folder, path: images}
generator: resample
longtail: {kind: explicit, counts: {"001.ak47": 5, St. Bernard: 4}}
smoke:
  longtail: {counts: {"001.ak47": 3}}
"""


@pytest.fixture
def study(tmp_path):
    path = tmp_path / "study.yaml"
    path.write_text(STUDY, encoding="utf-8")
    return path


def test_keys_below_a_mapping_by_class_are_not_split(study):
    assert load_study(study, [], smoke=True).longtail.counts == {"001.ak47": 3, "St. Bernard": 4}
    for key in ("longtail.counts.St. Bernard=1", 'longtail.counts."St. Bernard"=1'):
        assert load_study(study, [key]).longtail.counts == {"001.ak47": 5, "St. Bernard": 1}
    counts = load_study(study, ["longtail.counts.'a=b.c'=2"]).longtail.counts
    assert counts["a=b.c"] == 2


def test_keys_are_split_at_dots_outside_quotes():
    assert split_key("generator.optimizer.lr") == ["generator", "optimizer", "lr"]
    assert split_key('a."b.c".d') == ["a", "b.c", "d"]
    assert split_key("longtail.counts.a.b.c") == ["longtail", "counts", "a.b.c"]


@pytest.mark.parametrize("value", ["[true]", "[null]", "[1e3]"])
def test_names_that_yaml_reads_as_something_else_are_refused_with_a_fix(study, value):
    with pytest.raises(UserError, match="put its name in quotes"):
        load_study(study, ["longtail.kind=exponential", f"longtail.order={value}"])


def test_names_like_007_are_refused_with_a_fix():
    with pytest.raises(UserError, match=r"'7'; .*put names like 007 in quotes"):
        Exponential(order=(7,)).ranked(("007", "1e3"))


def test_images_beside_the_yaml_are_found(study, tmp_path, monkeypatch):
    (tmp_path / "images").mkdir()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert load_study(study).data.path == tmp_path / "images"
    (tmp_path / "elsewhere/images").mkdir()
    assert str(load_study(study).data.path) == "images"
