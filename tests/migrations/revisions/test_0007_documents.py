from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncEngine

from tests.migrations.revisions.case import MEMORIES, Case, insert, walk

DOCUMENT = "00000000-0000-0000-0000-000000000007"

CASE = Case(
    revision="0007_documents",
    before=MEMORIES,
    after=(
        insert("documents", id=DOCUMENT, title="Rowing", source_uri="file:///rowing.md"),
        insert("document_chunks", document_id=DOCUMENT, chunk_index=1, content="Pulling oars", token_count=2),
        insert("document_chunks", document_id=DOCUMENT, chunk_index=0, content="Boats"),
    ),
    adds=("document_chunks", "documents"),
    answers=(
        (
            "SELECT title, chunk_index, search_vector::text FROM memstore.document_chunks "
            "JOIN memstore.documents ON id = document_id ORDER BY chunk_index",
            [("Rowing", 0, "'boat':1"), ("Rowing", 1, "'oar':2 'pull':1")],
        ),
        ("UPDATE memstore.documents SET mime_type = 'text/markdown' RETURNING version", [(2,)]),
        ("DELETE FROM memstore.documents RETURNING title", [("Rowing",)]),
        ("SELECT count(*) FROM memstore.document_chunks", [(0,)]),
    ),
)


async def test_up_down_and_up_again(empty_engine: AsyncEngine) -> None:
    await walk(empty_engine, CASE)
