"""Alembic projects in a folder, without a database, and the examples of docs/lint.md."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from memstore.migrations.lint import lint_revisions
from tests.support import ROOT

DOCS = (ROOT / "docs" / "lint.md").read_text()
BLOCK = r"```python\n(.*?)```"
(HEADER,) = re.findall(BLOCK, DOCS.partition("## Rules")[2].partition("###")[0], re.DOTALL)

INI = "[alembic]\nscript_location = %(here)s/migrations\nprepend_sys_path = %(here)s\npath_separator = os\n"

ENV = """
from alembic import context

from memstore.migrations import operations

operations.register()
context.configure(
    dialect_name="postgresql",
    dialect_opts={"paramstyle": "named"},
    literal_binds=True,
    transaction_per_migration=True,
)
with context.begin_transaction():
    context.run_migrations()
"""

HARMLESS = "op.execute(\"COMMENT ON TABLE tools IS 'what agents call'\")"


@dataclass(frozen=True)
class Example:
    """A revision of docs/lint.md, bad or good in the sense of one rule."""

    code: str
    good: bool
    text: str

    @property
    def name(self) -> str:
        return f"{self.code}-{'good' if self.good else 'bad'}"


def examples() -> list[Example]:
    """Return all examples, in order."""
    sections = re.split(r"^### (\S+).*$", DOCS, flags=re.MULTILINE)[1:]
    found = []
    for code, section in zip(sections[::2], sections[1::2], strict=True):
        for good in (False, True):
            (text,) = re.findall(rf"^{'Good' if good else 'Bad'}:\n\n{BLOCK}", section, re.DOTALL | re.MULTILINE)
            found.append(Example(code, good, text))
    return found


def complete(text: str, revision: str, down_revision: str | None) -> str:
    """Return a revision with what a text leaves out: the header of the docs, its ids, and the other direction."""
    header = re.sub(
        r'revision = "0002_tools"\ndown_revision = .*',
        f"revision = {revision!r}\ndown_revision = {down_revision!r}",
        HEADER,
    )
    for name in re.findall(r"^(\w+) = ", text, re.MULTILINE):
        header = re.sub(rf"^{name} = .*\n", "", header, flags=re.MULTILINE)
    others = [
        f"\n\ndef {direction}() -> None:\n    {HARMLESS}\n"
        for direction in ("upgrade", "downgrade")
        if f"def {direction}(" not in text
    ]
    return f'"""A revision."""\n{header}\n{text}{"".join(others)}'


def revision_id(text: str, otherwise: str) -> str:
    """Return the id that a text gives its revision."""
    found = re.search(r'^revision = "(.*)"', text, re.MULTILINE)
    return found[1] if found else otherwise


def in_upgrade(body: str) -> str:
    """Return an upgrade() of some lines."""
    return "def upgrade() -> None:\n    {}\n".format(body.replace("\n", "\n    "))


def codes(folder: Path, text: str, ignore: Iterable[str] = ()) -> str:
    """Lint a file, and return the codes of what is found, in order: each as often as it is said to be on its line."""
    path = folder / "revision.py"
    path.write_text(complete(text, "0002_tools", "0001_start"))
    found = lint_revisions([str(path)], distance="cosine", ignore=ignore)
    times = ((each, re.search(r"\(and ([\d,]+) more on this line\)$", each.message)) for each in found.findings)
    return " ".join(sorted(each.code for each, more in times for _ in range(1 + int(more[1] if more else 0))))


def write_project(folder: Path, *texts: str, env: str = ENV, tests: bool = False) -> dict[str, str]:
    """Write a project with a chain of revisions, and return their texts by id."""
    versions = folder / "migrations" / "versions"
    versions.mkdir(parents=True)
    (folder / "alembic.ini").write_text(INI)
    (folder / "migrations" / "env.py").write_text(env)
    (folder / "app").mkdir()
    (folder / "app" / "models.py").write_text('STATES = ("new", "tried")\n')
    (folder / "tests").mkdir()
    written: dict[str, str] = {}
    for revision, text in _chain(texts):
        down = next(reversed(written), None)
        written[revision] = text
        (versions / f"{revision}.py").write_text(complete(text, revision, down))
        if tests:
            (folder / "tests" / f"test_{revision}.py").write_text("")
    return written


def _chain(texts: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    for number, text in enumerate(texts):
        yield revision_id(text, f"{number:04}_change"), text
