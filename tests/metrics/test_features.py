import hashlib
from importlib.metadata import version

import pytest
import torch
import torch.nn.functional as F
from pydantic import TypeAdapter, ValidationError
from torchvision import models

from imgcollapse.core import device
from imgcollapse.core.errors import UserError
from imgcollapse.core.seeds import Seed
from imgcollapse.metrics import MetricSettings
from imgcollapse.metrics.features import (
    AnyExtractor,
    BackboneFeatures,
    DINOv2Features,
    InceptionFeatures,
    OracleFeatures,
)

CPU = device.choose_device("cpu", "float32")
NOTHING = torch.zeros(3, 0)


def images(channels=3, size=32):
    draw = Seed(("images",)).torch()
    return torch.randint(0, 256, (3, channels, size, size), generator=draw, dtype=torch.uint8)


def saved(path, state):
    torch.save(state, path)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def random_values(shapes):
    draw = Seed(("weights",)).torch()
    return {name: torch.randn(shape, generator=draw) * 0.05 for name, shape in shapes.items()}


def test_the_oracle_is_the_default_and_passes_on_what_it_saw():
    seen = torch.rand(3, 5)
    extractor = MetricSettings().features
    assert extractor == OracleFeatures()
    assert extractor.features(images(), seen, CPU) is seen
    assert extractor.identity("ab" * 32) == "oracle abababababab no resize"


def test_an_extractor_is_chosen_by_kind():
    adapter = TypeAdapter(AnyExtractor)
    assert adapter.validate_python("inception") == InceptionFeatures()
    assert adapter.validate_python({"kind": "dinov2", "name": "vits14"}).size == 224
    for wrong, reason in (
        ({"kind": "backbone", "name": "lenet"}, "unknown network"),
        ("clip", "one of oracle"),
        ({"kind": "dinov2", "size": 100}, "size"),
    ):
        with pytest.raises(ValidationError, match=reason):
            adapter.validate_python(wrong)


def test_backbone_is_the_layer_before_the_scores(tmp_path):
    with Seed(("net",)).seed_torch():
        net = models.resnet18(weights=None).eval()
    digest = saved(tmp_path / "w.pth", net.state_dict())
    extractor = BackboneFeatures(name="resnet18", weights=tmp_path / "w.pth", size=64)
    before = torch.random.get_rng_state()
    features = extractor.features(images(1), NOTHING, CPU)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert features.shape == (3, 512)
    assert features.dtype == torch.float32
    assert extractor.identity("") == f"backbone {digest[:12]} resnet18 bilinear antialias 64"
    shown = F.interpolate(images(1).float() / 255, 64, mode="bilinear", antialias=True)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    shown = (shown.expand(-1, 3, -1, -1) - mean[:, None, None]) / std[:, None, None]
    with torch.inference_mode():
        scores = net(shown)
    # float32 rounding of two orders of the same sums.
    torch.testing.assert_close(net.fc(features), scores, rtol=1e-4, atol=1e-5)


def dino_shapes(layers, width, side):
    shapes = {
        "cls_token": (1, 1, width),
        "pos_embed": (1, 1 + side**2, width),
        "mask_token": (1, width),
        "patch_embed.proj.weight": (width, 3, 14, 14),
        "patch_embed.proj.bias": (width,),
        "norm.weight": (width,),
        "norm.bias": (width,),
    }
    block = {
        "norm1": (width,),
        "norm2": (width,),
        "attn.qkv": (3 * width, width),
        "attn.proj": (width, width),
        "mlp.fc1": (4 * width, width),
        "mlp.fc2": (width, 4 * width),
    }
    for i in range(layers):
        for name, shape in block.items():
            shapes[f"blocks.{i}.{name}.weight"] = shape
            shapes[f"blocks.{i}.{name}.bias"] = shape[:1]
        for scale in ("ls1", "ls2"):
            shapes[f"blocks.{i}.{scale}.gamma"] = (width,)
    return shapes


def dino(state, x, layers, heads):
    """DINOv2's forward pass, written out from the paper: pre-norm, layer scale, class token."""
    width = 64 * heads

    def norm(y, name):
        return F.layer_norm(y, (width,), state[f"{name}.weight"], state[f"{name}.bias"], 1e-6)

    def linear(y, name):
        return F.linear(y, state[f"{name}.weight"], state[f"{name}.bias"])

    x = F.conv2d(x, state["patch_embed.proj.weight"], state["patch_embed.proj.bias"], stride=14)
    x = x.flatten(2).transpose(1, 2)
    x = torch.cat([state["cls_token"].expand(len(x), -1, -1), x], 1) + state["pos_embed"]
    for i in range(layers):
        block = f"blocks.{i}."
        qkv = linear(norm(x, f"{block}norm1"), f"{block}attn.qkv")
        q, k, v = qkv.reshape(len(x), -1, 3, heads, 64).permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        x = x + state[f"{block}ls1.gamma"] * linear(seen, f"{block}attn.proj")
        hidden = F.gelu(linear(norm(x, f"{block}norm2"), f"{block}mlp.fc1"))
        x = x + state[f"{block}ls2.gamma"] * linear(hidden, f"{block}mlp.fc2")
    return norm(x, "norm")[:, 0]


def test_dinov2_is_the_published_network(tmp_path):
    state = random_values(dino_shapes(12, 384, 3))
    digest = saved(tmp_path / "w.pth", state)
    extractor = DINOv2Features(name="vits14", weights=tmp_path / "w.pth", size=42)
    features = extractor.features(images(), NOTHING, CPU)
    assert features.shape == (3, 384)
    assert extractor.identity("") == f"dinov2 {digest[:12]} vits14 bicubic antialias 42"
    shown = extractor.network.get_submodule("0")(images())
    expected = dino(state, shown, 12, 6)
    assert expected.std() > 0.01
    # float32 rounding through twelve blocks, against values of the order of the norm's weights.
    torch.testing.assert_close(features, expected, rtol=1e-3, atol=1e-5)


def test_dinov2_positions_of_other_sizes_are_interpolated(tmp_path):
    state = random_values(dino_shapes(12, 384, 37))
    saved(tmp_path / "w.pth", state)
    extractor = DINOv2Features(name="vits14", weights=tmp_path / "w.pth", size=56)
    assert extractor.features(images(), NOTHING, CPU).isfinite().all()
    flat = {**state, "pos_embed": torch.ones(1, 1 + 37**2, 384)}
    saved(tmp_path / "flat.pth", flat)
    other = DINOv2Features(name="vits14", weights=tmp_path / "flat.pth", size=56)
    expected = torch.ones(1, 1 + 4**2, 384)
    found = other.network.get_submodule("1").state_dict()["encoder.pos_embedding"]
    torch.testing.assert_close(found, expected)


def test_inception_is_torch_fidelitys_network(tmp_path, monkeypatch):
    fidelity = pytest.importorskip(
        "torch_fidelity.feature_extractor_inceptionv3", reason="needs torch-fidelity"
    )
    theirs = fidelity.FeatureExtractorInceptionV3
    shapes = {}

    def note_shapes(self, state):
        shapes.update(self.state_dict())

    empty = tmp_path / "empty.pth"
    torch.save({}, empty)
    with monkeypatch.context() as patch:
        patch.setattr(theirs, "load_state_dict", note_shapes)
        with Seed(("net",)).seed_torch():
            theirs("reference", ["2048"], feature_extractor_weights_path=str(empty))
    digest = saved(tmp_path / "w.pth", shapes)
    with pytest.raises(UserError, match="has sha256"):
        InceptionFeatures(weights=tmp_path / "w.pth").features(images(), NOTHING, CPU)
    extractor = InceptionFeatures(weights=tmp_path / "w.pth", sha256=digest)
    features = extractor.features(images(1), NOTHING, CPU)
    resized = f"tensorflow1-bilinear 299 torch-fidelity {version('torch-fidelity')}"
    assert extractor.identity("") == f"inception {digest[:12]} {resized}"
    reference = theirs("r", ["2048"], feature_extractor_weights_path=str(tmp_path / "w.pth"))
    with torch.inference_mode():
        assert torch.equal(features, reference(images(1).expand(-1, 3, -1, -1))[0])
    assert features.shape == (3, 2048)


class Trap:
    """What a pickle could do."""

    def __reduce__(self):
        return exec, ("raise SystemExit('the file was executed')",)


@pytest.mark.parametrize("kind", ["backbone", "dinov2", "inception"])
def test_a_weight_file_is_never_executed(tmp_path, kind):
    path = tmp_path / "w.pth"
    digest = saved(path, {"fc.weight": Trap()})
    if kind == "inception":
        pytest.importorskip("torch_fidelity", reason="needs torch-fidelity")
    settings = {"kind": kind, "weights": path} | ({"sha256": digest} if kind == "inception" else {})
    extractor = TypeAdapter(AnyExtractor).validate_python(settings)
    with pytest.raises(UserError, match="does not hold this network's weights"):
        extractor.features(images(), NOTHING, CPU)


@pytest.mark.parametrize("content", [{"fc.weight": torch.ones(2)}, [1, 2], None])
@pytest.mark.parametrize("kind", ["backbone", "dinov2"])
def test_other_weights_are_refused_in_one_line(tmp_path, kind, content):
    path = tmp_path / "w.pth"
    path.write_bytes(b"not a checkpoint") if content is None else torch.save(content, path)
    extractor = TypeAdapter(AnyExtractor).validate_python({"kind": kind, "weights": path})
    with pytest.raises(UserError, match=r"metrics\.features\.weights: .*does not hold") as error:
        extractor.features(images(), NOTHING, CPU)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("kind", ["backbone", "dinov2", "inception"])
def test_missing_weights_are_never_fetched_but_named(tmp_path, monkeypatch, kind):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    extractor = TypeAdapter(AnyExtractor).validate_python(kind)
    with pytest.raises(UserError, match=r"fetch https://.*metrics\.features=oracle"):
        extractor.identity("")


def test_cached_weights_are_found_under_either_name(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    path = tmp_path / "checkpoints" / "pt_inception-2015-12-05-6726825d.pth"
    path.write_bytes(b"weights")
    digest = hashlib.sha256(b"weights").hexdigest()
    assert InceptionFeatures(sha256=digest).identity("").startswith(f"inception {digest[:12]}")
