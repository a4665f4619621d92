"""What a store does after it has answered: statistics, metrics, spans."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from uuid import UUID

import asyncpg
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from memstore.errors import UnknownMemoryError
from memstore.store import Filters, MemoryChange
from tests.store.conformance.worlds import Owner, memory
from tests.store.postgres.conftest import OpenStore

KNOWN = "SELECT memories FROM memstore.search_statistics WHERE tenant_id = $1"
RECORDED = """
    SELECT search_type, result_count, metadata, execution_time_ms > 0 AS took_time, tenant_id
    FROM memstore.search_metrics ORDER BY created_at
"""
_exporter = InMemorySpanExporter()


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    if not isinstance(trace.get_tracer_provider(), TracerProvider):  # it can be set once in a process
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(_exporter))
        trace.set_tracer_provider(provider)
    _exporter.clear()
    yield _exporter
    _exporter.clear()


async def test_statistics_follow_what_is_written(
    open_store: OpenStore, tenant: UUID, admin: asyncpg.Connection
) -> None:
    expected = {0: None, 500: None, 501: 501, 600: 501, 1_001: 501, 1_002: 1_002}
    store, written = open_store(pool_size=1), 0
    for rows, known in expected.items():
        await store.scope(tenant).add_many(memory(number) for number in range(written, rows))
        written = rows
        await store.idle()
        assert await admin.fetchval(KNOWN, tenant) == known, rows


async def test_a_large_tenant_without_statistics_gets_them_when_a_search_is_slow(
    open_store: OpenStore, tenant: UUID, admin: asyncpg.Connection
) -> None:
    fill = "INSERT INTO memstore.memory_nodes (tenant_id, id, content) SELECT $1, n, 'x' FROM generate_series({}) AS n"
    store = open_store()
    await admin.execute(fill.format("1, 2000"), tenant)
    store.statistics.searched(tenant, seconds=1)
    await store.idle()
    assert await admin.fetchval(KNOWN, tenant) is None
    await admin.execute(fill.format("2001, 2001"), tenant)
    for other in (store, open_store()):
        other.statistics.searched(tenant, seconds=0)
        await other.idle()
        assert await admin.fetchval(KNOWN, tenant) is None
        other.statistics.searched(tenant, seconds=1)
        await other.idle()
    assert await admin.fetchval(KNOWN, tenant) == 2_001


async def test_what_fails_afterwards_is_logged_and_not_raised(
    open_store: OpenStore, tenant: UUID, admin: asyncpg.Connection, caplog: pytest.LogCaptureFixture
) -> None:
    await admin.execute("DROP FUNCTION memstore.refresh_search_statistics; DROP TABLE memstore.search_metrics CASCADE")
    store = open_store(metrics_sample=1)
    assert (await store.scope(tenant).add_many(memory(number) for number in range(501))).inserted == 501
    assert len(await store.scope(tenant).search(text="memory")) == 10
    await store.close()
    failed = [record.getMessage() for record in caplog.records if record.name == "memstore.store"]
    assert failed == [f"refreshing the search statistics of tenant {tenant} failed", "recording a search failed"]
    assert all(record.exc_info for record in caplog.records if record.name == "memstore.store")


async def test_searches_are_recorded_without_what_was_asked(
    open_store: OpenStore, owner: Owner, admin: asyncpg.Connection
) -> None:
    for share in (0.0, 1.0):
        store = open_store(metrics_sample=share)
        scope = store.scope(owner.tenant, owner.ann)
        if not share:
            await scope.add(memory(1, content="secret"))
        await scope.search(vector=[1, 2, 3, 4], filters=Filters(source="secret"))
        await scope.search(text="secret", limit=3)
        await scope.search(text="secret", vector=[1, 2, 3, 4], plan="exact")  # type: ignore[arg-type]
        await store.close()
        rows = await admin.fetch(RECORDED)
        assert len(rows) == 3 * share
    assert [(row["search_type"], row["result_count"]) for row in rows] == [("vector", 0), ("text", 1), ("hybrid", 1)]
    assert {(row["took_time"], row["tenant_id"]) for row in rows} == {(True, owner.tenant)}
    assert "secret" not in str([tuple(row) for row in rows])
    assert '"limit": 3' in rows[1]["metadata"]
    assert '"filters": ["source"]' in rows[0]["metadata"]


async def test_operations_are_spans_without_contents(
    spans: InMemorySpanExporter, open_store: OpenStore, tenant: UUID
) -> None:
    scope = open_store().scope(tenant)
    await scope.add(memory(1, content="secret"))
    await scope.search(text="secret", vector=[1, 2, 3, 4], filters=Filters(source="secret"))
    await scope.search(text="secret", explain=True)
    with pytest.raises(UnknownMemoryError):
        await scope.update("m2", MemoryChange(content="secret"), version=1)
    with pytest.raises(Exception, match="id already"):
        await scope.add(memory(1, content="secret"))
    found = {each.name: each for each in spans.get_finished_spans()}
    assert set(found) == {"memstore.add", "memstore.search", "memstore.update"}
    (hybrid, text) = [each for each in spans.get_finished_spans() if each.name == "memstore.search"]
    assert dict(hybrid.attributes or {}) == {
        "db.system.name": "postgresql",
        "memstore.search.type": "hybrid",
        "memstore.search.plan": "auto",
        "memstore.search.results": 0,
    }
    assert (text.attributes or {})["memstore.search.results"] == 1
    refused = found["memstore.add"]
    assert (refused.status.status_code, (refused.attributes or {})["error.type"]) == (StatusCode.ERROR, "memory_exists")
    assert all("secret" not in each.to_json() for each in spans.get_finished_spans())
    assert [each.events for each in spans.get_finished_spans() if each.events] == []


async def test_nothing_is_missed_where_opentelemetry_is_not_installed(
    open_store: OpenStore, tenant: UUID, monkeypatch: pytest.MonkeyPatch, spans: InMemorySpanExporter
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    scope = open_store().scope(tenant)
    await scope.add(memory(1))
    assert len(await scope.search(vector=[1, 2, 3, 4])) == 1
    assert spans.get_finished_spans() == ()
