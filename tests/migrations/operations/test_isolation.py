from __future__ import annotations

from typing import Any

import pytest

from memstore.errors import MigrationError
from tests.cli.command import psql
from tests.migrations.operations.revision import IMPATIENT, Project
from tests.support import Server

SECURITY = "SELECT relrowsecurity FROM pg_class WHERE oid = 'notes'::regclass"
POLICIES = """
    SELECT polname::text, pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid)
    FROM pg_policy WHERE polrelid = 'notes'::regclass
"""
MINE = "(author = NULLIF(current_setting('app.tenant_id'::text, true), ''::text))"


def enable(op: Any) -> None:
    op.enable_tenant_isolation(
        "notes",
        column="author",
        schema="public",
        tenant="nullif(current_setting('app.tenant_id', true), '')::text",
        policy="mine",
    )


def disable(op: Any) -> None:
    op.disable_tenant_isolation("notes", schema="public", policy="mine")


def test_each_tenant_sees_its_own_rows_until_it_is_taken_back(project: Project) -> None:
    project.run(
        "DO $$ BEGIN CREATE ROLE tenant_reader; EXCEPTION WHEN duplicate_object THEN NULL; END $$",
        "GRANT SELECT ON notes TO tenant_reader",
    )

    def seen(tenant: str) -> int:
        setting = ("SET LOCAL ROLE tenant_reader", f"SET LOCAL app.tenant_id = '{tenant}'")
        with project.transaction(*setting) as connection:
            return len(connection.exec_driver_sql("SELECT FROM notes").all())

    for _ in range(2):
        for _ in range(2):
            project.migrate(enable)
            assert (seen("author 3"), seen("nobody"), seen("")) == (30, 0, 0)
        for _ in range(2):
            project.migrate(disable)
            assert seen("") == 300


def test_rendered_sql_does_the_same(project: Project, server: Server) -> None:
    psql(server, project.url, project.rendered(enable))
    assert (project.ask(SECURITY), project.ask(POLICIES)) == ([(True,)], [("mine", MINE, MINE)])
    psql(server, project.url, project.rendered(disable))
    assert (project.ask(SECURITY), project.ask(POLICIES)) == ([(False,)], [])


def test_memstores_own_tables_get_what_they_always_got(project: Project) -> None:
    assert project.rendered(lambda op: op.enable_tenant_isolation("tenants", column="id")) == (
        "BEGIN;\n\n"
        "ALTER TABLE memstore.tenants ENABLE ROW LEVEL SECURITY;\n\n"
        "CREATE POLICY tenant_isolation ON memstore.tenants USING (id = memstore.current_tenant()) "
        "WITH CHECK (id = memstore.current_tenant());\n\n"
        "COMMIT;\n\n"
    )


def test_other_policies_stay_in_force(project: Project) -> None:
    project.migrate(enable)
    project.run("CREATE POLICY other ON notes USING (false)")
    project.migrate(disable)
    assert project.ask(SECURITY) == [(True,)]
    assert [row[0] for row in project.ask(POLICIES)] == ["other"]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"table": "notes", "column": "tenant"}, "public.notes has no column tenant, it has: id, author, body, length"),
        ({"table": "nodes"}, "there is no table public.nodes"),
        (
            {"table": "notes", "column": "author", "policy": "mine", "tenant": "current_user"},
            r"policy mine already, another(.|\n)*USING \(true\)\nNeeded:(.|\n)*CURRENT_USER(.|\n)*replace_policy",
        ),
    ],
)
def test_what_is_missing_or_another_is_named(project: Project, arguments: dict[str, str], problem: str) -> None:
    project.run("CREATE POLICY mine ON notes USING (true)")
    with pytest.raises(MigrationError, match=problem):
        project.migrate(lambda op: op.enable_tenant_isolation(**arguments, schema="public"))
    assert project.ask(SECURITY) == [(False,)]


@pytest.mark.parametrize("migration", [enable, disable])
def test_a_busy_table_is_waited_for_without_keeping_others_waiting(project: Project, migration: Any) -> None:
    if migration is disable:
        project.migrate(enable)
    with project.transaction("SELECT count(*) FROM notes"), pytest.raises(MigrationError, match="no lock, 3 times"):
        project.migrate(migration, IMPATIENT)
    project.migrate(migration)
