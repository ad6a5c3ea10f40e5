"""Valid input, changed a little: as hypothesis strategies."""

from __future__ import annotations

import json
from collections.abc import Sequence
from copy import deepcopy
from typing import Any

from hypothesis import strategies as st

_EDGES = [bytes(n) for n in (1, 2, 4)] + [b"\xff" * n for n in (1, 2, 4, 8)]
_EDGES += [
    b"\x7f\xff\xff\xff",
    b"\xff\xff\xff\x7f",
    b"\x80\0\0\0",
    b"../",
    b"\0",
    b'"',
    b"[[",
    b"{{",
]


@st.composite
def mutated(draw: st.DrawFn, seeds: Sequence[bytes]) -> bytes:
    """One of the seeds with some bits turned, and parts cut, repeated or written over."""
    data = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(1, 6))):
        if not data:
            break
        at = draw(st.integers(0, len(data) - 1))
        match draw(st.sampled_from(("bit", "byte", "edge", "cut", "drop", "repeat", "insert"))):
            case "bit":
                data[at] ^= 1 << draw(st.integers(0, 7))
            case "byte":
                data[at] = draw(st.integers(0, 255))
            case "edge":
                edge = draw(st.sampled_from(_EDGES))
                data[at : at + len(edge)] = edge
            case "cut":
                del data[at:]
            case "drop":
                del data[at : at + draw(st.integers(1, 64))]
            case "repeat":
                data[at:at] = data[at : at + 64] * draw(st.integers(1, 8))
            case "insert":
                data[at:at] = draw(st.binary(min_size=1, max_size=16))
    return bytes(data)


_WORDS = [
    *(
        "kind",
        "ddpm",
        "vae",
        "replace",
        "digits",
        "cnn",
        "oracle",
        "seed",
        "steps",
        "",
        "..",
        "a:b",
    ),
    *("../x", "/", "~", "~x", "x" * 300, "\u202e", "é", "null", "os:system", "class", "title", "0"),
]
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 300),
    st.sampled_from([2**31, 2**53 - 1, 2**53, 2**64, -(2**63), 10**400]),
    st.floats(),
    st.sampled_from(_WORDS),
    st.text(max_size=20),
)
values = st.recursive(
    scalars,
    lambda below: st.one_of(
        st.lists(below, max_size=4),
        st.dictionaries(st.one_of(st.sampled_from(_WORDS), st.text(max_size=8)), below, max_size=4),
    ),
    max_leaves=8,
)


@st.composite
def near(draw: st.DrawFn, trees: Sequence[Any]) -> Any:
    """One of the trees with some of its values replaced, removed, or others beside them."""
    tree = deepcopy(draw(st.sampled_from(trees)))
    for _ in range(draw(st.integers(1, 4))):
        here = tree
        while True:
            if not (isinstance(here, dict | list) and here):
                break
            keys = list(here) if isinstance(here, dict) else list(range(len(here)))
            key = draw(st.sampled_from(keys))
            below = here[key]
            if isinstance(below, dict | list) and below and draw(st.integers(0, 3)):
                here = below
                continue
            match draw(st.sampled_from(("replace", "replace", "remove", "add"))):
                case "replace":
                    here[key] = draw(values)
                case "remove":
                    del here[key]
                case "add":
                    if isinstance(here, dict):
                        here[draw(st.one_of(st.sampled_from(_WORDS), st.text(max_size=8)))] = draw(
                            values
                        )
                    else:
                        here.append(draw(values))
            break
    return tree


def as_yaml(value: Any) -> str:
    """A tree in YAML's flow style."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{as_yaml(k)}: {as_yaml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(as_yaml, value)) + "]"
    if isinstance(value, float):
        return repr(value).replace("inf", ".inf").replace("nan", ".nan")
    return json.dumps(value)
