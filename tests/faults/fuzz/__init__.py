"""Bytes and trees near valid ones, put to every reader of this project.

    python -m tests.faults.fuzz                 what can be fuzzed
    python -m tests.faults.fuzz image 600       one reader, for so many seconds

targets.py    the readers of a file, and what must hold whatever they are given
runs.py       the readers of a run folder, one file of which a stranger has changed
mutation.py   valid input, changed: as hypothesis strategies
__main__.py   a campaign: with atheris (libFuzzer, guided by coverage) where it is installed, or
              else without guidance

What a campaign finds is written to the folder it is started in, as finding-TARGET-SHA; it becomes
a test beside those of its reader in tests/faults, with the input in it. atheris needs a compiler or
a wheel for the Python at hand, and is not among the project's dependencies: a virtual environment
of its own will do, with PYTHONPATH set to this checkout and to the site-packages of the project's.
"""
