"""A study by two processes is the same study; float sums come in another order."""

import os
import subprocess
import sys

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

import imgcollapse as ic
from imgcollapse.config.study import Study
from imgcollapse.core.errors import UserError
from imgcollapse.experiment.setup import setup_device
from imgcollapse.io.checkpoints import CheckpointManager
from imgcollapse.parallel import process_group
from imgcollapse.training import loop
from imgcollapse.training.oom_retry import accumulate_gradients

from . import job

LAUNCH = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes=2"]
LAUNCH += ["--num_machines=1", "--mixed_precision=no", "--dynamo_backend=no"]
LAUNCH += ["--main_process_port=0"]


def environment():
    return os.environ | {"OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """What two processes leave."""
    pytest.importorskip("accelerate", reason="needs accelerate")
    out = tmp_path_factory.mktemp("two")
    command = [*LAUNCH, job.__file__, str(out)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), check=False)
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    """What one process leaves."""
    out = tmp_path_factory.mktemp("one")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "REPORT_SECONDS", -1.0)
        job.share(out)
        job.project(out)
        torch.save({kind: job.live(kind, out) for kind in job.GENERATORS}, out / "losses.pt")
    return out


def test_all_processes_have_what_one_has(one, two):
    alone = torch.load(one / "rank_0_of_1.pt", weights_only=False)
    for rank in range(2):
        found = torch.load(two / f"rank_{rank}_of_2.pt", weights_only=False)
        assert all(map(torch.equal, found["sums"], alone["sums"]))
        for name in ("squares", "agreed", "refusal"):
            assert found[name] == alone[name], name
        assert "ended with different weights" in found["unequal"]
    assert alone["unequal"] is None


def test_metric_states_of_two_processes_come_together(one, two):
    alone = torch.load(one / "rank_0_of_1.pt", weights_only=False)["metrics"]
    for rank in range(2):
        found = torch.load(two / f"rank_{rank}_of_2.pt", weights_only=False)["metrics"]
        # Sums of 40 products of float64, in another order.
        fid, expected = found.pop("FrechetDistance"), alone["FrechetDistance"]
        assert fid.value == pytest.approx(expected.value, rel=1e-12)
        # The others put their samples in an order that does not depend on who has seen them.
        assert found == {name: value for name, value in alone.items() if name in found}
        assert len(found) == 5


def test_features_are_those_that_one_process_extracts(one, two):
    alone, found = (torch.load(run / "features.pt") for run in (one, two))
    assert all(map(torch.equal, found, alone))
    assert alone[0].shape == (300, 4)


@pytest.mark.parametrize("kind", ["vae", "ddpm"])
def test_two_processes_train_the_model_that_one_trains(one, two, kind):
    curves = [torch.tensor(torch.load(run / "losses.pt")[kind]) for run in (one, two)]
    assert torch.equal(curves[0][:, :2], curves[1][:, :2])  # generation and step
    # A float32 sum in another order is off by some 1e-7, which training may enlarge a little.
    assert curves[1][:, 2].tolist() == pytest.approx(curves[0][:, 2].tolist(), rel=1e-5)

    for g in (1, 2):
        model, other = (_tensors(run / kind, g, "model") for run in (one, two))
        apart = [(other[name] - weight).abs() for name, weight in model.items()]
        # Adam divides by the size of the gradient: where that is rounding and nothing else, such
        # as of a bias before a norm, a weight may take other steps of up to lr.
        assert max(float(each.max()) for each in apart) < 1e-3
        assert torch.cat([each.flatten() for each in apart]).mean() < 1e-6

        samples, others = (_tensors(run / kind, g, "samples") for run in (one, two))
        assert torch.equal(samples["counted"], others["counted"])
        moved = (samples["pixels"].int() - others["pixels"].int()).abs()
        assert moved.max() <= 1  # where a pixel lies between two levels
        assert moved.double().mean() < 1e-3

    census, other = (pd.read_csv(run / kind / "census.csv") for run in (one, two))
    pd.testing.assert_frame_equal(other, census, rtol=1e-4)
    metrics, other = (pd.read_csv(run / kind / "metrics.csv") for run in (one, two))
    assert {"fid", "kid", "precision"} <= set(metrics.metric)
    pd.testing.assert_frame_equal(other, metrics, rtol=1e-3, atol=1e-6)


def test_what_does_not_divide_has_the_bits_of_one_process(one, two):
    for name in ("gen_002/model.safetensors", "census.csv", "metrics.csv"):
        alone, other = ((run / "gaussian" / name).read_bytes() for run in (one, two))
        assert alone == other, name


def test_the_run_says_how_many_processes_made_it(one, two):
    for run, processes in ((one, 1), (two, 2)):
        assert ic.Run.open(run / "ddpm").record["made_with"]["processes"] == processes


def _tensors(run, g, name):
    return load_file(run / f"gen_{g:03d}/{name}.safetensors")


@pytest.mark.parametrize("n", [2, 3, 7, 64])
def test_parts_are_the_whole_and_differ_by_one_row_at_most(n):
    for size in (1, 2, 3):
        parts = [range(n)[process_group.ProcessGroup(rank, size).shard(n)] for rank in range(size)]
        assert [row for part in parts for row in part] == list(range(n))
        assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_a_batch_with_fewer_images_than_processes_is_refused():
    with (
        process_group._set_to(process_group.ProcessGroup(0, 3), process_group.ProcessGroup(0, 3)),
        pytest.raises(UserError, match=r"generator\.batch: 2 images"),
    ):
        accumulate_gradients(torch.nn.Linear(1, 1), 2, torch.ones, CheckpointManager())


def test_one_gpu_cannot_be_named_for_several_processes():
    study = Study.model_validate(job.STUDY | {"generator": "resample", "device": "cuda:1"})
    with (
        process_group._set_to(process_group.ProcessGroup(0, 2), process_group.ProcessGroup()),
        pytest.raises(UserError, match="use device=cuda"),
    ):
        setup_device(study)


def test_several_processes_without_accelerate_are_told_what_is_missing(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setitem(sys.modules, "accelerate", None)
    what = r"one of 2 processes.*imgcollapse\[accelerate\]"
    with pytest.raises(UserError, match=what), process_group.join_process_group():
        pass


def test_a_restart_that_would_wait_for_processes_that_are_gone_is_refused(monkeypatch):
    for name, value in (("WORLD_SIZE", 2), ("TORCHELASTIC_RESTART_COUNT", 1)):
        monkeypatch.setenv(name, str(value))
    monkeypatch.setenv("TORCHELASTIC_USE_AGENT_STORE", "True")
    with (
        pytest.raises(UserError, match="TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1"),
        process_group.join_process_group(),
    ):
        pass


def test_a_single_process_asks_nobody(monkeypatch):
    monkeypatch.setitem(sys.modules, "accelerate", None)
    for size in ("", "1"):
        monkeypatch.setenv("WORLD_SIZE", size)
        with (
            process_group.join_process_group() as leads,
            process_group.on_all_processes(pytest.fail),
        ):
            assert leads
            assert process_group.current_group() is process_group.world_group()
            assert (process_group.world_group().rank, process_group.world_group().size) == (0, 1)
