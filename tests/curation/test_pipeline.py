"""Filters one after another, and what the regimes then see of a generation."""

from typing import ClassVar

import pandas as pd
import pytest
import torch

import imgcollapse as ic
from imgcollapse.core.errors import UserError
from imgcollapse.core.images import Images
from imgcollapse.core.lineage_images import REMOVED, LineageImages, Selection, TrainingSet
from imgcollapse.core.seeds import Seed
from imgcollapse.curation import curate, selection_audit, simulated_selection
from imgcollapse.curation.base import Filter
from imgcollapse.regimes import Accumulate, RealFraction, RealPlusSynthetic, Replace

SEED = Seed(("chain",))


class Odd(Filter):
    """Keeps every other candidate, last first."""

    kind: str = "odd"

    def keep_fraction(self) -> float:
        return 0.5

    def keep(self, seen, seed) -> Selection:
        return seen.select(torch.arange(1, len(seen), 2).flip(0))


class Screen(Filter):
    """Takes the class `finds` out of the pool, real or not."""

    filters_real: ClassVar[bool] = True
    leaves_gaps: ClassVar[bool] = True
    kind: str = "screen"
    finds: int = 0

    def keep(self, seen, seed) -> Selection:
        return seen.select((seen.counted != self.finds).nonzero().flatten())


class Third(Screen):
    """Blind to what it sees: takes out every third image of a generation that is not real."""

    kind: str = "third"

    def null_selection(self, generation, n, seed):
        places = torch.arange(n)
        return places[places % 3 != 0] if generation else places


class Everything(Screen):
    """Takes out all that is not real, whatever it is."""

    kind: str = "everything"

    def null_selection(self, generation, n, seed):
        return torch.arange(0 if generation else n)


class Corrected(Filter):
    """Trains everything as class 2."""

    kind: str = "corrected"

    def keep(self, seen, seed) -> Selection:
        return Selection(seen.rows, torch.full_like(seen.images.labels, 2))


def test_a_chooser_closes_ranks_and_a_screen_leaves_gaps(shown):
    seen = shown([0, 1, 2, 0, 1, 2])
    assert curate([Odd()], seen, SEED).rows.tolist() == [5, 3, 1]
    assert curate([Screen()], seen, SEED).rows.tolist() == [REMOVED, 1, 2, REMOVED, 4, 5]
    # A chooser is shown what a screen has left, and takes from that.
    assert curate([Screen(), Odd()], seen, SEED).rows.tolist() == [5, 2]
    assert curate([Odd(), Screen()], seen, SEED).rows.tolist() == [5, REMOVED, 1]
    # Two screens leave the gaps of both.
    both = curate([Screen(), Screen(finds=2)], seen, SEED)
    assert both.rows.tolist() == [REMOVED, 1, REMOVED, REMOVED, 4, REMOVED]
    assert both.labels[both.rows != REMOVED].tolist() == [1, 1]


def test_only_some_filters_are_shown_real_images(shown):
    real = shown([0, 1, 0], generation=0)
    assert curate([Odd(), Screen()], real, SEED).rows.tolist() == [REMOVED, 1, REMOVED]
    assert curate([Odd()], real, SEED).rows.tolist() == [0, 1, 2]


def test_later_filters_and_the_next_model_see_corrected_labels(shown):
    seen = shown([0, 1, 2, 0])
    kept = curate([Corrected(), Odd()], seen, SEED)
    assert kept.labels.tolist() == [2, 2]
    archive = LineageImages(seen.images, None)
    archive.append(seen.images)
    archive.restrict(1, kept)
    chosen = Replace().select(archive, 2, SEED)
    assert chosen.row.tolist() == [3, 1]
    assert archive.labels(chosen).tolist() == archive.gather(chosen).labels.tolist() == [2, 2]


@pytest.fixture
def archive():
    """Ten real images and ten samples; every third sample has been taken out."""
    images = Images(torch.arange(10, dtype=torch.uint8).view(10, 1, 1, 1), torch.zeros(10).short())
    archive = LineageImages(images, None)
    archive.append(images)
    rows = simulated_selection([Third()], 1, 10, SEED)
    archive.restrict(1, Selection(rows, torch.zeros(10, dtype=torch.int16)))
    return archive


@pytest.mark.parametrize(
    ("regime", "real", "born"),
    [
        (Replace(), [], [1, 2, 4, 5, 7, 8]),
        (RealFraction(fraction=0.5), [0, 1, 2, 3, 4], [1, 2, 4]),
        (RealPlusSynthetic(ratio=0.4), list(range(10)), [1, 2]),
        (Accumulate(), list(range(10)), [1, 2, 4, 5, 7, 8]),
    ],
)
def test_what_a_screen_found_is_missing_and_nothing_takes_its_place(archive, regime, real, born):
    chosen = regime.select(archive, 2, SEED)
    assert chosen.row[chosen.generation == 0].tolist() == real
    assert chosen.row[chosen.generation == 1].tolist() == born


def test_chance_lives_as_if_nobody_filtered_where_filters_look_at_content_alone():
    assert simulated_selection([], 1, 9, SEED) is None
    assert simulated_selection([Screen(), Corrected()], 1, 9, SEED) is None
    assert simulated_selection([Odd(), Corrected()], 1, 9, SEED).tolist() == [0, 1, 2, 3]
    assert simulated_selection([Odd()], 0, 9, SEED) is None
    assert simulated_selection([Third()], 1, 4, SEED).tolist() == [REMOVED, 1, 2, REMOVED]


def test_the_account_is_that_of_drawing_without_replacement(shown):
    counted = torch.tensor([0] * 60 + [1] * 30 + [-1] * 10, dtype=torch.int16)
    kept = Selection(torch.arange(50, dtype=torch.int32), torch.zeros(50, dtype=torch.int16))
    first, second, mush = selection_audit(3, kept, counted, torch.zeros(100).short(), ["a", "b"])
    assert (first["n"], first["kept"], first["expected"]) == (60, 50, 30.0)
    # Variance of the hypergeometric: M p (1-p) (N-M)/(N-1).
    reach = 1.96 * (50 * 0.6 * 0.4 * 50 / 99) ** 0.5
    assert abs(first["low"] - (30 - reach)) < 1
    assert abs(first["high"] - (30 + reach)) < 1
    assert (second["kept"], second["expected"]) == (0, 15.0)
    assert (mush["class"], mush["kept"], mush["expected"]) == ("(unrecognised)", 0, 5.0)


PREFERS = "curation={kind: preference, among: 2, reward: {'0': 50}}"


def test_a_study_records_what_was_kept_trains_on_it_and_resumes_to_the_same_bits(config, tmp_path):
    run = ic.run(config, tmp_path / "run", [PREFERS, "samples=80"])
    (lineage,) = run.lineages
    for g in (1, 2):
        kept, chosen = lineage.selection(g), lineage.training_set(g + 1)
        assert len(kept) == 40
        assert chosen.row.tolist() == kept.rows.tolist()
        counted = lineage.counted(g)
        pairs = counted.view(40, 2)
        wanted = (counted[kept.rows.long()] == 0) | (pairs != 0).all(1)
        assert wanted.all(), "a zero was shown and turned down"
    table = pd.read_csv(run.path / "curation.csv")
    assert table.generation.unique().tolist() == [0, 1, 2]
    assert table[table.generation == 0].kept.sum() == 40
    zeros = table[(table["class"] == "0") & (table.generation == 2)]
    assert (zeros.kept >= zeros.expected).all()

    tables = {name: (run.path / name).read_bytes() for name in ("census.csv", "curation.csv")}
    part = ic.run(config, tmp_path / "part", [PREFERS, "samples=80", "generations=2"])
    again = ic.run(config, part.path, [PREFERS, "samples=80"])
    assert {name: (again.path / name).read_bytes() for name in tables} == tables


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ([PREFERS], r"samples: 40, of which curation keeps 20, .* set samples to at least 80"),
        (
            ["curation={kind: preference, reward: {zebra: 1}}", "samples=80"],
            "'zebra' is not a class",
        ),
        (["curation={kind: preference, scorer: 'no.such:thing'}"], "cannot be imported"),
        ([f"curation={{kind: '{__name__}:Everything'}}"], "removes all .* would train"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(config, settings, says):
    """Before anything is trained."""
    with pytest.raises(UserError, match=says) as caught:
        ic.load_study(config, settings).real()
    assert "\n" not in str(caught.value)


def test_samples_are_enough_for_filters_that_each_keep_whole_images(config):
    """Of 5 samples 3/10 are one, and 7/10 of one are none, though 21% of 5 are one."""
    both = "curation=[{kind: verifier, keep_share: 0.3}, {kind: verifier, keep_share: 0.7}]"
    study = ic.load_study(config, [both, "samples=5", "regime={kind: real-fraction}"])
    one = study.model_copy(update={"regime": RealFraction(fraction=39 / 40)})
    with pytest.raises(UserError, match=r"curation keeps 0, .* the 1 .* to at least 7$"):
        one.real()
    one.model_copy(update={"samples": 7}).real()


class OfClass(Replace):
    """A regime of a user's own that looks at labels."""

    kind: str = "of-class"
    real_labels: ClassVar[list[set[int]]] = []

    def select_after_first(self, archive, g, n, seed):
        places = super().select_after_first(archive, g, n, seed)
        seen = archive.labels(archive.rows(places))
        real = archive.labels(TrainingSet.from_generation(0, torch.arange(n)))
        self.real_labels.append(set(real.tolist()))
        return TrainingSet(places.generation[seen == 0], places.row[seen == 0])


def test_a_regime_that_looks_at_labels_is_shown_them_when_the_pool_is_checked(config):
    settings = ["curation={kind: preference}", "samples=80", f"regime={__name__}:OfClass"]
    OfClass.real_labels.clear()
    ic.load_study(config, settings).real()
    assert OfClass.real_labels
    assert all(labels == set(range(10)) for labels in OfClass.real_labels)


def test_a_filter_by_import_path_and_a_list_of_filters(config, tmp_path):
    both = f"curation=[{{kind: '{__name__}:Screen', finds: 3}}, {{kind: preference}}]"
    run = ic.run(config, tmp_path / "run", [both, "samples=100", "regime=accumulate"])
    table = run.curation
    assert table[table["class"] == "3"].kept.tolist() == [0, 0, 0]
