"""imgcollapse: a laboratory for image generators that are trained on their own samples.

A lineage is a chain of generations. Generation 0 is real images; generation g is what the g-th
model drew. A regime picks each model's training set from everything born before it; an oracle,
trained once on real images, names what the models draw; the census counts the names.

The map of the house, from the door to the cellar:

    cli/            one verb per command
    validate/       published laws, theory and this program side by side
    bench/          speed, against what a user would otherwise run
    doctor/         what is wrong with this machine, and how to mend it
    chaos/          a fault drill: kill a study, damage it, compare with an unbroken twin
    report/         the page, the curves, the vanishing grid
    review/         the page on which people keep, reject and name samples
    verification/   hashes and replays: whether a run is what it says
    export.py       a trained DDPM as a diffusers pipeline
    evaluation/     the census and all metrics of anybody's images
    sweeps/         many studies side by side, in processes of this machine or a Ray cluster
    launch.py       begin or resume a study
    forecast/       what a study will take, before it starts
    loop.py         one lineage, top to bottom
    gate.py         a study's filters at work on a lineage
    laboratory.py   what all lineages of a study share, and how they are measured
    progress.py     how far the work is
    prepare.py      a study's device, real images and oracle
    run_folder.py   a study's folder: its record, its oracle, its lineages
    pruning.py      removing what a study's retention does not keep
    lineage.py      a lineage's folder: commit, resume, read back
    config.py       reading a study from YAML
    distributed.py  what all processes of a job do together
    chance.py       what chance alone would do to a study's classes
    study.py        what a study is
    tables.py       rows of census and metrics as tables
    data/           sources of real images, long tails, disjoint splits
    generators/     vae, ddpm, autoregressive, gaussian, mixture, resample
    regimes.py      what each model is trained on
    labels.py       what a conditional model is asked for
    oracle/         the frozen classifier
    census/         class frequencies with intervals, detection limits, extinction
    metrics/        distances to real images, precision, recall, diversity, memorisation, words
    curation/       which samples go back into the pool
    drift/          chance or the model: Wright-Fisher, selection, effective population size
    core/           images, seeds, the archive, the pool, storage, what the rooms promise each other

From Python:

    import imgcollapse as ic

    run = ic.run("configs/demo.yaml", out="runs/demo")
    run.census  # a DataFrame
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from imgcollapse.config.loader import load_study
    from imgcollapse.config.study import Study
    from imgcollapse.core.errors import UserError
    from imgcollapse.core.images import Images
    from imgcollapse.experiment.runner import run
    from imgcollapse.report import write_report
    from imgcollapse.runs.lineage_dir import Lineage
    from imgcollapse.runs.run_dir import Run
    from imgcollapse.sweeps import Sweep, sweep
    from imgcollapse.tools.evaluate import Evaluation, evaluate
    from imgcollapse.tools.verify import Verification, verify

__all__ = [
    "Evaluation",
    "Images",
    "Lineage",
    "Run",
    "Study",
    "Sweep",
    "UserError",
    "Verification",
    "evaluate",
    "load_study",
    "run",
    "sweep",
    "verify",
    "write_report",
]

_HOME = {
    "Evaluation": "tools.evaluate",
    "Images": "core.images",
    "Lineage": "runs.lineage_dir",
    "Run": "runs.run_dir",
    "Study": "config.study",
    "Sweep": "sweeps",
    "UserError": "core.errors",
    "Verification": "tools.verify",
    "evaluate": "tools.evaluate",
    "load_study": "config.loader",
    "run": "experiment.runner",
    "sweep": "sweeps",
    "verify": "tools.verify",
    "write_report": "report",
}


def __getattr__(name: str) -> Any:
    # torch and diffusers take seconds to import; `imgcollapse --help` should not wait for them.
    if name not in _HOME:
        raise AttributeError(f"module 'imgcollapse' has no attribute {name!r}")
    return getattr(import_module(f"imgcollapse.{_HOME[name]}"), name)
