"""What a user's own part returns is checked: fewer images would look like collapse."""

from typing import Literal

import pytest
import torch
from contexts import run_context

import imgcollapse as ic
from imgcollapse.config.loader import load_study
from imgcollapse.core.errors import UserError
from imgcollapse.core.images import Images
from imgcollapse.core.seeds import Seed
from imgcollapse.experiment import data_parallel
from imgcollapse.generators import Resample
from imgcollapse.generators.base import Generator

OWN = '''
from imgcollapse.core.lineage_images import Selection, TrainingSet
from imgcollapse.curation.base import Filter
from imgcollapse.data.base import InMemoryImages, Source, SourceData
from typing import Literal

import torch

from imgcollapse.core.images import Images
from imgcollapse.generators.base import Generator
from imgcollapse.regimes import Regime


class Unfinished(Generator):
    """A generator without `restore`."""

    kind: Literal["own_parts:Unfinished"] = "own_parts:Unfinished"
    noise: float = 1.0

    def fit(self, images, context, previous=None):
        return self


class Floats(Unfinished):
    """A generator that hands out floats."""

    kind: Literal["own_parts:Floats"] = "own_parts:Floats"

    def restore(self, state, context):
        return self

    def sample(self, labels, context):
        return Images(torch.rand(len(labels), *context.shape), labels)

    def state(self):
        return {}


class Rows(Regime):
    """A regime that returns plain row numbers."""

    kind: Literal["own_parts:Rows"] = "own_parts:Rows"

    def select_after_first(self, images, g, n, seed):
        return list(range(n))


class Lists(Regime):
    kind: str = "own_parts:Lists"

    def select_after_first(self, images, g, n, seed):
        return TrainingSet([0] * n, list(range(n)))


class Beyond(Regime):
    kind: str = "own_parts:Beyond"

    def select_after_first(self, images, g, n, seed):
        return TrainingSet.from_generation(1, torch.arange(n) + 1)


class Mask(Filter):
    kind: str = "own_parts:Mask"

    def keep(self, inputs, seed):
        return torch.ones(len(inputs), dtype=torch.bool)


class Foreign(Filter):
    kind: str = "own_parts:Foreign"

    def keep(self, inputs, seed):
        return Selection(inputs.rows + 1, inputs.images.labels)


class Shrinks(Filter):
    kind: str = "own_parts:Shrinks"

    def keep(self, inputs, seed):
        return inputs.select(torch.arange(len(inputs)))

    def mark(self, samples, seed):
        return samples[:10]


class FloatSource(Source):
    kind: str = "own_parts:FloatSource"

    def load(self):
        class Set:
            labels = torch.zeros(50, dtype=torch.int16)

            def read(self, rows):
                return torch.rand(len(rows), 1, 8, 8)

        return SourceData(("a", "b"), Set())


class LongLabels(Source):
    kind: str = "own_parts:LongLabels"

    def load(self):
        pixels, labels = torch.zeros(3, 1, 8, 8), torch.tensor([0, 1, 2])
        return SourceData(("a", "b"), InMemoryImages(pixels.byte(), labels.short()))
'''


class Model:
    """A model with one answer."""

    def __init__(self, answer):
        self.answer = answer

    def sample(self, labels, context):
        return self.answer() if callable(self.answer) else self.answer

    def state(self):
        return self.answer


def images(n, channels=1, label=0):
    pixels = torch.zeros(n, channels, 4, 4, dtype=torch.uint8)
    return Images(pixels, torch.full((n,), label, dtype=torch.int16))


def labels():
    return torch.zeros(10, dtype=torch.int16)


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        (images(7), r"\[7, 1, 4, 4\]"),
        (images(10, channels=3), r"\[10, 3, 4, 4\]"),
        (images(10, label=2), "the label 2"),
        (images(10, label=-2), "the label -2"),
        (torch.rand(10, 1, 4, 4), r"float32\[10, 1, 4, 4\]"),
        ([1, 2], "a list"),
        (None, "a NoneType"),
        (
            lambda: Images(torch.rand(10, 1, 4, 4), labels()),
            r"images whose pixels must be uint8 NCHW, not float32\[10, 1, 4, 4\]",
        ),
        (
            lambda: Images([[0]], labels()),  # pyright: ignore[reportArgumentType]
            "images whose pixels must be uint8 NCHW, not a list",
        ),
        (
            lambda: Images(images(10).pixels, torch.zeros(10)),
            r"images whose labels must be int16\[10\], not float32\[10\]",
        ),
    ],
)
def test_other_images_than_were_asked_for_are_refused(answer, found):
    context = run_context(Seed(()), shape=(1, 4, 4))
    wanted = r"let it return Images of uint8\[10, 1, 4, 4\], an image for each label, with labels"
    with pytest.raises(UserError, match=f"^generator resample: sample returned {found}; {wanted}"):
        data_parallel.sample(Resample(), Model(answer), labels(), context)
    assert len(data_parallel.sample(Resample(), Model(images(10)), labels(), context)) == 10


@pytest.mark.parametrize(
    ("state", "found"), [([1], "a list"), ({"a": torch.zeros(2), "b": 1}, r"float32\[2\], a int")]
)
def test_a_state_that_cannot_be_saved_is_refused(state, found):
    with pytest.raises(UserError, match=f"^generator resample: state returned {found}; let it"):
        Resample().checked_state(Model(state))


def test_a_model_without_its_methods_is_refused():
    class Nothing(Generator):
        kind: Literal["nothing"] = "nothing"

        def fit(self, images, context, previous=None): ...

        def restore(self, state, context): ...

    with pytest.raises(UserError, match=r"^generator nothing: fit returned a NoneType; let it"):
        data_parallel.fit(Nothing(), images(3), run_context(Seed(())))


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A module with parts that are not as they should be, on Python's path."""
    (tmp_path / "own_parts.py").write_text(OWN)
    monkeypatch.syspath_prepend(str(tmp_path))


def test_a_generator_without_a_method_is_refused_by_its_name(own, config):
    with pytest.raises(UserError, match=r"generator: Unfinished has no restore; define it there"):
        load_study(config, ["generator=own_parts:Unfinished"])


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("generator={kind: 'own_parts:Floats', nois: 2}", "generator.nois: unknown key; did you"),
        ("generator={kind: 'own_parts:Floats', x: 2}", "generator.x: unknown key; it may be one"),
        ("generator={kind: 'own_parts:Floats', noise: a}", "generator.noise: 'a': input should be"),
        ("generator={kind: 'no_parts:Floats', x: 2}", "generator: cannot be imported: No module"),
    ],
)
def test_a_setting_of_an_own_part_is_named_as_it_is_written(own, config, override, message):
    with pytest.raises(UserError, match=message) as refused:
        load_study(config, [override])
    assert "imported." not in str(refused.value)
    assert not str(refused.value).rstrip().endswith("one of")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "generator=own_parts:Floats",
            "generator own_parts:Floats: sample returned images whose pixels must be uint8 NCHW",
        ),
        ("regime=own_parts:Rows", "regime own_parts:Rows: select_after_first returned a list; let"),
        (
            "regime=own_parts:Lists",
            "regime own_parts:Lists: select_after_first returned a TrainingSet of a list and",
        ),
        (
            "regime=own_parts:Beyond",
            r"regime own_parts:Beyond: select_after_first returned position (\d+) among the \1",
        ),
        ("curation=[own_parts:Mask]", r"filter own_parts:Mask: keep returned bool\["),
        ("curation=[own_parts:Foreign]", r"filter own_parts:Foreign: keep returned row \d+, which"),
        (
            "curation=[own_parts:Shrinks]",
            r"filter own_parts:Shrinks: mark returned uint8\[10, .*; let it return Images of uint8",
        ),
        (
            "data=own_parts:FloatSource",
            "data own_parts:FloatSource: load returned train with pix",
        ),
        (
            "data=own_parts:LongLabels",
            "data own_parts:LongLabels: load returned train with the lab",
        ),
    ],
)
def test_a_study_with_such_a_part_ends_in_one_line(own, config, tmp_path, override, message):
    with pytest.raises(UserError, match=f"^{message}"):
        ic.run(config, tmp_path / "run", [override])
