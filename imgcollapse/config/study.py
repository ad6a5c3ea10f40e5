"""Schema of a study's YAML file."""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from imgcollapse.core.components import Setting, choices_of, import_class
from imgcollapse.core.device import Precision
from imgcollapse.core.errors import UserError
from imgcollapse.core.images import LabelsOnly
from imgcollapse.core.lineage_images import LineageImages, TrainingSet, training_sets
from imgcollapse.core.seeds import Seed
from imgcollapse.curation import Curation, simulated_selection
from imgcollapse.data import Data, Exponential, LongTail, RealData, Splits, split
from imgcollapse.data.base import SourceData
from imgcollapse.generators import AnyGenerator
from imgcollapse.label_policy import AnyPolicy, TrainingMarginal
from imgcollapse.metrics import MetricSettings
from imgcollapse.oracle import CNN, AnyOracle
from imgcollapse.regimes import AnyRegime, Replace

Keep = Literal["all"] | Annotated[int, Field(ge=1)]
"""All generations, or the latest N."""

_ALL = "oracle", "first_model", "result", "cost"


def _importable(paths: tuple[str, ...]) -> tuple[str, ...]:
    """Returns import paths of classes; a section's own type is checked by the report."""
    for path in paths:
        import_class(path, object)
    return paths


class Retention(BaseModel):
    """The number of latest generations that keep their samples, and their models.

    It changes no result: counts, metrics and grids of all generations stay, and generation 0 whole.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    samples: Keep = "all"
    models: Keep = "all"

    def expired(self, g: int) -> int:
        """The earliest generation that may lose something once generation g is there."""
        keeps = [keep for keep in (self.samples, self.models) if keep != "all"]
        return g - max(keeps, default=-1)


class ReportSettings(BaseModel):
    """Settings of the report page."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    # Import paths `module:Class` of sections of your own; see docs/extending.md.
    sections: Annotated[tuple[str, ...], AfterValidator(_importable)] = ()


class Study(BaseModel):
    """The settings of a study, each with metadata on what it affects."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    # Names every random draw; lineages differ by their number alone.
    seed: Annotated[int, Field(ge=0), Setting(("oracle", "first_model", "result"))] = 0
    # Independent repetitions.
    lineages: Annotated[int, Field(ge=1, le=999), Setting(("result",))] = 1
    # Models trained one after another, after the real generation 0.
    generations: Annotated[int, Field(ge=1, le=999), Setting(("result",), ("run",))] = 8
    # Images drawn from each model; none means as many as the real training set has.
    samples: Annotated[Annotated[int, Field(ge=1)] | None, Setting(("result", "cost"))] = None
    data: Annotated[Data, Setting(_ALL, ("evaluate",))]
    longtail: Annotated[LongTail, Setting(_ALL)] = Exponential()
    splits: Annotated[Splits, Setting(_ALL)] = Splits()
    generator: Annotated[AnyGenerator, Setting(("first_model", "result", "cost"))]
    regime: Annotated[AnyRegime, Setting(("result",))] = Replace()
    curation: Annotated[Curation, Setting(("result",))] = ()
    # The labels that a conditional model is asked for.
    labels: Annotated[AnyPolicy, Setting(("result",))] = TrainingMarginal()
    oracle: Annotated[AnyOracle, Setting(("oracle", "result", "cost"))] = CNN()
    metrics: Annotated[MetricSettings, Setting(("measurement", "cost"), ("evaluate",))] = (
        MetricSettings()
    )
    retention: Annotated[Retention, Setting(("disk",), ("run",))] = Retention()
    report: Annotated[ReportSettings, Setting(("disk",), ("run",))] = ReportSettings()
    device: Annotated[str, Setting(_ALL, ("evaluate",))] = "auto"
    precision: Annotated[Precision, Setting(_ALL, ("evaluate",))] = "auto"
    # CPU threads; none leaves torch's choice. Other counts give other bits.
    threads: Annotated[Annotated[int, Field(ge=1)] | None, Setting(_ALL, ("evaluate",))] = None
    # Between two checkpoints of a training, at least; 0 keeps every step. No result depends on it.
    checkpoint_seconds: Annotated[float, Field(ge=0), Setting(("cost",), ("run",))] = 60.0

    @model_validator(mode="after")
    def _labels_are_asked_for(self) -> Study:
        if not self.generator.conditional and self.labels != TrainingMarginal():
            raise ValueError(
                f"labels: {self.labels.kind} is asked of nobody; set generator.conditional: true, "
                "or leave labels out"
            )
        return self

    @model_validator(mode="after")
    def _what_is_trained_on_is_kept(self) -> Study:
        kept, reach = self.retention.samples, self.regime.reach
        if kept != "all" and (reach is None or kept < reach):
            raise ValueError(
                f"retention.samples: {kept} would remove samples that regime {self.regime.kind} "
                "trains on; set it to all, or choose a regime that looks back no further"
            )
        return self

    def real(self, source: SourceData | None = None) -> RealData:
        """Load the source unless given, and split it; a UserError if it has too few images."""
        pool, seed = source or self.data.checked_load(), Seed((self.seed, "split"))
        data = split(
            pool,
            self.longtail,
            self.splits,
            seed,
            fresh=lambda n: self.regime.fresh_used(n, self.generations),
        )
        for judge in self.curation:
            judge.check(data.classes)
        self._check_samples(len(data.train))
        self._check_pool(data)
        return data

    def _check_samples(self, n: int) -> None:
        drawn, used = self.samples or n, self.regime.samples_used(n)
        kept, enough = drawn, used
        for judge in self.curation:  # each keeps whole images
            kept = int(kept * judge.keep_fraction() + 1e-9)
        for judge in reversed(self.curation):
            enough = ceil(enough / judge.keep_fraction() - 1e-9)
        if self.generations > 1 and kept < used:
            left = f", of which curation keeps {kept}," if kept < drawn else ""
            raise UserError(
                f"samples: {drawn}{left} is fewer than the {used} that regime {self.regime.kind} "
                f"trains on; set samples to at least {enough}"
            )

    def planned_training_sets(self, real: RealData, seed: Seed, last: int) -> Iterator[TrainingSet]:
        """Training sets of models 1 to `last`, as far as they are known before there are samples.

        A filter that looks at images is taken to keep as many as it does whatever they show.
        """
        images, n = LineageImages(real.train, real.reserve), self.samples or len(real.train)
        # A user's own regime may look at labels.
        samples = LabelsOnly(self.labels.draw(real.shares, real.shares, n, seed / "labels"))

        def curate(g: int, seed: Seed) -> None:
            rows = simulated_selection(self.curation, g, images.size(g), seed)
            images.restrict_to_rows(g, rows)

        for _, _, chosen in training_sets(self.regime, images, lambda g: seed / g, curate, last):
            yield chosen
            images.append(samples)

    def _check_pool(self, real: RealData) -> None:
        """Refuses filters that leave nothing to train on, whatever the images show."""
        if self.generations == 1 or not self.curation:
            return
        *_, second = self.planned_training_sets(real, Seed((self.seed, "pool")), 2)
        if not len(second):
            kinds = ", ".join(str(f.kind) for f in self.curation)
            raise UserError(
                f"curation: {kinds} removes all that regime {self.regime.kind} would train the "
                "second model on; choose a regime that brings in real images, or a weight above 0"
            )

    def resolved(self) -> dict[str, Any]:
        """The study as plain JSON values, defaults filled in."""
        found = self.model_dump(mode="json")
        if not self.report.sections:  # run.json of most studies does not have it
            del found["report"]
        return found


def setting(key: str) -> Setting:
    """Returns the metadata of a setting by its dotted key, such as "data.root".

    A setting of a component that has none of its own has that of the component.
    """
    found, models = Setting(), [Study]
    for name in key.split("."):
        fields = [model.model_fields[name] for model in models if name in model.model_fields]
        marks = [mark for field in fields for mark in field.metadata if isinstance(mark, Setting)]
        found = marks[0] if marks else found
        models = [choice for model in models for choice in choices_of(model, name)]
    return found
