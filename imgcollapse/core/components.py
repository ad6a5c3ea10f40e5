"""Components of a study: settings, and the work they describe, in one frozen model.

A component is chosen in YAML by its `kind`: the short name of a built-in one, or the import path
(`my_package.flow:Flow`) of a class the user wrote. There is no registry.
"""

from __future__ import annotations

import hashlib
import importlib
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    GetCoreSchemaHandler,
    SerializeAsAny,
    Tag,
)
from pydantic_core import CoreSchema, PydanticCustomError

from imgcollapse.core.sanitize import first_line

C = TypeVar("C")
IMPORTED = "imported"

Effect = Literal["oracle", "first_model", "result", "measurement", "cost", "disk"]


@dataclass(frozen=True)
class Setting:
    """Metadata of a study's setting, as an annotation of its field."""

    affects: tuple[Effect, ...] = ()
    """What depends on its value: the oracle; the first model of a lineage; the later generations or
    their number (result); how they are measured; time and memory (cost); or files on disk alone."""
    may_change: tuple[Literal["run", "evaluate"], ...] = ()
    """Commands that accept another value than a run folder has."""


class Component(BaseModel):
    """Base class of every component: immutable, and an unknown setting is an error.

    `kind` is its name in YAML; a built-in component narrows it to one literal.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    kind: Any


class ComponentUnion:
    """Annotation of a field that holds one of several components, or a user's own by import path.

        AnyRegime = Annotated[Regime, ComponentUnion(Replace, Accumulate)]

    A bare string is a component with its default settings: `regime: replace`. An imported
    component must extend the annotated one.
    """

    def __init__(self, *parts: type[Component]) -> None:
        self.components = {part.model_fields["kind"].default: part for part in parts}

    def __get_pydantic_core_schema__(
        self, base: type[Component], handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """Builds a union discriminated by `kind`, so that an error names its component."""
        load = BeforeValidator(lambda value: _imported(value, base))
        choices: Any = Annotated[SerializeAsAny[base], load, Tag(IMPORTED)]
        for kind, part in self.components.items():
            choices |= Annotated[part, Tag(kind)]
        known = f"one of {', '.join(self.components)}, or an import path module:Class"
        union = Discriminator(_tag, custom_error_type="kind", custom_error_message=known)
        return handler.generate_schema(Annotated[choices, union, BeforeValidator(_spread)])


def _spread(value: Any) -> Any:
    return {"kind": value} if isinstance(value, str) else value


def _tag(value: Any) -> str:
    kind = value.get("kind") if isinstance(value, Mapping) else getattr(value, "kind", None)
    return IMPORTED if isinstance(kind, str) and ":" in kind else str(kind)


def _imported(value: Any, base: type[Component]) -> Any:
    if not isinstance(value, Mapping):
        return value
    return complete(import_class(value["kind"], base)).model_validate(value)


def complete(part: type[C]) -> type[C]:
    """Returns a user's class; a PydanticCustomError if it lacks a method of its base class."""
    if missing := sorted(getattr(part, "__abstractmethods__", ())):
        methods = {"part": part.__name__, "methods": ", ".join(missing)}
        raise PydanticCustomError("import", "{part} has no {methods}; define it there", methods)
    return part


def import_class(path: str, base: type[C]) -> type[C]:
    """The class at an import path `module:Class`; a PydanticCustomError if it is no `base`."""
    module, _, name = path.partition(":")
    if not name:
        raise PydanticCustomError("import", "is not an import path; write module:Class")
    # A config may name code that its reader has installed, but not the standard library, which is
    # on every machine and has no components.
    steps = module.split(".")
    if steps[0] in sys.stdlib_module_names or steps[-1] == "__main__":
        raise PydanticCustomError(
            "import",
            "is not a {base}: {module} is Python's",
            {"base": base.__name__, "module": module},
        )
    try:
        part = getattr(importlib.import_module(module), name)
    except (Exception, SystemExit) as error:  # user code may raise anything
        why = {"why": first_line(error)}
        raise PydanticCustomError(
            "import",
            "cannot be imported: {why}; install it, or run the command in its folder",
            why,
        ) from None
    if not (isinstance(part, type) and issubclass(part, base)):
        raise PydanticCustomError("import", "is not a {base}", {"base": base.__name__})
    return part


def own_sources(settings: Any) -> dict[str, str]:
    """12 hexadecimal digits of a hash over the source of each part of one's own, by its module.

    `settings` are a study's, as JSON has them. Of a package all files count; of a single file also
    those beside it that it imports.
    """
    if isinstance(settings, Mapping):
        settings = list(settings.values())
    if isinstance(settings, list):
        return {name: hashed for each in settings for name, hashed in own_sources(each).items()}
    if not (isinstance(settings, str) and re.fullmatch(r"[^\W\d][\w.]*:[^\W\d]\w*", settings)):
        return {}
    name = settings.partition(":")[0]
    top = sys.modules.get(name.partition(".")[0])
    if name not in sys.modules or top is None or getattr(top, "__file__", None) is None:
        return {}
    first, hashed = Path(str(top.__file__)), hashlib.sha256()
    own = first.parent.rglob("*.py") if hasattr(top, "__path__") else _files_beside(top, set())
    for path in sorted(own):
        hashed.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return {name: hashed.hexdigest()[:12]}


def _files_beside(module: ModuleType, seen: set[Path]) -> set[Path]:
    """The file of a module, and of those in its folder that it imports, or takes names from."""
    here = Path(str(module.__file__))
    seen.add(here)
    for value in vars(module).values():
        name = getattr(value, "__name__" if isinstance(value, ModuleType) else "__module__", None)
        other = sys.modules.get(name) if isinstance(name, str) else None
        path = Path(str(getattr(other, "__file__", None)))
        if other and path.parent == here.parent and path not in seen:
            _files_beside(other, seen)
    return seen


def choices_of(model: type[BaseModel], field: str) -> Sequence[type[BaseModel]]:
    """Returns the models that a field may hold, built-in ones if it holds a component."""
    if field not in model.model_fields:
        return []
    info = model.model_fields[field]
    for mark in info.metadata:
        if isinstance(mark, ComponentUnion):
            return list(mark.components.values())
    held = get_args(info.annotation) or [info.annotation]
    return [one for one in held if isinstance(one, type) and issubclass(one, BaseModel)]
