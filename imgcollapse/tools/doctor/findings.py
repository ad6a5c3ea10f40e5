"""What a check says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["ok", "remark", "broken"]


@dataclass(frozen=True)
class Problem:
    """One thing that was looked at.

    Attributes:
        topic: what it is.
        verdict: "ok"; "remark" where everything works, if not as well as it could; "broken".
        said: what was found, in a line.
        mend: what to do about it, in a line; empty where nothing is to be done.
    """

    topic: str
    verdict: Verdict
    said: str
    mend: str = ""
