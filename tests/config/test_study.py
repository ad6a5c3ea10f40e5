from pathlib import Path

import pytest
import torch

from imgcollapse.config.loader import load_study
from imgcollapse.core.errors import UserError
from imgcollapse.core.seeds import Seed
from imgcollapse.data import split
from imgcollapse.data.base import InMemoryImages, SourceData
from imgcollapse.generators import DDPM, VAE
from imgcollapse.oracle import CNN

# configs/remedies/ holds sweeps (tests/sweeps).
CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.yaml"))

SMALL = """
data: {kind: digits}
longtail: {kind: exponential, factor: 10, images: 100}
generator: {kind: ddpm, steps: 10}
regime: replace
smoke:
  generations: 2
  generator.steps: 3
"""


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "study.yaml"
    path.write_text(SMALL)
    return path


def refusal(config, *overrides):
    with pytest.raises(UserError) as raised:
        load_study(config, overrides)
    message = str(raised.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.stem)
@pytest.mark.parametrize("smoke", [False, True])
def test_every_config_in_the_repository_is_a_study(path, smoke):
    study = load_study(path, smoke=smoke)
    assert load_study(path, smoke=smoke) == study
    text = path.read_text()
    assert text.startswith("#"), "a config opens with what it shows"
    assert f"imgcollapse run configs/{path.name}" in text
    assert "smoke:" in text


MNIST = (
    [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949],
    [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009],
)
PUBLISHED = {
    "cifar10_lt_ddpm": ([5000] * 10, [1000] * 10),
    "mnist_ddpm": MNIST,
    "mnist_vae": MNIST,
}
"""Training and test images of each class in the sets that configs download."""


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_config_asks_for_no_more_images_than_its_set_has(name):
    study = load_study(next(path for path in CONFIGS if path.stem == name))
    train, test = (
        InMemoryImages(torch.zeros(sum(sizes), 1, 1, 1, dtype=torch.uint8), labels.short())
        for sizes in PUBLISHED[name]
        for labels in [torch.arange(10).repeat_interleave(torch.tensor(sizes))]
    )
    pool = SourceData(tuple("0123456789"), train, test)
    found = split(pool, study.longtail, study.splits, Seed(("test",)))
    assert len(found.train) == study.longtail.total()


def test_overrides_reach_into_parts(config):
    study = load_study(config, ["generations=3", "generator.steps=7", "longtail.images=50"])
    assert (study.generations, study.generator.steps, study.longtail.images) == (3, 7, 50)


def test_another_kind_starts_the_part_afresh_whatever_the_order(config):
    study = load_study(config, ["generator.beta=2", "generator.kind=vae"])
    assert study.generator == VAE(beta=2)


def test_a_whole_part_can_be_given_and_a_name_alone_stands_for_its_defaults(config):
    study = load_study(config, ["regime={kind: real-fraction, fraction: 0.2}", "oracle=cnn"])
    assert study.regime.fraction == 0.2
    assert study.oracle == CNN()
    assert load_study(config, ["regime.fresh=true", "regime.kind=real-fraction"]).regime.fresh


def test_one_setting_of_a_default_part_can_be_replaced(config):
    study = load_study(config, ["oracle.steps=10"])
    assert (study.oracle.kind, study.oracle.steps) == ("cnn", 10)


def test_smoke_is_applied_before_overrides(config):
    assert load_study(config, smoke=True).generator.steps == 3
    assert load_study(config, ["generator.steps=5"], smoke=True).generator.steps == 5


def test_yaml_1_2_is_read(config):
    study = load_study(config, ["generator.lr=1e-4", "data.kind=digits", "seed=010"])
    assert study.generator.lr == 1e-4
    assert study.seed == 10


def test_a_resolved_study_is_the_study(config):
    study = load_study(config)
    assert type(study).model_validate(study.resolved()) == study


def test_a_part_can_be_named_by_import_path(config, tmp_path, monkeypatch):
    (tmp_path / "my_generators.py").write_text(
        "from imgcollapse.generators import DDPM\n\n\nclass Mine(DDPM):\n"
        "    kind: str = 'my_generators:Mine'\n    bells: int = 1\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    study = load_study(config, ["generator={kind: 'my_generators:Mine', bells: 3}"])
    assert isinstance(study.generator, DDPM)
    assert study.generator.bells == 3
    assert study.resolved()["generator"]["bells"] == 3
    assert "whistles" in refusal(config, "generator={kind: 'my_generators:Mine', whistles: 3}")
    assert "is not a Generator" in refusal(config, "generator={kind: 'pathlib:Path'}")
    assert "no_such_module" in refusal(config, "generator={kind: 'no_such_module:X'}")


@pytest.mark.parametrize(
    ("override", "parts"),
    [
        ("generatons=3", ["generatons", "unknown key", "did you mean generations?"]),
        ("generator.stpes=3", ["generator.stpes", "did you mean steps?"]),
        ("longtail.imbalance=3", ["longtail.imbalance", "unknown key", "images"]),
        ("metrics.vocabulary.patchs=3", ["metrics.vocabulary.patchs", "did you mean patch?"]),
        ("generator.kind=dpm", ["generator", "'dpm'", "did you mean ddpm?"]),
        ("generator=3", ["generator", "3 is no kind"]),
        ("generations=many", ["generations", "'many'", "valid integer"]),
        ("generations=0", ["generations", "0", "greater than or equal to 1"]),
        ("generator.steps=[1,2]", ["generator.steps", "valid integer"]),
        ("generator={steps: 5}", ["generator", "has no kind", "vae, ddpm"]),
        ("generator.channels=[7]", ["generator", "multiples of 8"]),
        ("=5", ["'=5'", "key=value"]),
        ("seed.x=1", ["seed", "valid integer"]),
        ("seed", ["'seed'", "key=value"]),
        ("seed={a: [", ["is not YAML"]),
    ],
)
def test_a_wrong_setting_is_one_line_with_key_value_and_mend(config, override, parts):
    message = refusal(config, override)
    for part in parts:
        assert part in message


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "holds no settings"),
        ("- a\n- b\n", "holds no settings"),
        ("a: [1,\n", "is not YAML"),
        ("generator: {kind: resample}\n", "data: is missing"),
        ("\x00", "is not YAML"),
        ("smoke: 5\n", "smoke: 5 holds no settings"),
    ],
)
def test_a_broken_file_is_one_line(tmp_path, text, says):
    path = tmp_path / "broken.yaml"
    path.write_text(text)
    message = refusal(path)
    assert says in message
    assert str(path) in message


def test_a_missing_or_binary_file_is_one_line(tmp_path):
    assert "No such file" in refusal(tmp_path / "nowhere.yaml")
    (tmp_path / "x.yaml").write_bytes(b"\xff\xfe\x00")
    assert "not a UTF-8 text file" in refusal(tmp_path / "x.yaml")


def test_too_few_samples_for_the_regime_is_said_before_anything_runs(config):
    study = load_study(config, ["samples=50"])
    with pytest.raises(UserError, match="samples: 50 is fewer than the 100"):
        study.real()


def test_overrides_in_one_string_are_refused_with_the_list(config):
    with pytest.raises(UserError, match=r"is one string; write \['generations=2'\]"):
        load_study(config, "generations=2")
