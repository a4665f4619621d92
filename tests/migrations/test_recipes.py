"""docs/migrations.md: each recipe under Good runs up, down and up again, and each under Bad is what the linter says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import URL

from memstore.migrations.lint import lint_revisions
from tests.migrations.operations.revision import Project
from tests.support import ROOT

TABLE = """
    CREATE TABLE notes (
        id int PRIMARY KEY GENERATED ALWAYS AS IDENTITY, author text, body text, source text, embedding vector(3)
    )
"""
ROWS = """
    INSERT INTO notes (author, body, source, embedding)
    SELECT 'author ' || n % 10, repeat('x', n), CASE WHEN n % 3 > 0 THEN 'import ' || n END, ARRAY[n, 1, 2]::vector
    FROM generate_series(1, 300) AS n
"""
OBJECTS = (
    "CREATE EXTENSION vector",
    TABLE,
    ROWS,
    "CREATE INDEX ix_notes_author ON notes (author)",
    "CREATE FUNCTION rank(n int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT n'",
)
HEADER = """\"\"\"A recipe.\"\"\"

import sqlalchemy as sa
from alembic import op

revision = "{revision}"
down_revision = {before!r}
"""


@dataclass(frozen=True)
class Recipe:
    title: str
    code: str
    bad: str
    good: tuple[str, ...]


def recipes() -> Iterator[Recipe]:
    text = (ROOT / "docs" / "migrations.md").read_text(encoding="utf-8")
    text = text.partition("## Recipes")[2].partition("\n## ")[0]
    for section in text.split("\n### ")[1:]:
        bad, good = section.split("**Good**")
        code = re.search(r"\*\*Bad\*\* \(([\w-]+)\)", bad)
        assert code is not None, section
        blocks = [re.findall(r"```python\n(.*?)```", part, re.DOTALL) for part in (bad, good)]
        assert len(blocks[0]) == 1
        assert blocks[1]
        yield Recipe(section.splitlines()[0], code[1], blocks[0][0], tuple(blocks[1]))


RECIPES = {recipe.title: recipe for recipe in recipes()}


def test_there_is_a_recipe_for_each_change() -> None:
    assert len(RECIPES) == 7


@pytest.fixture
def project(empty_url: URL) -> Project:
    project = Project(empty_url)
    project.run(*OBJECTS)
    return project


@pytest.mark.parametrize("title", RECIPES)
def test_what_is_good_goes_up_and_down_and_up(project: Project, title: str) -> None:
    steps = [_functions(block) for block in RECIPES[title].good]
    before = state(project)
    for step in steps:
        project.migrate(step["upgrade"])
    after = state(project)
    assert after != before
    for step in reversed(steps):
        project.migrate(step["downgrade"])
    assert state(project) == before
    for step in steps:
        project.migrate(step["upgrade"])
    assert state(project) == after


@pytest.mark.parametrize("title", RECIPES)
def test_what_is_bad_is_what_the_linter_says(tmp_path: Path, title: str) -> None:
    recipe = RECIPES[title]
    assert recipe.code in codes(write(tmp_path / "bad", (recipe.bad,)))
    assert codes(write(tmp_path / "good", recipe.good)) == set()


def write(folder: Path, blocks: tuple[str, ...]) -> Path:
    folder.mkdir()
    for number, block in enumerate(blocks):
        before = f"recipe_{number - 1}" if number else None
        text = HEADER.format(revision=f"recipe_{number}", before=before) + block
        (folder / f"recipe_{number}.py").write_text(text, encoding="utf-8")
    return folder


def codes(folder: Path) -> set[str]:
    return {finding.code for finding in lint_revisions([str(folder)]).findings}


def state(project: Project) -> tuple[list[tuple[Any, ...]], ...]:
    """What there is of the table, in any order of its columns, of its rows, and of the function."""
    columns = """SELECT attname::text, format_type(atttypid, atttypmod), attnotnull, pg_get_expr(adbin, adrelid)
        FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
        WHERE attrelid = 'notes'::regclass AND attnum > 0 AND NOT attisdropped ORDER BY 1"""
    indexes = "SELECT indexname::text, indexdef FROM pg_indexes WHERE tablename = 'notes' ORDER BY 1"
    triggers = "SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE tgrelid = 'notes'::regclass AND NOT tgisinternal"
    constraints = (
        "SELECT conname::text, pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = 'notes'::regclass"
    )
    queries = (
        columns,
        indexes,
        triggers,
        constraints,
        "SELECT to_jsonb(notes) FROM notes ORDER BY id",
        "SELECT rank(7)",
    )
    return tuple(project.ask(query) for query in queries)


def _functions(block: str) -> dict[str, Any]:
    """Run a recipe's code, and return functions that take `op`, as Alembic's module is for a revision."""
    functions = {}
    for name in ("upgrade", "downgrade"):

        def body(op: Any, name: str = name) -> None:
            scope: dict[str, Any] = {"op": op, "sa": sa}
            exec(block, scope)  # noqa: S102 -- the documentation's own code
            scope[name]()

        functions[name] = body
    return functions
