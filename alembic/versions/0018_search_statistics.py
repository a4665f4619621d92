"""What a search knows of a tenant before it looks: how many memories, and how common words are in them.

Serves: the choice of a plan, and the weight of words, in hybrid_search, for two look-ups by primary key.
Cost: new tables and functions only. A refresh of 55,000 memories takes 0.5 s, and nobody waits for it.
Refused: counting at the time of each search (half of a large tenant's memories hold a common word); the statistics of
PostgreSQL (they are of all tenants together); triggers that keep the counts (each write would pay for them, and two
writers of one tenant would wait for one another).

A tenant of at most 2,000 memories has no word statistics: a search counts there.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0018_search_statistics"
down_revision = "0017_closed_sessions_index"
branch_labels = None
depends_on = None
level = "reversible_with_archive"

CURRENT_TENANT = sa.text("memstore.current_tenant()")
EMPTY_OBJECT = sa.text("'{}'::jsonb")

# The rights of its owner, for the one tenant that is set: an application may read statistics, not write them. Which
# rows are in the sample follows from their ids, so that the same memories have the same statistics.
WRITE_SEARCH_STATISTICS = """
CREATE FUNCTION memstore.write_search_statistics(tenant uuid) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
DECLARE
    few CONSTANT bigint := 2000;
    sample_rows CONSTANT double precision := 20000;
    sample_ids CONSTANT integer := 256;
    common CONSTANT double precision := 0.002;
    counted bigint;
    with_vector bigint;
    of_users jsonb;
    threshold integer;
    lexemes text[];
    counts bigint[];
    chosen varchar[];
BEGIN
    IF tenant IS NULL OR tenant IS DISTINCT FROM memstore.current_tenant() THEN
        RAISE EXCEPTION 'the tenant % is not the one that is set', coalesce(tenant::text, 'NULL')
            USING ERRCODE = 'insufficient_privilege', HINT = 'Call memstore.refresh_search_statistics().';
    ELSIF NOT pg_try_advisory_xact_lock(hashtextextended('memstore.search_statistics ' || tenant::text, 0))
          OR NOT EXISTS (SELECT FROM memstore.tenants AS t WHERE t.id = tenant) THEN
        RETURN false;
    END IF;
    SELECT coalesce(sum(u.rows), 0), coalesce(sum(u.embedded), 0),
           coalesce(jsonb_object_agg(u.user_id, u.rows) FILTER (WHERE u.user_id IS NOT NULL AND u.rows > few), '{}')
    INTO counted, with_vector, of_users
    FROM (
        SELECT m.user_id, count(*) AS rows, count(m.embedding_bits) AS embedded
        FROM memstore.memory_nodes AS m WHERE m.tenant_id = tenant AND m.deleted_at IS NULL GROUP BY m.user_id
    ) AS u;

    IF counted > few THEN
        threshold := ceil(65536 * least(1, sample_rows / counted));
        chosen := ARRAY(
            SELECT m.id FROM memstore.memory_nodes AS m
            WHERE m.tenant_id = tenant AND m.deleted_at IS NULL
              AND hashtext(m.id) & 65535 < least(threshold, ceil(65536.0 * 16 * sample_ids / counted))
            ORDER BY hashtextextended(m.id, 1) LIMIT sample_ids
        );
        WITH document AS MATERIALIZED (
            SELECT m.search_vector FROM memstore.memory_nodes AS m
            WHERE m.tenant_id = tenant AND m.deleted_at IS NULL AND hashtext(m.id) & 65535 < threshold
        ), word AS (
            SELECT lexeme, count(*) AS documents
            FROM document CROSS JOIN unnest(tsvector_to_array(document.search_vector)) AS lexeme GROUP BY lexeme
        ), seen AS (
            SELECT count(*) AS documents FROM document
        )
        SELECT array_agg(word.lexeme), array_agg(round(word.documents::numeric * counted / seen.documents))
        INTO lexemes, counts
        FROM seen LEFT JOIN word ON word.documents > common * seen.documents;
    END IF;

    INSERT INTO memstore.search_statistics AS s (tenant_id, memories, embedded, users, sample, refreshed_at)
    VALUES (tenant, counted, with_vector, of_users, coalesce(chosen, '{}'), clock_timestamp())
    ON CONFLICT (tenant_id) DO UPDATE
    SET memories = excluded.memories, embedded = excluded.embedded, users = excluded.users, sample = excluded.sample,
        refreshed_at = excluded.refreshed_at;
    DELETE FROM memstore.word_statistics AS w
    WHERE w.tenant_id = tenant AND NOT EXISTS (SELECT FROM unnest(lexemes) AS l (lexeme) WHERE l.lexeme = w.lexeme);
    INSERT INTO memstore.word_statistics AS w (tenant_id, lexeme, documents)
    SELECT tenant, l.lexeme, l.documents FROM unnest(lexemes, counts) AS l (lexeme, documents)
    WHERE l.lexeme IS NOT NULL
    ON CONFLICT (tenant_id, lexeme) DO UPDATE SET documents = excluded.documents
    WHERE w.documents <> excluded.documents;
    RETURN true;
END
$$
"""

REFRESH_SEARCH_STATISTICS = """
CREATE FUNCTION memstore.refresh_search_statistics(tenant uuid) RETURNS boolean
LANGUAGE plpgsql
AS $$
DECLARE
    before text := current_setting('memstore.tenant_id', true);
    other CONSTANT boolean := tenant IS DISTINCT FROM memstore.current_tenant();
    written boolean;
BEGIN
    IF tenant IS NULL OR other AND row_security_active('memstore.memory_nodes') THEN
        RETURN false;
    END IF;
    IF other THEN
        PERFORM set_config('memstore.tenant_id', tenant::text, true);
    END IF;
    written := memstore.write_search_statistics(tenant);
    IF other THEN
        PERFORM set_config('memstore.tenant_id', coalesce(before, ''), true);
    END IF;
    RETURN written;
END
$$
"""

COMMENTS = {
    "write_search_statistics(uuid)": (
        "refresh_search_statistics() for the tenant that is set, with the rights of its owner"
    ),
    "refresh_search_statistics(uuid)": (
        "counts the memories of a tenant and the words in them, for searches to come; false: another is at it, there "
        "is no such tenant, or it is not the one that is set"
    ),
}

# Whoever may read memories may search them, also after an upgrade; nobody else may use the rights of the owner.
GRANT_DEFINER = """
DO $$
DECLARE
    reader text;
BEGIN
    REVOKE EXECUTE ON FUNCTION memstore.{function} FROM PUBLIC;
    FOR reader IN
        SELECT DISTINCT CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END
        FROM pg_class CROSS JOIN LATERAL aclexplode(relacl)
        WHERE pg_class.oid = 'memstore.memory_nodes'::regclass AND privilege_type = 'SELECT' AND grantee <> relowner
    LOOP
        EXECUTE format('GRANT EXECUTE ON FUNCTION memstore.{function} TO %s', reader);
    END LOOP;
END
$$
"""


def upgrade() -> None:
    op.create_table(
        "search_statistics",
        sa.Column("tenant_id", sa.Uuid(), server_default=CURRENT_TENANT, nullable=False),
        sa.Column("memories", sa.BigInteger(), nullable=False, comment="how many are not deleted"),
        sa.Column("embedded", sa.BigInteger(), nullable=False, comment="how many of them have a vector"),
        sa.Column(
            "users",
            postgresql.JSONB(),
            server_default=EMPTY_OBJECT,
            nullable=False,
            comment="users with more than 2000 of them: how many, by id",
        ),
        sa.Column(
            "sample",
            postgresql.ARRAY(sa.String(255)),
            server_default=sa.text("'{}'"),
            nullable=False,
            comment="ids of some of them, evenly chosen, where there are more than 2000",
        ),
        sa.Column("refreshed_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", name="pk_search_statistics"),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["memstore.tenants.id"], name="fk_search_statistics_tenant_id_tenants", ondelete="CASCADE"
        ),
        sa.CheckConstraint("embedded >= 0", name=op.f("ck_search_statistics_embedded_not_negative")),
        sa.CheckConstraint("memories >= 0", name=op.f("ck_search_statistics_memories_not_negative")),
        sa.CheckConstraint("jsonb_typeof(users) = 'object'", name=op.f("ck_search_statistics_users_is_object")),
        schema="memstore",
        comment="what a search knows of a tenant before it looks, written by refresh_search_statistics()",
    )
    op.create_table(
        "word_statistics",
        sa.Column("tenant_id", sa.Uuid(), server_default=CURRENT_TENANT, nullable=False),
        sa.Column("lexeme", sa.Text(), nullable=False, comment="as search_vector has it"),
        sa.Column(
            "documents", sa.BigInteger(), nullable=False, comment="in how many memories it is, estimated from a sample"
        ),
        sa.PrimaryKeyConstraint("tenant_id", "lexeme", name="pk_word_statistics"),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["memstore.tenants.id"], name="fk_word_statistics_tenant_id_tenants", ondelete="CASCADE"
        ),
        sa.CheckConstraint("documents >= 0", name=op.f("ck_word_statistics_documents_not_negative")),
        schema="memstore",
        comment="the common words of tenants with more than 2000 memories",
    )
    for table in ("search_statistics", "word_statistics"):
        op.enable_tenant_isolation(table)
    op.execute(WRITE_SEARCH_STATISTICS)
    op.execute(GRANT_DEFINER.format(function="write_search_statistics(uuid)"))
    op.execute(REFRESH_SEARCH_STATISTICS)
    for function, comment in COMMENTS.items():
        op.execute(f"COMMENT ON FUNCTION memstore.{function} IS '{comment}'")
    for table in ("search_statistics", "word_statistics"):
        op.restore_table(table, schema="memstore")


def downgrade() -> None:
    for function in reversed(COMMENTS):
        op.execute(f"DROP FUNCTION memstore.{function}")
    for table in ("word_statistics", "search_statistics"):
        op.archive_table(table, schema="memstore")
    op.drop_table("word_statistics", schema="memstore")
    op.drop_table("search_statistics", schema="memstore")
