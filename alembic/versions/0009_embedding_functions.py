"""Writing and searching embeddings from SQL: upsert_embedding, similarity_search, vector_search_stats.

Serves: keeping one row for each source, model and chunk under any concurrency, and finding the nearest of one tenant.
Cost: functions and a view only.
Refused: looking first and inserting after (four at once made four rows); comparing vectors to see a change (the hash of
the text says it for the price of 32 bytes).

The operators of pgvector are bound when the functions are made (BEGIN ATOMIC): its schema need not be on the caller's
search path.
"""

from __future__ import annotations

from alembic import op

revision = "0009_embedding_functions"
down_revision = "0008_embeddings"
branch_labels = None
depends_on = None
level = "reversible"

CHECK_EMBEDDING_WIDTH = """
CREATE FUNCTION memstore.check_embedding_width(model text, width integer) RETURNS void
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    expected integer := (SELECT dimensions FROM memstore.embedding_models AS m WHERE m.name = model);
BEGIN
    IF expected IS NULL THEN
        RAISE EXCEPTION 'there is no embedding model %', coalesce(quote_literal(model), 'NULL')
            USING ERRCODE = 'foreign_key_violation', CONSTRAINT = 'embedding_model',
                  HINT = 'Add it to memstore.embedding_models.';
    ELSIF width IS DISTINCT FROM expected THEN
        RAISE EXCEPTION 'the model % makes vectors of % dimensions, this one has %',
            quote_literal(model), expected, coalesce(width::text, 'none')
            USING ERRCODE = 'data_exception', CONSTRAINT = 'embedding_width';
    END IF;
END
$$
"""

CHECK_EMBEDDING = """
CREATE FUNCTION memstore.check_embedding(model text, embedding vector) RETURNS void
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT memstore.check_embedding_width(model, vector_dims(embedding));
END
"""

# A row that is there already is locked by ON CONFLICT also where WHERE leaves it as it is, so that the second SELECT,
# with a snapshot of its own, is sure to find it.
UPSERT_EMBEDDING = """
CREATE FUNCTION memstore.upsert_embedding(
    tenant uuid, source_type text, source_id text, model text, embedding vector, content_hash bytea DEFAULT NULL,
    content text DEFAULT NULL, chunk_index integer DEFAULT 0, metadata jsonb DEFAULT '{}'
) RETURNS TABLE (id uuid, changed boolean)
LANGUAGE plpgsql
AS $$
#variable_conflict use_column
DECLARE
    hash bytea := coalesce(upsert_embedding.content_hash, sha256(convert_to(upsert_embedding.content, 'UTF8')));
BEGIN
    IF hash IS NULL THEN
        RAISE EXCEPTION 'neither content_hash nor content is given' USING ERRCODE = 'null_value_not_allowed';
    END IF;
    PERFORM memstore.check_embedding(upsert_embedding.model, upsert_embedding.embedding);
    RETURN QUERY
        INSERT INTO memstore.embeddings AS e
            (tenant_id, source_type, source_id, model, chunk_index, embedding, content_hash, content, metadata)
        VALUES (
            upsert_embedding.tenant, upsert_embedding.source_type, upsert_embedding.source_id,
            upsert_embedding.model, upsert_embedding.chunk_index, upsert_embedding.embedding, hash,
            upsert_embedding.content, upsert_embedding.metadata
        )
        ON CONFLICT ON CONSTRAINT uq_embeddings_tenant_id_source_type_source_id_model_chunk_index DO UPDATE
        SET embedding = excluded.embedding, content_hash = excluded.content_hash, content = excluded.content,
            metadata = excluded.metadata
        WHERE e.content_hash <> excluded.content_hash
        RETURNING e.id, true;
    IF NOT FOUND THEN
        RETURN QUERY
            SELECT e.id, false FROM memstore.embeddings AS e
            WHERE e.tenant_id = upsert_embedding.tenant AND e.source_type = upsert_embedding.source_type
              AND e.source_id = upsert_embedding.source_id AND e.model = upsert_embedding.model
              AND e.chunk_index = upsert_embedding.chunk_index;
    END IF;
END
$$
"""

# OFFSET 0 has each distance computed once. A query without a cosine, a zero vector, is similar to nothing.
SIMILARITY_SEARCH = """
CREATE FUNCTION memstore.similarity_search(
    tenant uuid, model text, query vector, threshold double precision DEFAULT -1, match_count integer DEFAULT 10,
    of_source_type text DEFAULT NULL, of_source_id text DEFAULT NULL
) RETURNS TABLE (
    id uuid, source_type varchar, source_id varchar, chunk_index integer, content text, metadata jsonb,
    similarity double precision
)
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT memstore.check_embedding(model, query);
    SELECT e.id, e.source_type, e.source_id, e.chunk_index, e.content, e.metadata, s.similarity
    FROM memstore.embeddings AS e CROSS JOIN LATERAL (SELECT 1 - (e.embedding <=> query) AS similarity OFFSET 0) AS s
    WHERE e.tenant_id = tenant AND e.model = similarity_search.model
      AND (of_source_type IS NULL OR e.source_type = of_source_type)
      AND (of_source_id IS NULL OR e.source_id = of_source_id)
      AND s.similarity BETWEEN threshold AND 1
    ORDER BY s.similarity DESC, e.id
    LIMIT match_count;
END
"""

VECTOR_SEARCH_STATS = """
CREATE VIEW memstore.vector_search_stats WITH (security_invoker = true) AS
SELECT tenant_id, source_type, model, dimensions,
       count(*) AS total_embeddings,
       count(DISTINCT source_id) AS total_sources,
       min(created_at) AS first_created_at,
       max(updated_at) AS last_updated_at
FROM memstore.embeddings
GROUP BY tenant_id, source_type, model, dimensions
"""

COMMENTS = {
    "FUNCTION memstore.check_embedding_width(text, integer)": "raises unless the model is registered with this width",
    "FUNCTION memstore.check_embedding(text, vector)": "raises unless the model makes vectors as wide as this one",
    "FUNCTION memstore.upsert_embedding(uuid, text, text, text, vector, bytea, text, integer, jsonb)": (
        "keeps one row for each tenant, source, model and chunk; the same content_hash (by default the sha256 of the "
        "content) changes nothing; returns the id of the row and whether it changed"
    ),
    "FUNCTION memstore.similarity_search(uuid, text, vector, double precision, integer, text, text)": (
        "the embeddings of a tenant by a model that are nearest to query, best first, at most match_count; similarity "
        "is 1 - cosine distance, whatever the distance of the model, from -1 to 1, and at least threshold; exact, by "
        "comparing all of them"
    ),
    "VIEW memstore.vector_search_stats": "how many embeddings there are, by tenant, source type and model",
}


def upgrade() -> None:
    op.execute(CHECK_EMBEDDING_WIDTH)
    op.execute(CHECK_EMBEDDING)
    op.execute(UPSERT_EMBEDDING)
    op.execute(SIMILARITY_SEARCH)
    op.execute(VECTOR_SEARCH_STATS)
    for what, comment in COMMENTS.items():
        op.execute(f"COMMENT ON {what} IS '{comment}'")


def downgrade() -> None:
    for what in reversed(COMMENTS):
        op.execute(f"DROP {what}")
