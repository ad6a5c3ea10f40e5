"""A part of a study: settings and the work they describe, in one frozen model.

A part is chosen in YAML by its `kind`: a short name of a built-in part, or an import path
(`my_package.flow:Flow`) of a part the user wrote. There is no registry.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

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

C = TypeVar("C")
IMPORTED = "imported"


class Component(BaseModel):
    """Base of every part: immutable, and an unknown setting is an error.

    Attributes:
        kind: the part's name in YAML; a built-in part narrows it to one literal.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    kind: Any


class ComponentUnion:
    """Marks a field that holds one of several built-in parts, or a user's own by import path.

        AnyRegime = Annotated[Regime, OneOf(Replace, Accumulate)]

    A bare string stands for a part with its default settings: `regime: replace`. An imported part
    must extend the annotated one.

    Attributes:
        parts: the built-in parts by kind.
    """

    def __init__(self, *parts: type[Component]) -> None:
        self.components = {part.model_fields["kind"].default: part for part in parts}

    def __get_pydantic_core_schema__(
        self, base: type[Component], handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """A union told apart by `kind`, so that an error names the part it is in."""
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
    return import_class(value["kind"], base).model_validate(value)


def import_class(path: str, base: type[C]) -> type[C]:
    """The class at an import path `module:Class`.

    Raises:
        PydanticCustomError: it cannot be imported, or is not a `base`.
    """
    module, _, name = path.partition(":")
    # A config may name code that its reader has installed, but not start programs that are there
    # on every machine; no part is among them.
    steps = module.split(".")
    if steps[0] in sys.stdlib_module_names or steps[-1] == "__main__":
        raise PydanticCustomError(
            "import",
            "is not a {base}: {module} is Python's",
            {"base": base.__name__, "module": module},
        )
    try:
        part = getattr(importlib.import_module(module), name)
    except (Exception, SystemExit) as error:  # it runs as it is imported, and may do anything
        why = (str(error).splitlines() or [""])[0] or type(error).__name__
        raise PydanticCustomError("import", "cannot be imported: {why}", {"why": why}) from None
    if not (isinstance(part, type) and issubclass(part, base)):
        raise PydanticCustomError("import", "is not a {base}", {"base": base.__name__})
    return part
