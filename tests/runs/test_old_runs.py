"""A run folder of version 0.1.0, format 4, is opened, verified, reported, and resumed.

`format_4.json` holds a run.json and a manifest as that version wrote them, lists cut short. A new
folder is rewritten to have their keys and settings, and no others.
"""

import json
from hashlib import sha256
from pathlib import Path

import pytest

import imgcollapse as ic
from imgcollapse.report import write_grids, write_report
from imgcollapse.tools.verify import verify

OLD = json.loads(Path(__file__).with_name("format_4.json").read_text(encoding="utf-8"))
VAE = "generator={kind: vae, steps: 3, width: 4, latent: 3, warm_start: true}"
OVERRIDES = [VAE, "device=cpu"]
ANY_KEYS = ("files",)
"""Names of files: which there are depends on the generation."""


def as_old(old, new):
    """The new values under the old keys, in the old order."""
    if isinstance(old, dict):
        return {key: new[key] if key in ANY_KEYS else as_old(old[key], new[key]) for key in old}
    if isinstance(old, list) and old and isinstance(old[0], dict):
        return [as_old(old[0], row) for row in new]
    return new


def write_old(path, record):
    """Writes a record and its checksum as version 0.1.0 did."""
    body = json.dumps(record, indent=2, ensure_ascii=False).removesuffix("\n}").encode()
    digest = sha256(body).hexdigest()
    path.write_bytes(body + f',\n  "checksum": "{digest}"\n}}\n'.encode())


@pytest.fixture
def old_run(config, tmp_path):
    run = ic.run(config, tmp_path / "run", [*OVERRIDES, "generations=1"])
    record = as_old(OLD["run"], run.record) | {"study": OLD["run"]["study"]}
    record["made_with"]["code"] = OLD["run"]["made_with"]["code"]
    write_old(run.path / "run.json", record)
    folder = run.lineages[0].folder(1)
    manifest = json.loads((folder / "manifest.json").read_bytes())
    manifest = as_old(OLD["manifest"], manifest)
    manifest["made_with"]["code"] = OLD["manifest"]["made_with"]["code"]
    write_old(folder / "manifest.json", manifest)
    return run.path


def test_an_old_run_is_opened_verified_and_reported(old_run):
    run = ic.Run.open(old_run)
    assert run.record["study"] == OLD["run"]["study"]
    assert run.lineages[0].generations == 2
    found = verify(old_run, quick=True)
    assert found.wrong == []
    assert "FID" in write_report([old_run]).read_text(encoding="utf-8")
    assert write_grids(old_run, old_run / "grids")


def test_an_old_run_is_resumed_by_the_rule_of_any_other_version(config, old_run):
    record = (old_run / "run.json").read_bytes()
    with pytest.raises(ic.UserError, match=r"code from 5fbdc4d3163b to .*--allow-env-change"):
        ic.run(config, old_run, [*OVERRIDES, "generations=2"])
    assert (old_run / "run.json").read_bytes() == record
    run = ic.run(config, old_run, [*OVERRIDES, "generations=2"], allow_env_change=True)
    assert run.lineages[0].generations == 3
    assert run.record["drifts"][0]["from"] == {"code": "5fbdc4d3163b"}
    # Nothing of the old settings has changed but the number of generations.
    assert run.record["study"] == OLD["run"]["study"] | {"generations": 2}
