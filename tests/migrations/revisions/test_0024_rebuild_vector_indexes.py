from __future__ import annotations

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.migrations.revisions.case import INES, PEOPLE, Case, insert, walk
from tests.tenants import as_application

HNSW, IVFFLAT = "ix_memory_nodes_embedding_hnsw", "ix_embeddings_ivfflat_halfvec_0123456789ab"
INDEXES = (
    f"CREATE INDEX {HNSW} ON memstore.memory_nodes USING hnsw (embedding vector_cosine_ops)",
    f"CREATE INDEX {IVFFLAT} ON memstore.embeddings USING ivfflat ((embedding::halfvec(4)) halfvec_cosine_ops) "
    "WITH (lists = 1) WHERE model = 'toy'",
    f"CREATE INDEX {HNSW}_old ON memstore.memory_nodes USING hnsw (embedding vector_cosine_ops)",
    "CREATE INDEX by_hand ON memstore.memory_nodes USING hnsw (embedding vector_l2_ops)",
    f"CREATE INDEX {HNSW}_halfvec ON memstore.memory_nodes USING hnsw ((embedding::halfvec(4)) halfvec_cosine_ops)",
    f"UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'memstore.{HNSW}_halfvec'::regclass",
)
CALL = "SELECT index_name, table_name, action FROM memstore.rebuild_vector_indexes() WHERE seconds >= 0"
FILES = """
    SELECT relname, relfilenode FROM pg_class JOIN pg_am ON pg_am.oid = relam WHERE amname IN ('hnsw', 'ivfflat')
"""

CASE = Case(
    revision="0024_rebuild_vector_indexes",
    before=(*PEOPLE, insert("memory_nodes", tenant_id=INES, id="old", content="x", embedding="[1, 2, 3, 4]")),
    after=(insert("memory_nodes", tenant_id=INES, id="new", content="x", embedding="[4, 3, 2, 1]"),),
    adds=("rebuild_vector_indexes()",),
    answers=(("SELECT count(*) FROM memstore.rebuild_vector_indexes()", [(0,)]),),
)


async def test_up_down_and_up_again(empty_engine: AsyncEngine) -> None:
    await walk(empty_engine, CASE)


async def test_valid_indexes_are_built_anew_what_was_left_behind_goes_and_others_stay(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        for statement in (*CASE.before, *CASE.after, *INDEXES):
            await connection.execute(text(statement))
    async with engine.begin() as connection:
        before = {name: file for name, file in await connection.execute(text(FILES))}  # noqa: C416
        done = [tuple(row) for row in await connection.execute(text(CALL))]
        after = {name: file for name, file in await connection.execute(text(FILES))}  # noqa: C416
        written = await connection.scalar(text(f"SELECT obj_description('memstore.{HNSW}'::regclass)::jsonb -> 'rows'"))
    assert done == [
        (IVFFLAT, "embeddings", "rebuilt"),
        (HNSW, "memory_nodes", "rebuilt"),
        (f"{HNSW}_halfvec", "memory_nodes", "dropped"),
        (f"{HNSW}_old", "memory_nodes", "dropped"),
    ]
    assert after.keys() == {HNSW, IVFFLAT, "by_hand"}
    assert {name for name in after if after[name] == before[name]} == {"by_hand"}
    assert written == 2


async def test_only_the_owner_may_and_one_at_a_time(engine: AsyncEngine, seeded: AsyncEngine) -> None:
    async with as_application(seeded) as application, application.connect() as connection:
        with pytest.raises(
            DBAPIError, match="only the owner of the tables builds their indexes, which is postgres, not"
        ):
            await connection.execute(text(CALL))
    async with engine.begin() as holder, engine.begin() as other:
        await holder.execute(text(CALL))
        with pytest.raises(DBAPIError, match="somebody else builds indexes or migrates at the moment"):
            await other.execute(text(CALL))
