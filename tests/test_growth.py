"""A long lineage costs in every generation what the first one did."""

from itertools import pairwise

import torch
from contexts import run_context
from hypothesis import given
from hypothesis import strategies as st

import imgcollapse as ic
from imgcollapse.core.device import choose_device
from imgcollapse.core.images import Images
from imgcollapse.core.lineage_images import RESERVE, LineageImages, TrainingSet
from imgcollapse.core.seeds import Seed
from imgcollapse.generators import Resample
from imgcollapse.runs.tables import Tables

GENERATIONS = 12


def test_a_generation_of_accumulate_leaves_as_many_bytes_as_the_one_before(config, tmp_path):
    study = ic.load_study(config, ["regime=accumulate", f"generations={GENERATIONS}"])
    lineage = ic.run(study, tmp_path / "run").lineages[0]
    folders = [lineage.folder(g) for g in range(1, GENERATIONS + 1)]
    assert {(f / "samples.safetensors").stat().st_size for f in folders} == {
        (folders[0] / "samples.safetensors").stat().st_size
    }
    assert not [f for f in folders if (f / "model.safetensors").exists()]
    # A run of consecutive rows is 2 + 4 + 4 bytes, and each past generation is one; safetensors
    # pads its header to whole eights.
    sizes = [(f / "training_set.safetensors").stat().st_size for f in folders]
    assert all(later - before in range(2, 19) for before, later in pairwise(sizes))
    for g in range(1, GENERATIONS + 1):
        chosen = lineage.training_set(g)
        assert chosen.generation.tolist() == [h for h in range(g) for _ in range(40)]
        assert chosen.row.tolist() == list(range(40)) * g


class Counting:
    """A reserve that notes which rows are read."""

    labels = torch.zeros(1000, dtype=torch.int16)

    def __init__(self):
        self.read_rows = []

    def read(self, rows):
        self.read_rows += rows.tolist()
        return torch.zeros(len(rows), 1, 2, 2, dtype=torch.uint8)


def test_who_draws_a_few_of_many_reads_no_others():
    reserve = Counting()
    archive = LineageImages(
        Images(torch.zeros(1, 1, 2, 2, dtype=torch.uint8), torch.zeros(1).short()), reserve
    )
    images = archive.gather(TrainingSet.from_generation(RESERVE, torch.arange(1000)))
    model = Resample().fit(images, run_context(Seed((0,)), choose_device("cpu"), classes=1))
    samples = model.sample(torch.zeros(7, dtype=torch.int16), run_context(Seed((0, "sample"))))
    assert len(samples) == len(reserve.read_rows) == 7
    assert torch.equal(images.pixels[:0], samples.pixels[:0])
    assert len(reserve.read_rows) == 1007, "all pixels are read for whoever asks for all"


def test_an_archive_keeps_nobody_elses_names_for_a_training_set():
    archive = LineageImages(
        Images(torch.zeros(2, 1, 1, 1, dtype=torch.uint8), torch.zeros(2).short()), None
    )
    before = archive.gather(TrainingSet.from_generation(0, torch.arange(2)))
    archive.generations[0] = archive.generations[0].relabeled(torch.ones(2).short())
    assert before.labels.tolist() == [0, 0]
    assert archive.gather(TrainingSet.from_generation(0, torch.arange(2))).labels.tolist() == [1, 1]


@given(st.lists(st.tuples(st.integers(-1, 3), st.integers(0, 5))))
def test_runs_are_another_way_to_write_a_training_set(places):
    generation, row = (list(column) for column in zip(*places, strict=True)) if places else ([], [])
    chosen = TrainingSet(torch.tensor(generation).short(), torch.tensor(row).int())
    again = TrainingSet.from_runs(**chosen.runs())
    assert again.generation.dtype == torch.int16
    assert again.row.dtype == torch.int32
    assert again.generation.tolist() == generation
    assert again.row.tolist() == row
    found = {g: here.tolist() for g, here in chosen.by_generation()}
    assert found == {
        g: [i for i, x in enumerate(generation) if x == g] for g in sorted(set(generation))
    }


def test_tables_that_grow_are_those_made_at_once(config, tmp_path, monkeypatch):
    formatted = []
    add = Tables.add
    monkeypatch.setattr(Tables, "add", lambda self, found: formatted.append(1) or add(self, found))
    run = ic.run(config, tmp_path / "run")
    assert len(formatted) == 4, "each generation once, not once for each that follows"
    lineage = run.lineages[0]
    assert (lineage.path / "census.csv").read_text() == lineage.census.to_csv(index=False)
    assert (lineage.path / "metrics.csv").read_text() == lineage.metrics.to_csv(index=False)
    assert not (lineage.path / "curation.csv").exists()
    grown = ic.run(config, tmp_path / "run", ["generations=5"])
    assert (lineage.path / "census.csv").read_text() == grown.census.to_csv(index=False)
