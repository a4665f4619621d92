from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from memstore.migrations import upgrade
from tests.migrations.revisions.case import EMBEDDING_DIM, INES, PEOPLE, Case, embedding, found, insert, walk
from tests.tenants import new_role

CASE = Case(
    revision="0027_hybrid_embeddings",
    before=(*PEOPLE, insert("embedding_models", name="m", dimensions=2), embedding("north", "[0,1]", "a black cat")),
    after=(embedding("east", "[1,0]", "a white dog"), embedding("south", "[0,-3]", "a black dog")),
    adds=(
        "check_embedding_question()",
        "embedding_coverages()",
        "embedding_has_cosine()",
        "embedding_similarities()",
        "embedding_words()",
        "hybrid_search_embeddings()",
    ),
    answers=(
        (
            found(
                f"hybrid_search_embeddings('{INES}', 'm', 'which cats?', '[0,5]')",
                "source_id, round(score::numeric, 6)::float8, vector_score, text_score, found_by",
            ),
            [("north", 1, 1, 1, "both"), ("east", 0.35, 0, 0, "vector"), ("south", 0, -1, 0, "vector")],
        ),
        (found(f"hybrid_search_embeddings('{INES}', 'm', 'dogs') ORDER BY 1"), [("east",), ("south",)]),
        (
            "SELECT indexdef FROM pg_indexes WHERE indexname = 'ix_embeddings_search_vector'",
            [("CREATE INDEX ix_embeddings_search_vector ON memstore.embeddings USING gin (search_vector)",)],
        ),
    ),
)


async def test_up_down_and_up_again(empty_engine: AsyncEngine) -> None:
    await walk(empty_engine, CASE)


async def test_who_could_read_embeddings_before_may_search_them_after_and_nobody_else(
    empty_engine: AsyncEngine,
) -> None:
    await upgrade(empty_engine, CASE.below, embedding_dim=EMBEDDING_DIM)
    async with new_role(empty_engine, "GRANT SELECT ON memstore.embeddings TO {role}") as role:
        await upgrade(empty_engine, CASE.revision)
        may = """
            SELECT proname, has_function_privilege(:role, oid, 'EXECUTE'),
                   has_function_privilege('public', oid, 'EXECUTE')
            FROM pg_proc WHERE prosecdef AND proname = 'embedding_coverages'
        """
        async with empty_engine.connect() as connection:
            found = [tuple(row) for row in await connection.execute(text(may), {"role": role})]
        assert found == [("embedding_coverages", True, False)]
