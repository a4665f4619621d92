from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.operations import MigrateOperation, Operations

from memstore.errors import MigrationError
from memstore.migrations.operations import register
from tests.migrations.operations.revision import Body, Project

MISSPELT: dict[str, Body] = {
    "create index": lambda op: op.create_index_concurrently("ix", "nope", ["author"]),
    "swap index": lambda op: op.swap_index_concurrently("ix", "nope", ["author"]),
    "drop index": lambda op: op.drop_index_concurrently("ix", "nope"),
    "drop constraint": lambda op: op.drop_constraint_safely("ck", "nope"),
    "check": lambda op: op.add_check_safely("ck", "nope", "true"),
    "unique": lambda op: op.add_unique_safely("uq", "nope", ["author"]),
    "foreign key": lambda op: op.add_foreign_key_safely("fk", "nope", "notes", ["id"], ["id"]),
    "not null": lambda op: op.set_not_null_safely("nope", "body"),
    "no not null": lambda op: op.drop_not_null_safely("nope", "body"),
    "backfill": lambda op: op.backfill("nope", "a = 1", where="a IS NULL"),
}


@pytest.mark.parametrize("options", [{}, {"callers_transaction": True}], ids=["own", "caller's"])
@pytest.mark.parametrize("migration", MISSPELT.values(), ids=MISSPELT)
def test_a_table_that_is_not_there_is_named(project: Project, migration: Body, options: dict[str, Any]) -> None:
    with pytest.raises(MigrationError, match="there is no table nope. Name one that is there"):
        project.migrate(migration, **options)


COLUMNS: dict[str, Body] = {
    "create index": lambda op: op.create_index_concurrently("ix", "notes", ["nope"]),
    "check": lambda op: op.add_check_safely("ck", "notes", "nope > 1"),
    "unique": lambda op: op.add_unique_safely("uq", "notes", ["nope"]),
    "foreign key": lambda op: op.add_foreign_key_safely("fk", "notes", "notes", ["nope"], ["id"]),
    "other table": lambda op: op.add_foreign_key_safely("fk", "notes", "nope", ["id"], ["id"]),
    "backfill": lambda op: op.backfill("notes", "nope = 1", where="length IS NULL"),
    "rows to do": lambda op: op.backfill("notes", "length = 1", where="nope IS NULL"),
}


@pytest.mark.parametrize("migration", COLUMNS.values(), ids=COLUMNS)
def test_a_column_that_is_not_there_is_named(project: Project, migration: Body) -> None:
    with pytest.raises(MigrationError, match='"nope".* does not exist. Name what is there, or add it in a revision'):
        project.migrate(migration)


def test_an_index_of_another_table_is_not_dropped(project: Project) -> None:
    project.run("CREATE TABLE others (id int)", "CREATE INDEX ix_others ON others (id)")
    with pytest.raises(MigrationError, match="ix_others already, on another table"):
        project.migrate(lambda op: op.drop_index_concurrently("ix_others", "notes"))
    project.migrate(lambda op: op.drop_index_concurrently("ix_others"))
    assert project.ask("SELECT to_regclass('ix_others')::text") == [(None,)]


VIEW = "CREATE VIEW v AS SELECT id FROM notes"
FUNCTION = "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT {}'"
COMPARING: dict[str, Body] = {
    "index": lambda op: op.create_index_concurrently("ix", "notes", ["author"]),
    "check": lambda op: op.add_check_safely("ck", "notes", "id > 0"),
    "view": lambda op: op.replace_view(f"{VIEW} WHERE id > 1", before=VIEW),
    "function": lambda op: op.replace_function(FUNCTION.format(2), before=FUNCTION.format(1)),
    "embedding": lambda op: op.change_embedding_width("notes", "e", 3, backfill="'[1,2,3]'"),
}


@pytest.fixture
def role(project: Project) -> Iterator[str]:
    """A role that owns the tables, and may make no temporary ones."""
    name, database = f"untempered_{project.url.database}", project.url.database
    project.run(
        f"CREATE ROLE {name}",
        f"REVOKE TEMPORARY ON DATABASE {database} FROM PUBLIC",
        "CREATE INDEX ix ON notes (author)",
        "ALTER TABLE notes ADD CONSTRAINT ck CHECK (id > 0), ADD e vector(2)",
        VIEW,
        FUNCTION.format(1),
        *(f"ALTER {each} OWNER TO {name}" for each in ("TABLE notes", "VIEW v", "FUNCTION f", "SCHEMA public")),
    )
    yield name
    project.run("ALTER SCHEMA public OWNER TO pg_database_owner", f"DROP OWNED BY {name}", f"DROP ROLE {name}")


def test_a_role_that_may_make_no_temporary_table_is_told_of(project: Project, role: str) -> None:
    with project.engine.connect() as connection:
        connection.execute(sa.text(f"SET ROLE {role}"))
        connection.commit()
        for migration in COMPARING.values():
            grant = f"GRANT TEMPORARY ON DATABASE {project.url.database} TO {role}"
            with pytest.raises(MigrationError, match=grant):
                project.migrate_on(connection, migration)
        project.run(f"GRANT TEMPORARY ON DATABASE {project.url.database} TO {role}")
        for name in ("index", "check", "view", "function"):
            project.migrate_on(connection, COMPARING[name])


class Foreign(MigrateOperation):
    @classmethod
    def backfill(cls, operations: Operations, table: str) -> None:
        raise NotImplementedError(table)


def test_an_operation_of_somebody_else_is_not_taken_for_ours() -> None:
    register()
    ours = Operations.backfill  # type: ignore[attr-defined]
    try:
        Operations.register_operation("backfill")(Foreign)
        with pytest.raises(MigrationError, match="op.backfill already, which is not memstore's"):
            register()
    finally:
        Operations.backfill = ours
    register()
