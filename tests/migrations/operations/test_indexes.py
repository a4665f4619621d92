from __future__ import annotations

import os
import signal
import threading
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from memstore.errors import MigrationError
from tests.cli.command import psql
from tests.migrations.operations.revision import IMPATIENT, Project
from tests.support import Server

INDEXES = """
    SELECT c.relname::text, i.indisvalid, pg_get_indexdef(c.oid)
    FROM pg_index AS i JOIN pg_class AS c ON c.oid = indexrelid
    WHERE indrelid = 'notes'::regclass AND NOT indisprimary ORDER BY 1
"""
BY_AUTHOR = ("ix_author", True, "CREATE INDEX ix_author ON public.notes USING btree (author)")
BY_LENGTH = ("ix_author", True, "CREATE INDEX ix_author ON public.notes USING btree (length)")


QUIET = "SET client_min_messages = warning;\n"
GOING_ON = "\\set ON_ERROR_STOP off\n"


def create(op: Any) -> None:
    op.create_index_concurrently("ix_author", "notes", ["author"])


def swap(op: Any) -> None:
    op.swap_index_concurrently("ix_author", "notes", ["length"])


def drop(op: Any) -> None:
    op.drop_index_concurrently("ix_author", "notes")


def leave_invalid(project: Project, name: str = "ix_author") -> None:
    """Do what a killed build does: leave an index that is not valid."""
    project.run("ALTER TABLE notes ADD CONSTRAINT once UNIQUE (id, author)", "ALTER TABLE notes DROP CONSTRAINT once")
    with project.engine.connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT")
        with pytest.raises(IntegrityError):
            connection.execute(sa.text(f"CREATE UNIQUE INDEX CONCURRENTLY {name} ON notes (author)"))
    assert (name, False) in [row[:2] for row in project.ask(INDEXES)]


def test_an_index_is_built_and_dropped_and_again(project: Project) -> None:
    for _ in range(2):
        project.migrate(create)
        assert project.ask(INDEXES) == [BY_AUTHOR]
    for _ in range(2):
        project.migrate(drop)
        assert project.ask(INDEXES) == []


def test_every_option_of_an_index_is_taken(project: Project) -> None:
    def everything(op: Any) -> None:
        op.create_index_concurrently(
            "ix_all",
            "notes",
            [sa.text("lower(author)"), "id"],
            schema="public",
            unique=True,
            include=["length"],
            nulls_not_distinct=True,
            with_={"fillfactor": 70},
            where="body LIKE '%:x%'",
            comment="what it's for: 100 %",
        )

    project.migrate(everything)
    project.migrate(everything)
    ((name, valid, definition),) = project.ask(INDEXES)
    assert (name, valid) == ("ix_all", True)
    assert definition == (
        "CREATE UNIQUE INDEX ix_all ON public.notes USING btree (lower(author), id) INCLUDE (length) "
        "NULLS NOT DISTINCT WITH (fillfactor='70') WHERE (body ~~ '%:x%'::text)"
    )
    assert project.ask("SELECT obj_description('ix_all'::regclass)") == [("what it's for: 100 %",)]


def test_vector_indexes_are_built_as_op_create_index_would(project: Project) -> None:
    project.run("ALTER TABLE notes ADD embedding vector(3)", "UPDATE notes SET embedding = ARRAY[id, 1, 1]::vector")

    def vectors(op: Any) -> None:
        op.create_index_concurrently(
            "ix_hnsw",
            "notes",
            ["embedding"],
            postgresql_using="hnsw",
            postgresql_ops={"embedding": "vector_cosine_ops"},
            postgresql_with={"m": 8},
        )
        op.create_index_concurrently(
            "ix_half", "notes", [sa.text("(embedding::halfvec(3)) halfvec_cosine_ops")], using="hnsw"
        )

    project.migrate(vectors)
    project.migrate(vectors)
    assert [row[:2] for row in project.ask(INDEXES)] == [("ix_half", True), ("ix_hnsw", True)]


def test_what_a_killed_build_left_is_dropped_first(project: Project) -> None:
    leave_invalid(project)
    project.migrate(create)
    assert project.ask(INDEXES) == [BY_AUTHOR]


def test_a_build_that_fails_leaves_nothing(project: Project) -> None:
    with pytest.raises(IntegrityError, match="could not create unique index"):
        project.migrate(lambda op: op.create_index_concurrently("ix_author", "notes", ["author"], unique=True))
    assert project.ask(INDEXES) == []


def test_another_index_of_that_name_is_refused(project: Project) -> None:
    project.run("CREATE INDEX ix_author ON notes (length)")
    with pytest.raises(MigrationError, match="another one: CREATE INDEX .* op.swap_index_concurrently"):
        project.migrate(create)
    project.run("CREATE TABLE others (id int)", "CREATE INDEX ix_others ON others (id)")
    with pytest.raises(MigrationError, match="ix_others already, on another table"):
        project.migrate(lambda op: op.create_index_concurrently("ix_others", "notes", ["length"]))
    assert project.ask(INDEXES) == [BY_LENGTH]


def test_an_index_gets_another_definition(project: Project) -> None:
    for _ in range(2):
        project.migrate(create)
        for _ in range(2):
            project.migrate(swap)
            assert project.ask(INDEXES) == [BY_LENGTH]
        project.migrate(drop)


@pytest.mark.parametrize(
    "left",
    [
        ("CREATE INDEX ix_author_new ON notes (length)",),
        ("CREATE INDEX ix_author_new ON notes (body)",),
        ("ALTER INDEX ix_author RENAME TO ix_author_old", "CREATE INDEX ix_author ON notes (length)"),
        ("DROP INDEX ix_author",),
    ],
    ids=["built beside", "another beside", "exchanged", "none"],
)
def test_a_killed_exchange_can_be_run_again(project: Project, left: tuple[str, ...]) -> None:
    project.migrate(create)
    project.run(*left)
    project.migrate(swap)
    assert project.ask(INDEXES) == [BY_LENGTH]


def test_a_killed_exchange_that_left_an_invalid_index_can_be_run_again(project: Project) -> None:
    project.migrate(create)
    leave_invalid(project, "ix_author_new")
    project.migrate(swap)
    assert project.ask(INDEXES) == [BY_LENGTH]


def test_the_index_of_a_constraint_is_not_exchanged(project: Project) -> None:
    with pytest.raises(MigrationError, match="belongs to the constraint notes_pkey"):
        project.migrate(lambda op: op.swap_index_concurrently("notes_pkey", "notes", ["length"]))


def test_what_the_revision_wrote_before_would_be_met_again(project: Project) -> None:
    def careless(op: Any) -> None:
        op.execute("ALTER TABLE notes ADD extra int")
        create(op)

    with pytest.raises(MigrationError, match="Put it first, or into a revision of its own"):
        project.migrate(careless)
    assert project.ask("SELECT FROM pg_attribute WHERE attname = 'extra'") == []
    project.migrate(careless, transaction_per_migration=False)
    assert project.ask(INDEXES) == [BY_AUTHOR]


def test_what_the_revision_does_after_is_one_transaction(project: Project) -> None:
    def failing(op: Any) -> None:
        create(op)
        op.execute("ALTER TABLE notes ADD extra int")
        op.execute("SELECT 1 / 0")

    with pytest.raises(sa.exc.DataError):
        project.migrate(failing)
    assert project.ask(INDEXES) == [BY_AUTHOR]
    assert project.ask("SELECT FROM pg_attribute WHERE attname = 'extra'") == []


@pytest.mark.parametrize("migration", [create, swap, drop])
def test_a_busy_table_is_named_and_left_in_order(project: Project, migration: Any) -> None:
    if migration is not create:
        project.migrate(create)
    pattern = r"no lock, 2 times. In the way: pid \d+ \(report, idle in transaction\)"
    refused = pytest.raises(MigrationError, match=pattern)
    with project.transaction("SET application_name = 'report'", "INSERT INTO notes (author) VALUES ('me')"), refused:
        project.migrate(migration, IMPATIENT)
    blocked = [blocker for progress in project.progress for blocker in progress.blocked_by]
    assert {blocker.application for blocker in blocked} == {"report"}
    project.migrate(migration)
    assert project.ask(INDEXES) == {create: [BY_AUTHOR], swap: [BY_LENGTH], drop: []}[migration]


def test_it_waits_for_a_transaction_that_ends(project: Project) -> None:
    with project.transaction("INSERT INTO notes (author) VALUES ('me')") as connection:
        done = threading.Thread(target=project.migrate, args=(create,))
        done.start()
        while not any(progress.blocked_by for progress in project.progress):
            threading.Event().wait(0.01)
        connection.commit()
        done.join()
    assert project.ask(INDEXES) == [BY_AUTHOR]


def test_somebody_elses_build_is_waited_for_and_kept(project: Project) -> None:
    with project.transaction("INSERT INTO notes (author) VALUES ('me')") as writer:
        by_hand = threading.Thread(
            target=_by_hand, args=(project, "CREATE INDEX CONCURRENTLY ix_author ON notes (author)")
        )
        by_hand.start()
        while not project.ask(INDEXES):
            threading.Event().wait(0.01)
        ours = threading.Thread(target=project.migrate, args=(create,))
        ours.start()
        while not any(progress.blocked_by for progress in project.progress):
            threading.Event().wait(0.01)
        (before,) = project.ask("SELECT 'ix_author'::regclass::oid")
        writer.commit()
        by_hand.join()
        ours.join()
    assert project.ask(INDEXES) == [BY_AUTHOR]
    assert project.ask("SELECT 'ix_author'::regclass::oid") == [before]


def _by_hand(project: Project, statement: str) -> None:
    with project.engine.connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT")
        connection.execute(sa.text(statement))


def test_the_session_is_left_as_it_was(project: Project) -> None:
    settings = ("lock_timeout", "statement_timeout", "maintenance_work_mem")
    with project.engine.connect() as connection:
        connection.execute(sa.text("SET lock_timeout = '7s'"))
        connection.execute(sa.text("SET statement_timeout = '8s'"))
        connection.commit()
        project.migrate_on(connection, create)
        found = [connection.scalar(sa.text(f"SHOW {name}")) for name in settings]
        assert found == ["7s", "8s", "64MB"]
        assert connection.scalar(sa.text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")) == 0


def test_in_a_transaction_of_somebody_else_it_takes_a_table_without_rows(project: Project) -> None:
    with pytest.raises(MigrationError, match="notes has rows.* memstore db upgrade"):
        project.migrate(create, callers_transaction=True)
    project.run("TRUNCATE notes")
    project.migrate(create, callers_transaction=True)
    assert project.ask(INDEXES) == [BY_AUTHOR]
    project.migrate(swap, callers_transaction=True)
    assert project.ask(INDEXES) == [BY_LENGTH]
    project.migrate(drop, callers_transaction=True)
    assert project.ask(INDEXES) == []


def test_in_a_transaction_of_somebody_else_another_index_of_that_name_is_refused(project: Project) -> None:
    project.run("TRUNCATE notes")
    for _ in range(2):
        project.migrate(create, callers_transaction=True)
    project.run("DROP INDEX ix_author", "CREATE INDEX ix_author ON notes (length)")
    with pytest.raises(MigrationError, match="another one: CREATE INDEX"):
        project.migrate(create, callers_transaction=True)
    assert project.ask(INDEXES) == [BY_LENGTH]


def test_rendered_sql_does_the_same(project: Project, server: Server) -> None:
    for migration, found in ((create, [BY_AUTHOR]), (swap, [BY_LENGTH]), (drop, [])):
        for _ in range(2):
            psql(server, project.url, QUIET + project.rendered(migration))
            assert project.ask(INDEXES) == found


def test_rendered_sql_builds_an_invalid_index_again(project: Project, server: Server) -> None:
    leave_invalid(project)
    psql(server, project.url, project.rendered(create))
    assert project.ask(INDEXES) == [BY_AUTHOR]


def test_a_rendered_exchange_can_be_run_again(project: Project, server: Server) -> None:
    project.migrate(create)
    leave_invalid(project, "ix_author_new")  # the first run failed
    psql(server, project.url, QUIET + project.rendered(swap))
    assert project.ask(INDEXES) == [BY_LENGTH]
    project.run("ALTER INDEX ix_author RENAME TO ix_author_old", "CREATE INDEX ix_author ON notes (length)")  # killed
    psql(server, project.url, QUIET + project.rendered(swap))
    assert project.ask(INDEXES) == [BY_LENGTH]


def test_a_rendered_exchange_that_fails_keeps_the_index_and_is_not_stamped(project: Project, server: Server) -> None:
    def to_unique(op: Any) -> None:
        op.swap_index_concurrently("ix_author", "notes", ["author"], unique=True)

    project.migrate(create)
    for going_on in ("", GOING_ON):
        with pytest.raises(AssertionError, match="could not create unique index") as failed:
            psql(server, project.url, QUIET + going_on + project.rendered(to_unique))
        assert BY_AUTHOR in project.ask(INDEXES)
    assert "the index ix_author_new is not valid" in str(failed.value)
    assert "the index ix_author_new is still there" in str(failed.value)


def test_a_script_that_went_on_after_a_failed_build_is_not_stamped(project: Project, server: Server) -> None:
    def unique(op: Any) -> None:
        op.create_index_concurrently("ix_author", "notes", ["author"], unique=True)

    with pytest.raises(AssertionError, match="the index ix_author is not valid"):
        psql(server, project.url, GOING_ON + project.rendered(unique))


def test_an_option_that_no_index_has_is_refused(project: Project) -> None:
    with pytest.raises(TypeError, match="no option 'wher'. There are: using, ops, where, with_"):
        project.migrate(lambda op: op.create_index_concurrently("ix_author", "notes", ["author"], wher="x"))


def test_a_transaction_that_is_not_alembics_is_explained(project: Project) -> None:
    with (
        project.transaction("SELECT 1") as connection,
        pytest.raises(MigrationError, match="is not Alembic's. In env.py"),
    ):
        project.migrate_on(connection, create)


def test_a_lost_connection_is_said_to_be_lost(project: Project) -> None:
    with project.transaction("INSERT INTO notes (author) VALUES ('me')"):
        terminate_when_building(project)
        with pytest.raises(sa.exc.OperationalError, match="terminating connection"):
            project.migrate(create)
    project.migrate(create)
    assert project.ask(INDEXES) == [BY_AUTHOR]


def test_an_interrupted_build_is_said_to_be_interrupted(project: Project) -> None:
    ended = threading.Event()
    with project.transaction("INSERT INTO notes (author) VALUES ('me')"):
        threading.Thread(target=interrupt_when_building, args=(project, ended)).start()
        with pytest.raises(KeyboardInterrupt):
            project.migrate(create)
        ended.set()
    project.migrate(create)
    assert project.ask(INDEXES) == [BY_AUTHOR]


def interrupt_when_building(project: Project, ended: threading.Event) -> None:
    """Do what Ctrl-C does, once an index is being built, and again where it got lost, as people do."""
    while not project.ask("SELECT FROM pg_stat_progress_create_index"):
        threading.Event().wait(0.01)
    os.kill(os.getpid(), signal.SIGINT)
    while not ended.wait(30):
        os.kill(os.getpid(), signal.SIGINT)


def terminate_when_building(project: Project) -> None:
    """Terminate, from another thread, the session that is building an index, once it is."""

    def terminate() -> None:
        while not project.ask("SELECT pg_terminate_backend(pid) FROM pg_stat_progress_create_index"):
            threading.Event().wait(0.01)

    threading.Thread(target=terminate).start()
