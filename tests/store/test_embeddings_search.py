from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from hashlib import sha256
from itertools import product
from math import log
from typing import Any
from uuid import UUID

import numpy as np
import pytest
import pytest_asyncio
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from memstore.errors import EmbeddingModelError, SettingsError, VectorError
from memstore.scope import tenant_session
from memstore.store import (
    SearchPlan,
    Weights,
    explain_similarity_search,
    hybrid_search_embeddings,
    similarity_search,
)
from memstore.store.indexes import IndexMethod, IndexOptions, IndexSelection, build_indexes
from tests.tenants import ACME, INITECH, as_application, new_role

WORDS = ["cat", "dog", "tree", "moon", "lamp", "rock", "ship", "bird"]
QUERY = [1.0, 2.0, 3.0]
KINDS = list(product(("hnsw", "ivfflat"), ("vector", "halfvec")))

# Vectors, texts and ids follow from the number of the row, so that a run has the same rows as the last.
FILL = """
    INSERT INTO memstore.embeddings (tenant_id, id, source_type, source_id, model, content, content_hash, embedding)
    SELECT :tenant, md5(:tenant || :model || n)::uuid, (ARRAY['page', 'mail'])[1 + n % 2], 'n' || n, :model, {content},
           sha256(int8send(n)),
           (SELECT array_agg(hashint8(n * 10000 + d) / 1e9)::real[]::vector FROM generate_series(1, :dim) AS d)
    FROM generate_series(CAST(:first AS int), CAST(:last AS int)) AS n
"""
ARRAY = f"(CAST('{{{','.join(WORDS)}}}' AS text[]))"
CONTENT = f"{ARRAY}[1 + n % 8] || ' ' || {ARRAY}[1 + n * n % 7]"


async def fill(
    engine: AsyncEngine, rows: int, *, tenant: UUID = ACME, model: str = "small", dim: int = 3, content: str = CONTENT
) -> None:
    async with engine.begin() as connection:
        await connection.execute(
            text("INSERT INTO memstore.tenants (id, name) VALUES (:id, 'x') ON CONFLICT DO NOTHING"), {"id": tenant}
        )
        await connection.execute(
            text(
                "INSERT INTO memstore.embedding_models (name, dimensions) VALUES (:name, :dim) ON CONFLICT DO NOTHING"
            ),
            {"name": model, "dim": dim},
        )
        given = {"tenant": str(tenant), "model": model, "dim": dim, "first": 1, "last": rows}
        statement = FILL.format(content=content).replace(":tenant,", "CAST(:tenant AS uuid),", 1)
        await connection.execute(text(statement), given)


def index_name(model: str, method: str, type_: str) -> str:
    half = "_halfvec" if type_ == "halfvec" else ""
    return f"ix_embeddings_{method}{half}_{sha256(model.encode()).hexdigest()[:12]}"


async def build(
    engine: AsyncEngine, model: str, dim: int, method: str = "hnsw", type_: str = "vector", options: str = ""
) -> str:
    name = index_name(model, method, type_)
    literal = model.replace("'", "''").replace(":", r"\:")
    options = " WITH (lists = 4)" if method == "ivfflat" else options
    statement = (
        f"CREATE INDEX {name} ON memstore.embeddings USING {method} "
        rf"((embedding\:\:{type_}({dim})) {type_}_cosine_ops){options} WHERE model = '{literal}'"
    )
    async with engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        await connection.execute(text(statement))
        await connection.execute(text("ANALYZE memstore.embeddings"))
    return name


async def scans(engine: AsyncEngine, index: str) -> int:
    async with engine.connect() as connection:
        found = await connection.scalar(
            text("SELECT idx_scan FROM pg_stat_user_indexes WHERE indexrelname = :name"), {"name": index}
        )
    return int(found or 0)


async def flush_statistics(connection: AsyncConnection) -> None:
    await connection.execute(text("SELECT pg_stat_force_next_flush()"))


@pytest_asyncio.fixture
async def filled(engine: AsyncEngine) -> AsyncEngine:
    await fill(engine, 200)
    await fill(engine, 30, tenant=INITECH)
    return engine


@pytest_asyncio.fixture
async def application(filled: AsyncEngine) -> AsyncIterator[AsyncEngine]:
    async with as_application(filled) as application:
        yield application


async def rows_of(engine: AsyncEngine, model: str = "small") -> list[Any]:
    query = text(
        "SELECT id, source_type, source_id, content, CAST(embedding AS real[]) AS vector FROM memstore.embeddings "
        "WHERE tenant_id = :tenant AND model = :model ORDER BY id"
    )
    async with engine.connect() as connection:
        return list(await connection.execute(query, {"tenant": ACME, "model": model}))


@dataclass(frozen=True)
class Wanted:
    source_id: str
    score: float
    cosine: float | None
    coverage: float | None
    found_by: str


def expected(
    rows: list[Any], asked: str | None, query: list[float] | None, weights: Weights, limit: int, source_type: str | None
) -> list[Wanted]:
    # The formula, written down again, for questions of whole words.
    words = {word for word in WORDS if word in (asked or "")}
    idf = {word: log(1 + (len(rows) - df + 0.5) / (df + 0.5)) for word in words for df in [documents(rows, word)]}
    scope = [row for row in rows if source_type in (None, row.source_type)]
    cosines = {} if query is None else {row.id: cosine(row.vector, query) for row in scope}
    nearest = sorted(cosines, key=lambda id_: (-cosines[id_], id_))[: max(50, 5 * limit)]
    found = []
    for row in scope:
        coverage = sum(idf[word] for word in words & set(row.content.split())) / sum(idf.values()) if idf else None
        near, holds, near_by = row.id in nearest, bool(coverage), cosines.get(row.id)
        if not near and not holds:
            continue
        if near_by is None:
            score = coverage or 0.0
        elif asked is None:
            score = near_by
        elif coverage is None:
            score = (1 + near_by) / 2
        else:
            score = (weights.vector * (1 + near_by) / 2 + weights.text * coverage) / (weights.vector + weights.text)
        found_by = "both" if near and holds else "vector" if near else "text"
        found.append((-round(score, 9), row.id, Wanted(row.source_id, score, near_by, coverage, found_by)))
    return [wanted for _, _, wanted in sorted(found, key=lambda each: each[:2])[:limit]]


def documents(rows: list[Any], word: str) -> int:
    return sum(word in row.content.split() for row in rows)


def cosine(one: list[float], other: list[float]) -> float:
    return float(np.dot(one, other) / np.linalg.norm(one) / np.linalg.norm(other))


QUESTIONS = ["cat", "cat tree lamp", "cat cat (dog | 'lamp') & !moon", "the of", None]
WEIGHTS = [Weights(), Weights(0, 2), Weights(3, 0), Weights(1, 1)]


async def test_scores_are_those_of_the_formula(filled: AsyncEngine) -> None:
    rows = await rows_of(filled)
    async with tenant_session(filled, ACME) as session:
        for asked, weights, source_type, limit in product(QUESTIONS, WEIGHTS, [None, "mail"], [10, 3, 200]):
            for query in (QUERY, None) if asked else (QUERY,):
                wanted = expected(rows, asked, query, weights, limit, source_type)
                hits = await hybrid_search_embeddings(
                    session, "small", vector=query, text=asked, limit=limit, weights=weights, source_type=source_type
                )
                case = asked, weights, source_type, limit, query
                assert [hit.score for hit in hits] == pytest.approx([hit.score for hit in wanted], abs=1e-6), case
                assert [hit.source_id for hit in hits] == [hit.source_id for hit in wanted], case
                for hit, right in zip(hits, wanted, strict=True):
                    assert (hit.vector_score, hit.text_score) == pytest.approx((right.cosine, right.coverage), abs=1e-6)
                    assert hit.found_by == right.found_by, case


async def test_what_scores_too_little_and_other_sources_are_left_out(filled: AsyncEngine) -> None:
    async with tenant_session(filled, ACME) as session:
        given: dict[str, Any] = {"vector": QUERY, "text": "cat", "limit": 200}
        hits = await hybrid_search_embeddings(session, "small", **given)
        least = hits[20].score
        above = await hybrid_search_embeddings(session, "small", **given, min_score=least)
        assert above == [hit for hit in hits if hit.score >= least]
        (one,) = await hybrid_search_embeddings(session, "small", **given, source_id="n7", source_type="mail")
        assert (one.source_id, one.source_type, one.chunk_index, one.metadata) == ("n7", "mail", 0, {})
        assert await hybrid_search_embeddings(session, "small", **given, source_id="n7", source_type="page") == []


async def test_a_question_without_words_falls_back_to_the_vector(filled: AsyncEngine) -> None:
    async with tenant_session(filled, ACME) as session:
        assert await hybrid_search_embeddings(session, "small", text="of the") == []
        stops = await hybrid_search_embeddings(session, "small", text="of the", vector=QUERY)
        plain = await similarity_search(session, "small", QUERY)
        assert [(hit.id, hit.vector_score, hit.text_score) for hit in stops] == [
            (hit.id, hit.similarity, None) for hit in plain
        ]
        assert [hit.score for hit in stops] == pytest.approx([(1 + hit.similarity) / 2 for hit in plain])
        empty = await hybrid_search_embeddings(session, "small", text="cat", vector=[])
        assert empty == await hybrid_search_embeddings(session, "small", text="cat")


@pytest.mark.parametrize(
    "asked", ["'", "a' & !b | (", "cat:*A <-> 'dog'", "\\", "\0\ud800", "🐱 cat", "%s $1 {} :x", "x" * 5000]
)
async def test_any_text_is_data(filled: AsyncEngine, asked: str) -> None:
    async with tenant_session(filled, ACME) as session:
        hits = await hybrid_search_embeddings(session, "small", text=asked, vector=QUERY)
        assert len(hits) == 10
        assert {bool(hit.text_score) for hit in hits} == {"cat" in asked}


async def test_rare_words_of_a_large_tenant_are_found_among_common_ones(engine: AsyncEngine) -> None:
    content = "CASE n WHEN 2222 THEN 'needle hay' WHEN 11 THEN 'needle straw hay' ELSE 'hay ' || n % 3 END"
    await fill(engine, 2500, content=content)
    async with engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        await connection.execute(text("ANALYZE memstore.embeddings"))
    async with tenant_session(engine, ACME) as session:
        hits = await hybrid_search_embeddings(session, "small", text="needle in the hay")
        assert {hit.source_id for hit in hits[:2]} == {"n2222", "n11"}
        assert [hit.text_score for hit in hits[:2]] == [1, 1]
        assert len(hits) == 10
        rare, common = (log(1 + (2500 - df + 0.5) / (df + 0.5)) for df in (2, 2500))
        assert [hit.text_score for hit in hits[2:]] == pytest.approx([common / (rare + common)] * 8, rel=0.01)
        both = await hybrid_search_embeddings(
            session, "small", text="needle in the hay", vector=QUERY, weights=Weights(0.2, 0.8)
        )
        assert {hit.source_id for hit in both[:2]} == {"n2222", "n11"}
        assert [hit.found_by.value for hit in both[2:]] == ["both"] * 8
        near = await similarity_search(session, "small", QUERY, limit=50)
        assert [hit.id for hit in both if hit.text_score != 1] == [hit.id for hit in near][:8]
        pages = await hybrid_search_embeddings(session, "small", text="needle hay", source_type="page")
        assert [(hit.source_type, hit.text_score == 1) for hit in pages] == [("page", True)] + [("page", False)] * 9


PLANS = [
    # plan, rows of the tenant, rows of the model, candidates -> what is done
    ("auto", 50_000, None, 40, "exact"),
    ("auto", 900, 900, 40, "exact"),
    ("auto", 10_000, 10_000, 40, "index"),
    ("auto", 10_000, 100_000, 40, "index"),
    ("auto", 2_000, 100_000, 40, "exact"),
    ("auto", 30_000, 100_000, 40, "index"),
    ("auto", 30_000, 100_000, 5_000, "exact"),
    ("auto", 9_000, 1_000_000, 40, "exact"),
    ("auto", 20_000, 1_000_000, 40, "index"),
    ("auto", 20_000, 1_000_000, None, "exact"),
    ("exact", 100_000, 100_000, 40, "exact"),
    ("bits", 100_000, 100_000, 40, "exact"),
    ("index", 1, 100_000, 40, "index"),
    ("index", 100_000, None, 40, "exact"),
]


async def test_the_plan_follows_from_what_each_would_cost(engine: AsyncEngine) -> None:
    statement = text("SELECT memstore.embedding_search_plan(:plan, :scope, :indexed, :candidates)")
    async with engine.connect() as connection:
        for plan, scope, indexed, candidates, done in PLANS:
            given = {"plan": plan, "scope": scope, "indexed": indexed, "candidates": candidates}
            assert await connection.scalar(statement, given) == done, given


@pytest.mark.parametrize("width", [3, 2000, 4000])
async def test_the_index_of_a_model_is_walked_and_finds_what_is_nearest(engine: AsyncEngine, width: int) -> None:
    model = "it's a model: %s"
    await fill(engine, 400, model=model, dim=width)
    await fill(engine, 10, model="other", dim=5)
    query = np.cos(np.arange(width)).tolist()
    for method, type_ in KINDS:
        if width > 2000 and type_ == "vector":
            continue
        index = await build(engine, model, width, method, type_)
        async with as_application(engine) as application:
            for plan, walked in ((SearchPlan.INDEX, True), (SearchPlan.AUTO, False), (SearchPlan.EXACT, False)):
                before = await scans(engine, index)
                async with tenant_session(application, ACME) as session:
                    hits = await similarity_search(session, model, query, plan=plan)
                    await flush_statistics(await session.connection())
                assert (await scans(engine, index) > before) is walked, (index, plan)
                if walked:
                    found = hits
            assert len({hit.id for hit in found} & {hit.id for hit in hits}) >= 9
            assert found[0] == hits[0]
        async with engine.begin() as connection:
            await connection.execute(text(f"DROP INDEX memstore.{index}"))


async def test_auto_walks_the_index_for_a_large_tenant_and_reads_all_of_a_small_one(filled: AsyncEngine) -> None:
    await fill(filled, 3000, model="large", dim=8)
    await fill(filled, 100, model="large", dim=8, tenant=INITECH)
    run = await build_indexes(filled, IndexSelection(model="large"), IndexOptions(IndexMethod.HNSW))
    index = str(run.results[0].index)
    query = [1.0, -2, 3, -4, 5, -6, 7, 8]
    for tenant, rows, walked in ((ACME, 3000, True), (INITECH, 100, False)):
        before = await scans(filled, index)
        async with tenant_session(filled, tenant) as session:
            hits = await similarity_search(session, "large", query, limit=20)
            exact = await similarity_search(session, "large", query, limit=20, plan=SearchPlan.EXACT)
            hybrid = await hybrid_search_embeddings(session, "large", vector=query, limit=20)
            assert len({hit.id for hit in hits} & {hit.id for hit in exact}) >= 19, rows
            assert [(hit.id, hit.score) for hit in hybrid] == [(hit.id, hit.similarity) for hit in hits], rows
            told = await explain_similarity_search(session, "large", limit=20)
            assert (told.plan, told.index) == ((SearchPlan.INDEX, index) if walked else (SearchPlan.EXACT, None)), rows
            assert told.details["indexed_rows"] == 3100
            assert told.scope_rows == pytest.approx(rows, rel=0.25)
            await flush_statistics(await session.connection())
        assert (await scans(filled, index) > before) is walked, rows
    for tenant, source_type in product((ACME, INITECH), (None, "mail")):
        async with tenant_session(filled, tenant) as session:
            walk, exact = [
                await similarity_search(session, "large", query, limit=20, plan=plan, source_type=source_type)
                for plan in (SearchPlan.INDEX, SearchPlan.EXACT)
            ]
            assert len({hit.id for hit in walk} & {hit.id for hit in exact}) >= 19, (tenant, source_type)


async def test_a_walk_that_comes_up_short_is_made_up_for(filled: AsyncEngine) -> None:
    for method, type_ in KINDS:
        index = await build(filled, "small", 3, method, type_)
        async with tenant_session(filled, INITECH) as session:
            for limit in (10, 30, 100):
                hits = await similarity_search(session, "small", QUERY, limit=limit, plan=SearchPlan.INDEX)
                exact = await similarity_search(session, "small", QUERY, limit=limit, plan=SearchPlan.EXACT)
                assert len(hits) == min(limit, 30), (index, limit)
                assert hits == exact, (index, limit)
        async with filled.begin() as connection:
            await connection.execute(text(f"DROP INDEX memstore.{index}"))


async def test_a_walk_that_gives_up_is_made_up_for(filled: AsyncEngine) -> None:
    await fill(filled, 15000, model="large", content="'x'")
    await fill(filled, 30, model="large", tenant=INITECH)
    await build(filled, "large", 3, options=" WITH (m = 4, ef_construction = 8)")  # quickly
    async with tenant_session(filled, INITECH) as session:
        await session.execute(text("SET LOCAL work_mem = '64kB'"))  # of which a walk takes no more than eight times
        walk = f"memstore.walk_embedding_index('{INITECH}', 'large', '[1,2,3]', 40, 1, NULL)"
        assert (await session.scalar(text(f"SELECT count(*) FROM {walk}")) or 0) < 30
        hits = await similarity_search(session, "large", QUERY, plan=SearchPlan.INDEX)
        assert len(hits) == 10
        assert hits == await similarity_search(session, "large", QUERY, plan=SearchPlan.EXACT)


async def test_an_invalid_index_and_one_of_another_table_are_left_alone(filled: AsyncEngine) -> None:
    index = await build(filled, "small", 3)
    found = text("SELECT name, method, type FROM memstore.embedding_index('small')")
    async with filled.begin() as connection:
        assert tuple((await connection.execute(found)).one()) == (index, "hnsw", "vector")
        await connection.execute(
            text("UPDATE pg_index SET indisvalid = false WHERE indexrelid = CAST(:name AS regclass)"),
            {"name": f"memstore.{index}"},
        )
        assert tuple((await connection.execute(found)).one()) == (None, None, None)
        await connection.execute(text(f"DROP INDEX memstore.{index}"))
        await connection.execute(text(f"CREATE INDEX {index} ON memstore.tenants (name)"))
        assert tuple((await connection.execute(found)).one()) == (None, None, None)


SETTINGS = ["memstore.tenant_id", "hnsw.ef_search", "hnsw.iterative_scan", "hnsw.max_scan_tuples", "enable_sort", "jit"]


async def test_settings_are_what_they_were_after_a_search(filled: AsyncEngine) -> None:
    await build(filled, "small", 3)
    search = f"memstore.similarity_search('{ACME}', 'small', '[1,2,3]', plan => 'index')"
    hybrid = f"memstore.hybrid_search_embeddings('{ACME}', 'small', 'cat', '[1,2,3]', plan => 'index')"
    values = ", ".join(f"current_setting('{name}', true)" for name in SETTINGS)
    for prepared in ("SELECT 1", f"SET LOCAL memstore.tenant_id = '{INITECH}'", "SET LOCAL hnsw.ef_search = 7"):
        async with filled.begin() as connection:
            await connection.execute(text("SELECT CAST('[1]' AS vector)"))
            await connection.execute(text(prepared))
            before = tuple((await connection.execute(text(f"SELECT {values}"))).one())
            assert await connection.scalar(text(f"SELECT count(*) FROM {search}")) == 10
            assert await connection.scalar(text(f"SELECT count(*) FROM {hybrid}")) == 10
            after = tuple((await connection.execute(text(f"SELECT {values}"))).one())
            assert (after[0] or None, after[1:]) == (before[0] or None, before[1:])


async def test_a_confined_role_finds_its_own_and_nothing_else(application: AsyncEngine, filled: AsyncEngine) -> None:
    await build(filled, "small", 3)
    async with tenant_session(application, INITECH) as session:
        for plan in SearchPlan:
            hits = await hybrid_search_embeddings(session, "small", vector=QUERY, text="cat", limit=100, plan=plan)
            assert len(hits) == 30
        connection = await session.connection()
        for function in (
            "similarity_search('{}', 'small', '[1,2,3]')",
            "hybrid_search_embeddings('{}', 'small', 'cat')",
        ):
            count = text(f"SELECT count(*) FROM memstore.{function.format(ACME)}")
            assert await connection.scalar(count) == 0
        assert await connection.scalar(text(f"SELECT memstore.embedding_rows('{ACME}', 'small')")) == 0
        assert await connection.scalar(text(f"SELECT memstore.embedding_rows('{INITECH}', 'small')")) == 30
        with pytest.raises(DBAPIError, match="is not the one that is set"):
            await connection.execute(
                text(f"SELECT memstore.embedding_coverages('{ACME}', 'small', 'cat', NULL, NULL, NULL)")
            )
        await session.rollback()


async def test_a_query_of_any_length_finds_the_same_among_halfvecs(filled: AsyncEngine) -> None:
    await build(filled, "small", 3, type_="halfvec")
    async with tenant_session(filled, ACME) as session:
        plain = await similarity_search(session, "small", QUERY, plan=SearchPlan.EXACT)
        for factor in (1e-9, 1e9):  # a halfvec goes from 6e-8 to 65,504
            query = [factor * number for number in QUERY]
            hits = await similarity_search(session, "small", query, plan=SearchPlan.INDEX)
            assert [hit.id for hit in hits] == [hit.id for hit in plain], factor


async def test_as_many_as_anybody_asks_for_in_sql(filled: AsyncEngine) -> None:
    await build(filled, "small", 3)
    async with filled.connect() as connection:
        for wanted in ("2147483647", "NULL"):
            for plan in ("auto", "index"):
                search = f"similarity_search('{ACME}', 'small', '[1,2,3]', -1, {wanted}, plan => '{plan}')"
                assert await connection.scalar(text(f"SELECT count(*) FROM memstore.{search}")) == 200


async def test_rows_are_estimated_for_the_tenant_and_the_model(filled: AsyncEngine) -> None:
    await fill(filled, 600, model="other")
    async with filled.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        await connection.execute(text("ANALYZE memstore.embeddings"))
        await connection.execute(text(f"SET memstore.tenant_id = '{ACME}'"))
        rows = text("SELECT memstore.embedding_rows(:tenant, :model, :source)")
        for model, source, there in (("small", None, 200), ("other", None, 600), ("other", "mail", 300)):
            found = await connection.scalar(rows, {"tenant": ACME, "model": model, "source": source})
            assert found == pytest.approx(there, rel=0.15), (model, source)
        await connection.execute(text("RESET memstore.tenant_id"))


async def test_words_are_weighed_where_statistics_are_older_than_the_rows(engine: AsyncEngine) -> None:
    # By the sample `straw` is in a fifth of 2,001 rows, which are all that statistics know of.
    content = "CASE WHEN n = 7 THEN 'needle' WHEN n % 5 = 0 THEN 'straw' ELSE 'x' END"
    await fill(engine, 12_000, content=content)
    async with tenant_session(engine, ACME) as session:
        needle, *others = await hybrid_search_embeddings(session, "small", text="straw needle", limit=20)
        assert (needle.source_id, len(others)) == ("n7", 19)
        assert needle.text_score is not None
        assert 0.5 < needle.text_score < 1, "a share, of words that weigh more than nothing"
        assert [hit.text_score for hit in others] == pytest.approx([1 - needle.text_score] * 19)


async def test_the_words_of_all_that_is_near_count(engine: AsyncEngine) -> None:
    await fill(engine, 4_000, content="CASE WHEN n % 4 = 0 THEN 'hay' ELSE 'rare' || n || ' straw' END")
    async with engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        await connection.execute(text("ANALYZE memstore.embeddings"))
    async with tenant_session(engine, ACME) as session:
        hits = await hybrid_search_embeddings(session, "small", text="hay straw", vector=QUERY, limit=1000)
        assert len(hits) == 1000
        for hit in hits:
            assert hit.text_score, hit.content
            assert hit.found_by.value == "both"


async def test_a_confined_role_cannot_run_anything_as_the_owner(application: AsyncEngine) -> None:
    """What it makes in its temporary schema is not taken for the catalog."""
    async with application.connect() as connection:
        for statement in (
            f"SET LOCAL memstore.tenant_id = '{INITECH}'",
            "CREATE FUNCTION pg_temp.whoami() RETURNS real LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'run as %', current_user; END $$",
            "CREATE TEMP VIEW pg_class AS SELECT oid, pg_temp.whoami() AS reltuples FROM pg_catalog.pg_class",
            "CREATE TEMP VIEW pg_stats AS SELECT schemaname, tablename, attname, most_common_vals::text AS "
            "most_common_vals, most_common_freqs, pg_temp.whoami() AS n_distinct FROM pg_catalog.pg_stats".replace(
                "::", r"\:\:"
            ),
            "CREATE TEMP VIEW embeddings AS SELECT pg_temp.whoami()",
        ):
            await connection.execute(text(statement))
        for call, found in (
            (f"embedding_rows('{INITECH}', 'small')", 1),
            (f"embedding_coverages('{INITECH}', 'small', 'cat', NULL, NULL, NULL)", None),
        ):
            rows = (await connection.execute(text(f"SELECT * FROM memstore.{call}"))).all()
            assert rows, call
            assert found in (None, len(rows))


async def test_a_role_that_may_not_read_embeddings_may_not_search_them(filled: AsyncEngine) -> None:
    async with new_role(filled, "GRANT USAGE ON SCHEMA memstore TO {role}") as role, filled.begin() as connection:
        await connection.execute(text(f"SET LOCAL ROLE {role}"))
        await connection.execute(text(f"SET LOCAL memstore.tenant_id = '{ACME}'"))
        for call in (
            f"embedding_coverages('{ACME}', 'small', 'cat', NULL, NULL, NULL)",
            f"embedding_rows('{ACME}', 'small')",
            f"similarity_search('{ACME}', 'small', '[1,2,3]')",
            f"hybrid_search_embeddings('{ACME}', 'small', 'cat')",
        ):
            with pytest.raises(DBAPIError, match="permission denied"):
                async with connection.begin_nested():
                    await connection.execute(text(f"SELECT FROM memstore.{call}"))


REFUSED = [
    ("query => '[1,2,3]', plan => 'fast'", "there is no plan 'fast'"),
    ("query => '[1,2,3]', plan => NULL", "there is no plan NULL"),
    ("query => '[1,2]'", "makes vectors of 3 dimensions, this one has 2"),
    ("query => '[0,0,0]'", "the query has no cosine"),
    ("match_count => 5", "neither query_text nor query is given"),
    ("query_text => 'x', match_count => 0", "match_count is 0, needed: 1 to 1000"),
    ("query_text => 'x', match_count => NULL", "match_count is NULL"),
    ("query_text => 'x', vector_weight => -1", "the weights are -1 and 0.3, needed: finite"),
    ("query_text => 'x', vector_weight => 'NaN'", "the weights are NaN"),
    ("query_text => 'x', text_weight => 'Infinity'", "the weights are 0.7 and Infinity"),
    ("query_text => 'x', text_weight => 0, vector_weight => 0", "not both zero"),
]


async def test_bad_questions_are_refused_in_sql(filled: AsyncEngine) -> None:
    async with filled.connect() as connection:
        for arguments, reason in REFUSED:
            search = f"SELECT FROM memstore.hybrid_search_embeddings('{ACME}', 'small', {arguments})"
            with pytest.raises(DBAPIError, match=reason):
                await connection.execute(text(search))
            await connection.rollback()
        with pytest.raises(DBAPIError, match="there is no embedding model 'huge'"):
            await connection.execute(text(f"SELECT FROM memstore.hybrid_search_embeddings('{ACME}', 'huge', 'cat')"))


async def test_bad_questions_are_refused(filled: AsyncEngine) -> None:
    async with tenant_session(filled, ACME) as session:
        for given, error in (
            ({}, SettingsError),
            ({"text": "x", "limit": 0}, SettingsError),
            ({"text": "x", "weights": Weights(0, 0)}, SettingsError),
            ({"vector": [0, 0, 0]}, VectorError),
            ({"vector": QUERY, "plan": "fast"}, SettingsError),
        ):
            with pytest.raises(error):
                await hybrid_search_embeddings(session, "small", **given)
        with pytest.raises(VectorError, match="makes vectors of 3 dimensions, this one has 2"):
            await hybrid_search_embeddings(session, "small", vector=[1, 2])
        await session.rollback()
        for search in (
            hybrid_search_embeddings(session, "huge", text="cat"),
            explain_similarity_search(session, "huge"),
        ):
            with pytest.raises(EmbeddingModelError, match="no embedding model 'huge'"):
                await search
            await session.rollback()


async def test_search_works_with_the_extension_off_the_search_path(filled: AsyncEngine) -> None:
    index = await build(filled, "small", 3)
    async with filled.begin() as connection:
        await connection.execute(text('CREATE SCHEMA "Their Extensions"'))
        await connection.execute(text('ALTER EXTENSION vector SET SCHEMA "Their Extensions"'))
    before = await scans(filled, index)
    async with filled.begin() as connection:
        search = f"""SELECT count(*) FROM memstore.hybrid_search_embeddings(
            '{ACME}', 'small', 'cat', CAST('[1,0,0]' AS "Their Extensions".vector), plan => 'index')"""
        assert await connection.scalar(text(search)) == 10
        await flush_statistics(connection)
    assert await scans(filled, index) > before
