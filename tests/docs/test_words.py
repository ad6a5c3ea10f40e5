"""Users and readers meet plain English: no metaphors, American spelling, docstrings with a subject.

The words are looked for in README, docs, config headers, the help of every command, and the
string literals of the package (errors, report text). Names on disk, such as a CSV column, stay.
"""

import ast
import re
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from imgcollapse.cli.app import app

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "imgcollapse"
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "data" / "README.md"])
CONFIGS = sorted((ROOT / "configs").rglob("*.yaml"))

AVOID = {
    r"mend(s|ed|ing)?": "fix",
    r"mush": "unrecognizable images",
    r"heed(s|ed|ing)?": "act on",
    r"by heart": "memorize",
    r"house": "package",
    r"rooms?": "package, space",
    r"told": "say what is meant",
    r"(is|are|were) no (longer )?numbers?( any more)?": "is NaN or infinite",
    r"numbers end(ed)?": "become NaN or infinite",
    r"(is|of) no use": "cannot be used",
    r"sound": "undamaged, valid",
    r"born": "generated",
    r"lives|lived": "runs, is in",
    r"gates?": "filter",
    r"laboratory": "evaluator, program",
    r"kennel": "paper dogs",
    r"sittings?": "session",
    r"twin": "uninterrupted run",
    r"foretold|foretells?|foresees?|foreseen": "predict, estimate",
    r"unbelieved|believed": "validated",
    r"grudg\w*|beware": "plain words",
}
BRITISH = (
    r"\w*colour\w*|\w*neighbour\w*|\w*favour\w*|\w*behaviour\w*|grey\w*|centre\w*|licence\w*|"
    r"\w*(?:recogn|memor|minim|maxim|optim|normal|initial|synchron|summar|general|quant|real|"
    r"visual|organ|util|emphas|categor|standard|random|token|parallel|material|serial)is"
    r"(?:e|es|ed|er|ing|ation)|(?:un|re)?labell(?:ed|ing)|misspelt|spelt|"
    r"learnt|burnt|judgement\w*|artefact\w*|catalogue\w*"
)
ON_DISK = {
    "(unrecognised)",
    "unrecognised",
    "recognised",
    "relabelled",
    "neighbours",
    "born",
    "mend",
    "room",
}
"""Names in run folders, tables and configs that are older than the spelling."""

WORDS = re.compile(rf"\b(?:{'|'.join(AVOID)}|{BRITISH})\b", re.IGNORECASE)
PATH_OR_URL = re.compile(
    r"https?://\S+|\S*[/.]\w+\.(?:py|md|yaml|png|html)\b|\b\w+\.(?:py|md|yaml)\b"
)

OPENINGS = ("What", "Where", "How", "Who", "When", "Which", "That")
MOST_OPENINGS = 60


def found_in(text):
    """The words of a text that users should not meet."""
    plain = PATH_OR_URL.sub(" ", text)
    return [m.group() for m in WORDS.finditer(plain) if not _on_disk(plain, m)]


def _on_disk(text, match):
    """Whether a word is a name on disk: in the list, and marked as code or in parentheses."""
    if match.group() not in ON_DISK:
        return False
    before, after = text[: match.start()][-1:], text[match.end() :][:1]
    return (
        before in {".", *"`([\"'"} or after in {"`", ")", ":"} or text.strip("()") == match.group()
    )


def _id(path):
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=_id)
def test_documents(page):
    lines = enumerate(page.read_text().splitlines(), 1)
    assert [(at, found) for at, line in lines if (found := found_in(line))] == []


@pytest.mark.parametrize("config", CONFIGS, ids=_id)
def test_config_headers(config):
    assert found_in(config.read_text()) == []


@pytest.mark.parametrize("verb", ["", *sorted(get_command(app).commands)])  # pyright: ignore
def test_help_of_commands(verb):
    result = CliRunner().invoke(app, [*verb.split(), "--help"], terminal_width=200)
    assert result.exit_code == 0
    assert found_in(result.output) == []


def _trees():
    for path in sorted(PACKAGE.rglob("*.py")):
        yield path, ast.parse(path.read_text())


def _docstrings(tree):
    """Nodes with their docstrings."""
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(tree):
        if isinstance(node, kinds) and (text := ast.get_docstring(node)):
            yield node, text


def _literals(tree):
    """String literals, but no docstrings and no strings that stand alone."""
    alone = {id(n.value) for n in ast.walk(tree) if isinstance(n, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in alone:
            yield node.lineno, node.value


def test_string_literals_of_the_package():
    bad = [
        f"{_id(path)}:{line}: {found}"
        for path, tree in _trees()
        for line, text in _literals(tree)
        if (found := found_in(text)) and text not in ON_DISK
    ]
    assert bad == []


def test_templates_of_the_page():
    paths = [p for p in sorted(PACKAGE.rglob("*")) if p.suffix in {".j2", ".html"}]
    bad = [
        f"{_id(path)}:{at}: {found}"
        for path in paths
        for at, line in enumerate(path.read_text().splitlines(), 1)
        if (found := found_in(line))
    ]
    assert bad == []


def test_docstrings_have_the_field_s_words():
    bad = [
        f"{_id(path)}:{getattr(node, 'lineno', 1)}: {found}"
        for path, tree in _trees()
        for node, text in _docstrings(tree)
        if (found := found_in(text))
    ]
    assert bad == []


def test_docstrings_begin_with_a_subject():
    bad = [
        f"{_id(path)}:{getattr(node, 'lineno', 1)}: {text.splitlines()[0]}"
        for path, tree in _trees()
        for node, text in _docstrings(tree)
        if text.split()[0] in OPENINGS
    ]
    assert len(bad) <= MOST_OPENINGS, "\n".join(bad)


def test_whether_describes_a_boolean():
    bad = [
        f"{_id(path)}:{getattr(node, 'lineno', 1)}: {text.splitlines()[0]}"
        for path, tree in _trees()
        for node, text in _docstrings(tree)
        if text.startswith("Whether") and not _returns_bool(node)
    ]
    assert bad == []


def _returns_bool(node):
    returns = getattr(node, "returns", None)
    return returns is not None and "bool" in ast.unparse(returns)
