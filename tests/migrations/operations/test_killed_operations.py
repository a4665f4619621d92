from __future__ import annotations

import re
from typing import Any

import pytest
import sqlalchemy as sa

from tests.migrations.operations.revision import Body, Project

AUTHORS = (
    "CREATE TABLE authors (name text PRIMARY KEY)",
    "INSERT INTO authors SELECT DISTINCT author FROM notes",
)
STATE = """
    SELECT conname::text, convalidated::text, pg_get_constraintdef(oid), obj_description(oid, 'pg_constraint')
    FROM pg_constraint WHERE conrelid = 'notes'::regclass
    UNION ALL SELECT attname::text, attnotnull::text, NULL, NULL
    FROM pg_attribute WHERE attrelid = 'notes'::regclass AND attnum > 0
    UNION ALL SELECT indexrelid::regclass::text, indisvalid::text, pg_get_indexdef(indexrelid), NULL
    FROM pg_index WHERE indrelid = 'notes'::regclass
    UNION ALL SELECT 'done', count(length)::text, NULL, NULL FROM notes
    ORDER BY 1, 3
"""
WRITES = re.compile(r"\s*(COMMIT|ALTER|CREATE|COMMENT|DROP|WITH)\b")


def is_killed(project: Project, body: Body, after: int) -> bool:
    """Run a revision whose connection is lost after so many statements that write, if it has as many."""
    seen = 0

    def count(connection: sa.Connection, _cursor: Any, statement: str, *_others: Any) -> None:
        nonlocal seen
        seen += bool(WRITES.match(statement))
        if seen > after:
            connection.connection.driver_connection.close()  # type: ignore[union-attr]

    sa.event.listen(project.engine, "before_cursor_execute", count)
    try:
        project.migrate(body)
    except sa.exc.SQLAlchemyError:
        if seen <= after:
            raise
    finally:
        sa.event.remove(project.engine, "before_cursor_execute", count)
    return seen > after


MIGRATIONS: dict[str, tuple[Body, Body]] = {
    "check": (
        lambda op: op.add_check_safely("ck", "notes", "id > 0"),
        lambda op: op.drop_constraint_safely("ck", "notes"),
    ),
    "foreign key": (
        lambda op: op.add_foreign_key_safely("fk", "notes", "authors", ["author"], ["name"]),
        lambda op: op.drop_constraint_safely("fk", "notes"),
    ),
    "unique": (
        lambda op: op.add_unique_safely("uq", "notes", ["body"]),
        lambda op: op.drop_constraint_safely("uq", "notes"),
    ),
    "not null": (
        lambda op: op.set_not_null_safely("notes", "body"),
        lambda op: op.drop_not_null_safely("notes", "body"),
    ),
    "backfill": (
        lambda op: op.backfill("notes", "length = length(body)", where="length IS NULL", batch_rows=120),
        lambda op: op.execute("UPDATE notes SET length = NULL"),
    ),
}


@pytest.mark.soak
@pytest.mark.parametrize(("up", "down"), MIGRATIONS.values(), ids=MIGRATIONS)
def test_killed_between_any_two_statements_it_can_be_run_again(project: Project, up: Body, down: Body) -> None:
    project.run(*AUTHORS)
    before = project.ask(STATE)
    project.migrate(up)
    after = project.ask(STATE)
    assert after != before
    project.migrate(down)
    kills = 0
    while is_killed(project, up, kills):
        project.migrate(up)
        assert project.ask(STATE) == after, kills
        project.migrate(down)
        assert project.ask(STATE) == before, kills
        kills += 1
    assert kills >= 3
