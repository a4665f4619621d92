from __future__ import annotations

import json

import pytest
from sqlalchemy.engine import URL

from tests.cli.command import done, fetch, memstore, misused, psql, refused
from tests.support import Server

ROWS = """
    INSERT INTO memstore.tenants (id, name) VALUES ('00000000-0000-0000-0000-000000000001', 'Acme');
    INSERT INTO memstore.agents (tenant_id, id, name) SELECT id, id, 'Guide' FROM memstore.tenants;
    INSERT INTO memstore.activities (tenant_id, action, created_at)
    SELECT id, 'act', now() - days * interval '1 day' FROM memstore.tenants, unnest('{1,40,95,100}'::int[]) AS days;
    INSERT INTO memstore.metrics (tenant_id, metric_name, metric_type, value, timestamp)
    SELECT id, 'm', 'gauge', 1, now() - d * interval '1 day' FROM memstore.tenants, unnest('{1,40,95}'::int[]) AS d;
    INSERT INTO memstore.sessions (tenant_id, agent_id, expires_at) SELECT id, id, now() FROM memstore.tenants;
    INSERT INTO memstore.memory_nodes (tenant_id, id, content, expires_at)
    SELECT id, 'old', 'x', now() FROM memstore.tenants
"""
EVERYTHING = ("--activities", "90d", "--metrics", "4w", "--sessions", "168h", "--memories")
LEFT = """
    SELECT (SELECT count(*) FROM memstore.activities) AS activities, (SELECT count(*) FROM memstore.metrics) AS metrics,
           (SELECT count(*) FROM memstore.memory_nodes) AS memories, (SELECT status FROM memstore.sessions) AS session
"""


@pytest.fixture
def aged_url(server: Server, url: URL) -> URL:
    psql(server, url, ROWS)
    return url


def test_a_run_prints_what_it_counted(aged_url: URL) -> None:
    *steps, seconds = done("retention", "run", *EVERYTHING, url=aged_url).splitlines()
    assert [" ".join(step.split()) for step in steps] == [
        "expired sessions 1 due, 1 expired",
        "closed sessions 0 due, 0 archived",
        "activities 2 due, 2 deleted",
        "metrics 2 due, 2 deleted",
        "expired memories 1 due, 1 deleted",
    ]
    assert seconds.endswith(" s")
    assert fetch(aged_url, LEFT) == [{"activities": 2, "metrics": 1, "memories": 0, "session": "expired"}]


def test_a_dry_run_says_so(aged_url: URL) -> None:
    before = fetch(aged_url, LEFT)
    printed = done("retention", "run", *EVERYTHING, "--dry-run", url=aged_url)
    assert "activities        2 due, 0 deleted\n" in printed
    assert printed.endswith(" s (dry run: nothing was changed)\n")
    assert fetch(aged_url, LEFT) == before


def test_json_is_for_programs(aged_url: URL) -> None:
    printed = json.loads(done("retention", "run", "--metrics", "30d", "--json", url=aged_url))
    assert printed.pop("seconds") > 0
    assert printed == {
        "steps": [{"name": "metrics", "action": "deleted", "due": 2, "done": 2, "left": 0}],
        "dry_run": False,
    }


def test_nothing_to_do_and_ages_that_are_none_are_misuse() -> None:
    assert "found none of --activities, --metrics, --sessions, --memories" in misused("retention", "run")
    for age in ("90", "-1d", "9999999w", "٣d"):
        assert "needed: a number and one of s, m, h, d, w" in misused("retention", "run", f"--metrics={age}")


def test_an_age_of_more_than_a_century_is_refused(aged_url: URL) -> None:
    line = refused("retention", "run", "--metrics", "999999w", url=aged_url)
    assert "Needed: zero to 100 years" in line


def test_a_role_of_an_application_is_refused(server: Server, aged_url: URL) -> None:
    role = f"app_{aged_url.database}"
    psql(server, aged_url, f"CREATE ROLE {role} LOGIN")
    done("db", "grant", role, url=aged_url)
    line = refused("retention", "run", "--memories", url=aged_url.set(username=role))
    assert f"role '{role}' is confined to one tenant at a time" in line
    assert fetch(aged_url, LEFT)[0]["memories"] == 1


def test_a_database_without_the_tables_is_refused(empty_url: URL) -> None:
    assert "Run: memstore db upgrade" in refused("retention", "run", "--memories", url=empty_url)


def test_help_names_the_options() -> None:
    assert all(option in memstore("retention", "run", "--help").stdout for option in EVERYTHING[::2])
