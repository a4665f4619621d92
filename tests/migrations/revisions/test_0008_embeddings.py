from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncEngine

from tests.migrations.revisions.case import MEMORIES, Case, insert, walk

HASH = "\\x" + "ab" * 32

CASE = Case(
    revision="0008_embeddings",
    before=MEMORIES,
    after=(
        insert("embedding_models", name="narrow", dimensions=2),
        insert("embedding_models", name="wide", dimensions=3, distance="l2"),
        *(
            insert(
                "embeddings",
                source_type="memory",
                source_id="mem_1",
                model=model,
                embedding=vector,
                content="Ines rows",
                content_hash=HASH,
            )
            for model, vector in (("narrow", "[1,2]"), ("wide", "[1,2,3]"))
        ),
    ),
    adds=("embedding_models", "embeddings"),
    answers=(
        (
            "SELECT model, e.dimensions, distance, embedding::text, search_vector::text FROM memstore.embeddings AS e "
            "JOIN memstore.embedding_models ON name = model ORDER BY model",
            [
                ("narrow", 2, "cosine", "[1,2]", "'ine':1 'row':2"),
                ("wide", 3, "l2", "[1,2,3]", "'ine':1 'row':2"),
            ],
        ),
        ("UPDATE memstore.embeddings SET embedding = '[2,1]' WHERE model = 'narrow' RETURNING version", [(2,)]),
    ),
)


async def test_up_down_and_up_again(empty_engine: AsyncEngine) -> None:
    await walk(empty_engine, CASE)
