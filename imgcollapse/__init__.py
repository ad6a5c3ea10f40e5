"""imgcollapse studies image generators that are trained on their own samples.

A lineage is a chain of generations. Generation 0 is real images; generation g is the samples of
the g-th model. A regime picks each model's training set from the generations before it. An oracle,
trained once on real images, classifies the samples, and the census estimates class shares.
docs/glossary.md defines the terms; docs/architecture.md follows images and settings through the
code.

Packages; each imports only from those below it:

    cli/             one verb per command, and all terminal output
    tools/           evaluate, review, verify, validate, bench, doctor, fault injection, export
    report/          the report page over one or several runs, and image grids
    sweeps/          many studies side by side, in processes or on a Ray cluster
    experiment/      start or resume a study, the loop over generations, the evaluator
    runs/            the run folder and the lineage folders
    config/          the study's schema, and reading it from YAML
    data/            sources of real images, long tails, disjoint splits
    generators/      vae, ddpm, autoregressive, gaussian, mixture, resample
    regimes.py       each model's training set, as row numbers
    label_policy.py  the labels that a conditional model is asked for
    oracle/          the frozen classifier and its calibration
    census/          class frequencies with intervals, detection limits, extinction
    metrics/         distances to real images, precision, recall, diversity, memorization, words
    curation/        filters: the samples that may enter a training set
    drift/           Wright-Fisher simulation, selection, effective population size
    theory.py        closed-form laws of drift and model collapse, each with its paper
    training/        the training loop
    theory.py        closed-form laws, each with its source
    io/              atomic writes, checksums, schemas, checkpoints, the lock
    parallel/        processes that share one training
    core/            images, seeds, devices, estimates, errors

From Python:

    import imgcollapse as ic

    run = ic.run("configs/demo.yaml", out="runs/demo")
    run.census  # a DataFrame
"""

from importlib import import_module
from importlib.metadata import version
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

_MODULES = {
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
    if name == "__version__":
        return version("imgcollapse")
    if name not in _MODULES:
        raise AttributeError(f"module 'imgcollapse' has no attribute {name!r}")
    return getattr(import_module(f"imgcollapse.{_MODULES[name]}"), name)
