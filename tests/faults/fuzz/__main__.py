"""A campaign against one reader; see __init__.py."""

from __future__ import annotations

import hashlib
import sys
import tempfile
import time
import warnings
from contextlib import nullcontext
from pathlib import Path

try:
    import atheris  # pyright: ignore[reportMissingImports]
except ImportError:
    atheris = None

WATCHED = ["imgcollapse", "PIL", "ruamel", "zipfile"]
"""Packages whose branches lead a guided campaign; it must be told before they are imported."""

with atheris.instrument_imports(include=WATCHED) if atheris else nullcontext():
    from .runs import RUNS
    from .targets import FILES, put

TARGETS = FILES | RUNS


def main() -> None:
    """Fuzz the target that is named for as long as is said."""
    if len(sys.argv) != 3 or sys.argv[1] not in TARGETS:
        sys.exit(f"python -m tests.faults.fuzz TARGET SECONDS, TARGET one of {', '.join(TARGETS)}")
    name, seconds = sys.argv[1], float(sys.argv[2])
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        (guided if atheris else unguided)(name, seconds, Path(folder))


def tried(name: str, data: bytes, folder: Path) -> None:
    """Put bytes to a reader; what it must not do is kept as a finding, and ends the campaign."""
    try:
        put(TARGETS[name], data, folder)
    except Exception:
        found = Path(f"finding-{name}-{hashlib.sha256(data).hexdigest()[:12]}")
        found.write_bytes(data)
        print(f"{found}: {len(data)} bytes", file=sys.stderr)
        raise


def guided(name: str, seconds: float, folder: Path) -> None:
    """With libFuzzer, which keeps what reaches code that nothing before has reached."""
    seeds, place = folder / "seeds", folder / "place"
    for each in (seeds, place):
        each.mkdir()
    valid = TARGETS[name].seeds()
    for i, data in enumerate(valid):
        (seeds / str(i)).write_bytes(data)
    longest = max(8192, *map(len, valid))
    # A run's readers read all of it: a file more brings no new branch, and is a seed all the same.
    options = [f"-max_total_time={seconds:.0f}", f"-max_len={longest}", "-len_control=0"]
    options += ["-keep_seed=1", "-rss_limit_mb=4096", "-timeout=60", "-print_final_stats=1"]
    options += [str(seeds)]
    atheris.Setup([sys.argv[0], *options], lambda data: tried(name, data, place))
    atheris.Fuzz()


def unguided(name: str, seconds: float, folder: Path) -> None:
    """Without atheris: hypothesis draws, one after another."""
    from hypothesis import HealthCheck, given, settings

    from .mutation import mutated

    end, count = time.monotonic() + seconds, 0
    while time.monotonic() < end:

        @settings(
            max_examples=2000, deadline=None, database=None, suppress_health_check=list(HealthCheck)
        )
        @given(mutated(TARGETS[name].seeds()))
        def campaign(data: bytes) -> None:
            nonlocal count
            if time.monotonic() < end:
                count += 1
                tried(name, data, folder)

        campaign()
    print(f"{name}: {count:,} inputs in {seconds:.0f} s, without guidance")


if __name__ == "__main__":
    main()
