from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncEngine

from tests.migrations.revisions.case import INES, PEOPLE, Case, embedding, found, insert, walk

CASE = Case(
    revision="0026_embedding_similarity",
    before=(*PEOPLE, insert("embedding_models", name="m", dimensions=2), embedding("north", "[0,1]", "a black cat")),
    after=(embedding("east", "[1,0]", "a white dog"), embedding("south", "[0,-3]", "a black dog")),
    adds=(
        "exact_embeddings()",
        "explain_similarity_search()",
        "nearest_embeddings()",
        "walk_embedding_index()",
    ),
    answers=(
        (
            found(f"similarity_search('{INES}', 'm', '[0,5]', plan => 'exact')", "source_id, similarity"),
            [("north", 1), ("east", 0), ("south", -1)],
        ),
        (
            f"SELECT memstore.explain_similarity_search('{INES}', 'm') - 'scope_rows' - 'matching_rows'",
            [({"plan": "exact", "reason": "the model has no vector index", "index": None, "indexed_rows": None},)],
        ),
    ),
)


async def test_up_down_and_up_again(empty_engine: AsyncEngine) -> None:
    await walk(empty_engine, CASE)
