from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator

import numpy as np
import pytest
import pytest_asyncio
from sqlalchemy import text
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncEngine

from memstore.database import create_engine
from tests.store.search_sql.conftest import FEW
from tests.store.search_sql.memories import OTHER, TENANT, Memory, explain, insert, random_memories, run, search
from tests.support import Server, run_in_thread

WIDTH = 64
MANY = [
    Memory(each.id, each.words, each.embedding, {"source": "rare" if number % 200 == 0 else "mail"})
    for number, each in enumerate(random_memories(3000, WIDTH, clusters=1, noise=0.1))
]
NORTH = np.random.default_rng(3).standard_normal(WIDTH)

INDEXES = {
    "ix_memory_nodes_embedding_hnsw": "hnsw (embedding vector_cosine_ops)",
    "ix_memory_nodes_embedding_hnsw_halfvec": f"hnsw ((embedding::halfvec({WIDTH})) halfvec_cosine_ops)",
    "ix_memory_nodes_embedding_ivfflat": "ivfflat (embedding vector_cosine_ops) WITH (lists = 20)",
    "ix_memory_nodes_embedding_ivfflat_halfvec": (
        f"ivfflat ((embedding::halfvec({WIDTH})) halfvec_cosine_ops) WITH (lists = 20)"
    ),
}

# Rows of the scope, rows that match, rows of the table, wanted, an index, from the table: what is chosen.
CHOICES: list[tuple[tuple[float, float, float, int, bool, bool], str]] = [
    ((0, 0, 0, 10, False, False), "exact"),
    ((9, 9, 100_000, 10, True, False), "exact"),
    ((100, 100, 100_000, 10, True, False), "exact"),
    ((1_000, 1_000, 100_000, 10, True, False), "bits"),
    ((1_000, 1_000, 100_000, 10, False, False), "bits"),
    ((1_000, 1_000, 1_000, 10, True, False), "index"),
    ((3_000, 3_000, 100_000, 10, True, False), "bits"),
    ((10_000, 10_000, 10_000, 10, True, False), "index"),
    ((10_000, 10_000, 100_000, 10, True, False), "bits"),
    ((10_000, 10_000, 10_000_000, 10, True, False), "bits"),
    ((30_000, 30_000, 100_000, 10, True, False), "index"),
    ((30_000, 30_000, 100_000, 10, False, False), "bits"),
    ((100_000, 100_000, 100_000, 10, True, False), "index"),
    # A filter that leaves half, a hundredth, next to nothing: the index would meet all the others first.
    ((55_000, 27_000, 100_000, 10, True, True), "index"),
    ((55_000, 550, 100_000, 10, True, True), "bits"),
    ((55_000, 20, 100_000, 10, True, True), "exact"),
    ((55_000, 0, 100_000, 10, True, True), "exact"),
    ((1_000, 1_000, 100_000, 10, True, True), "bits"),
    # Nearly all of a scope is wanted: every row of it is compared anyway.
    ((1_000, 1_000, 100_000, 1000, True, False), "exact"),
]


@pytest.mark.parametrize(("numbers", "plan"), CHOICES)
async def test_what_costs_least_is_chosen(few: AsyncEngine, numbers: tuple[object, ...], plan: str) -> None:
    given = ", ".join(str(number).lower() for number in numbers)
    async with few.connect() as connection:
        chosen = (await connection.execute(text(f"SELECT * FROM memstore.choose_vector_plan({given})"))).one()
    assert chosen.plan == plan, chosen.reason


@pytest.fixture(scope="module")
def many_url(server: Server) -> Iterator[URL]:
    """3,000 memories of a tenant, and as many of another, without a vector index."""
    url = server.create_database(WIDTH)

    async def fill() -> None:
        engine = create_engine(url)
        await insert(engine, MANY)
        await insert(engine, [Memory(each.id, each.words, each.embedding) for each in MANY], OTHER)
        async with engine.connect() as connection:
            await connection.execution_options(isolation_level="AUTOCOMMIT")
            await connection.execute(text("VACUUM (ANALYZE) memstore.memory_nodes"))
        await engine.dispose()

    run_in_thread(fill())
    yield url
    server.drop_database(url)


@pytest_asyncio.fixture
async def many(many_url: URL) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(many_url)
    yield engine
    await run(engine, *(f"DROP INDEX IF EXISTS memstore.{name}" for name in INDEXES))
    await engine.dispose()


async def build(engine: AsyncEngine, name: str) -> None:
    await run(engine, f"CREATE INDEX {name} ON memstore.memory_nodes USING {INDEXES[name]}")


def nodes(explanation: dict[str, object]) -> str:
    return "\n".join(explanation["explain"])  # type: ignore[arg-type]


async def test_every_plan_finds_the_same_rows_with_the_same_scores(few: AsyncEngine) -> None:
    vector = FEW[5].embedding
    for arguments in ({}, {"query_text": "opal moth tea"}):
        for limit in (1, 10, 100):
            exact = await search(few, **arguments, query_embedding=vector, plan="exact", match_count=limit)
            for plan in ("auto", "bits", "index"):
                assert await search(few, **arguments, query_embedding=vector, plan=plan, match_count=limit) == exact


async def test_bits_find_nearly_all_that_are_nearest(many: AsyncEngine) -> None:
    found = wanted = 0
    for each in MANY[::100]:
        if each.embedding is None:
            continue
        question = each.embedding + 0.03 * NORTH
        exact = await search(many, query_embedding=question, plan="exact")
        bits = await search(many, query_embedding=question, plan="bits")
        assert len(bits) == 10
        scores = {row[0]: row[1] for row in exact}
        assert all(scores.get(row[0], row[1]) == row[1] for row in bits)
        found += len({row[0] for row in bits} & scores.keys())
        wanted += 10
    assert found >= 0.98 * wanted


async def test_the_bits_are_read_from_their_index_alone(many: AsyncEngine) -> None:
    explained = await explain(many, query_embedding=NORTH, plan="bits")
    assert "Index Only Scan using ix_memory_nodes_tenant_id_user_id_id_bits" in nodes(explained)
    assert (explained["plan"], explained["index"], explained["reason"][:9]) == ("bits", None, "asked for")


@pytest.mark.parametrize("name", INDEXES)
async def test_an_index_of_any_kind_is_walked_and_nothing_comes_short(many: AsyncEngine, name: str) -> None:
    await build(many, name)
    explained = await explain(many, query_embedding=NORTH, plan="index")
    assert (explained["plan"], explained["index"]) == ("index", name)
    assert f"Index Scan using {name} " in nodes(explained)
    assert MANY[5].embedding is not None
    question = MANY[5].embedding + 0.001 * NORTH
    exact = await search(many, query_embedding=question, plan="exact", match_count=20)
    walked = await search(many, query_embedding=question, plan="index", match_count=20)
    # Lists that there is no cluster for hold what is near by chance.
    assert len({row[0] for row in walked} & {row[0] for row in exact}) >= (19 if "hnsw" in name else 8)
    assert walked[0] == exact[0]
    assert [row[1] for row in walked] == sorted((row[1] for row in walked), reverse=True)
    # However long the question is: it is the angle that counts, also where half precision would have no such number.
    for factor in (1e-8, 1e8):
        scaled = await search(many, query_embedding=question * factor, plan="index", match_count=20)
        assert [row[0] for row in scaled] == [row[0] for row in walked]
    # 13 of 3,000 match: the walk gives up long before it has met as many as it looks for.
    rare = {"filters": {"source": "rare"}, "query_embedding": NORTH}
    assert await search(many, **rare, plan="index") == await search(many, **rare, plan="exact")
    assert len(await search(many, **rare, plan="index", match_count=100)) == len(MANY[::200])


async def test_a_walk_that_is_cut_short_is_made_up_for(many: AsyncEngine) -> None:
    await build(many, "ix_memory_nodes_embedding_hnsw")
    async with many.begin() as connection:
        walk = await connection.scalar(text("SELECT pg_get_functiondef('memstore.walk_index'::regproc)"))
        narrow, in_one = re.subn(r"greatest\(128, 1\.3 \* steps\)", "10", str(walk))
        short, in_both = re.subn(r"greatest\(20000", "least(1", narrow)
        assert in_one == in_both == 1
        await connection.exec_driver_sql(short)
    try:
        exact = await search(many, query_embedding=NORTH, plan="exact", match_count=1000)
        assert len(await search(many, query_embedding=NORTH, plan="index", match_count=1000)) == len(exact) == 1000
    finally:
        async with many.begin() as connection:
            await connection.exec_driver_sql(str(walk))


async def test_an_index_that_is_not_valid_is_not_walked(many: AsyncEngine) -> None:
    await build(many, "ix_memory_nodes_embedding_hnsw")
    await run(
        many,
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'memstore.ix_memory_nodes_embedding_hnsw'::regclass",
    )
    explained = await explain(many, query_embedding=NORTH, plan="index")
    assert (explained["plan"], explained["index"]) == ("bits", None)
    assert "there is no vector index" in explained["reason"]
    assert len(await search(many, query_embedding=NORTH, plan="index")) == 10


async def test_what_filters_leave_is_taken_from_a_sample(many: AsyncEngine) -> None:
    await run(many, f"SELECT memstore.refresh_search_statistics('{TENANT}')")
    await build(many, "ix_memory_nodes_embedding_hnsw")
    for source, least, most in (("mail", 2800, 3000), ("rare", 0, 200), ("none", 0, 0)):
        explained = await explain(many, query_embedding=NORTH, plan="index", filters={"source": source})
        assert explained["scope_rows"] == 3000
        assert least <= explained["matching_rows"] <= most, source


async def test_deleted_rows_are_ranked_by_their_bits_too(many: AsyncEngine) -> None:
    explained = await explain(many, query_embedding=NORTH, plan="bits", filters={"include_deleted": True})
    assert "the covering index has no deleted rows" in explained["reason"]
    assert "Index Only Scan" not in nodes(explained)


async def test_settings_are_as_they_were_afterwards(many: AsyncEngine) -> None:
    await build(many, "ix_memory_nodes_embedding_hnsw")
    names = (
        "'hnsw.ef_search', 'hnsw.iterative_scan', 'hnsw.max_scan_tuples', 'ivfflat.probes', 'enable_sort', "
        "'enable_seqscan', 'enable_hashjoin', 'work_mem', 'jit', 'search_path', 'TimeZone', 'memstore.tenant_id'"
    )
    query = text(f"SELECT name, current_setting(name, true) FROM unnest(ARRAY[{names}]) AS name")
    async with many.connect() as connection:
        for setting, value in {"hnsw.ef_search": "77", "enable_sort": "off", "memstore.tenant_id": str(OTHER)}.items():
            await connection.execute(text(f"SET LOCAL {setting} = '{value}'"))
        await connection.execute(text("SELECT vector_dims(CAST('[1,2]' AS vector))"))
        before = (await connection.execute(query)).all()
        for plan in ("exact", "bits", "index"):
            for function in ("hybrid_search", "explain_search"):
                given = f"'{TENANT}', 'tea', '{[*NORTH.tolist()]}', plan => '{plan}'"
                rows = (await connection.execute(text(f"SELECT * FROM memstore.{function}({given})"))).all()
                assert rows
                assert (await connection.execute(query)).all() == before, (plan, function)
