"""Retention: functions that end what is over and purge what is old, a batch at a time.

Serves: `memstore retention run`, which calls each until there is no more to do, every batch in its own transaction; and
whoever would rather have pg_cron do it.
Cost: functions only. Rows that somebody else has locked are passed over, not waited for.
Refused: purging all in one call (one long transaction, one long list of locks); a policy table (nobody asked who may
change it).
"""

from __future__ import annotations

from alembic import op

revision = "0014_retention"
down_revision = "0013_decay"
branch_labels = None
depends_on = None

CHECK_AGE = """
CREATE FUNCTION memstore.check_age(older_than interval) RETURNS void
LANGUAGE plpgsql IMMUTABLE
AS $$
BEGIN
    IF older_than IS NULL OR older_than < interval '0' THEN
        RAISE EXCEPTION 'older_than is %, an interval of zero or more is needed', coalesce(older_than::text, 'NULL')
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
END
$$
"""

# Active sessions only: a closed or archived one is over already.
CLEANUP_EXPIRED_SESSIONS = """
CREATE FUNCTION memstore.cleanup_expired_sessions(batch integer DEFAULT 10000) RETURNS integer
LANGUAGE sql
BEGIN ATOMIC
    WITH due AS (
        SELECT tenant_id, id FROM memstore.sessions WHERE status = 'active' AND expires_at <= now()
        ORDER BY expires_at LIMIT batch FOR UPDATE SKIP LOCKED
    ), done AS (
        UPDATE memstore.sessions AS s SET status = 'expired' FROM due
        WHERE s.tenant_id = due.tenant_id AND s.id = due.id RETURNING s.id
    )
    SELECT count(*)::integer FROM done;
END
"""

ARCHIVE_CLOSED_SESSIONS = """
CREATE FUNCTION memstore.archive_closed_sessions(older_than interval, batch integer DEFAULT 10000) RETURNS integer
LANGUAGE sql
BEGIN ATOMIC
    SELECT memstore.check_age(older_than);
    WITH due AS (
        SELECT tenant_id, id FROM memstore.sessions WHERE status = 'closed' AND updated_at < now() - older_than
        LIMIT batch FOR UPDATE SKIP LOCKED
    ), done AS (
        UPDATE memstore.sessions AS s SET status = 'archived' FROM due
        WHERE s.tenant_id = due.tenant_id AND s.id = due.id RETURNING s.id
    )
    SELECT count(*)::integer FROM done;
END
"""

PURGE = """
CREATE FUNCTION memstore.purge_{table}(older_than interval, batch integer DEFAULT 10000) RETURNS integer
LANGUAGE sql
BEGIN ATOMIC
    SELECT memstore.check_age(older_than);
    WITH due AS (
        SELECT tenant_id, id FROM memstore.{table} WHERE {time} < now() - older_than
        LIMIT batch FOR UPDATE SKIP LOCKED
    ), done AS (
        DELETE FROM memstore.{table} AS t USING due
        WHERE t.tenant_id = due.tenant_id AND t.id = due.id RETURNING t.id
    )
    SELECT count(*)::integer FROM done;
END
"""

# Tenant by tenant, as the index on expiry is.
PURGE_EXPIRED_MEMORIES = """
CREATE FUNCTION memstore.purge_expired_memories(batch integer DEFAULT 10000) RETURNS integer
LANGUAGE sql
BEGIN ATOMIC
    WITH due AS (
        SELECT m.tenant_id, m.id FROM memstore.tenants CROSS JOIN LATERAL (
            SELECT tenant_id, id FROM memstore.memory_nodes WHERE tenant_id = tenants.id AND expiry <= now()
            ORDER BY expiry LIMIT batch FOR UPDATE SKIP LOCKED
        ) AS m
        LIMIT batch
    ), done AS (
        DELETE FROM memstore.memory_nodes AS t USING due
        WHERE t.tenant_id = due.tenant_id AND t.id = due.id RETURNING t.id
    )
    SELECT count(*)::integer FROM done;
END
"""

COMMENTS = {
    "check_age(interval)": "raises unless the interval is zero or more",
    "cleanup_expired_sessions(integer)": "active sessions past expires_at become expired",
    "archive_closed_sessions(interval, integer)": "closed sessions not changed for that long become archived",
    "purge_activities(interval, integer)": "deletes activities older than that",
    "purge_metrics(interval, integer)": "deletes metrics older than that",
    "purge_expired_memories(integer)": "deletes memories past their expiry, for good; their access log stays",
}
BATCH = "; at most batch rows, passing over those that are locked; returns how many"


def upgrade() -> None:
    op.execute(CHECK_AGE)
    op.execute(CLEANUP_EXPIRED_SESSIONS)
    op.execute(ARCHIVE_CLOSED_SESSIONS)
    op.execute(PURGE.format(table="activities", time="created_at"))
    op.execute(PURGE.format(table="metrics", time="timestamp"))
    op.execute(PURGE_EXPIRED_MEMORIES)
    for function, comment in COMMENTS.items():
        more = BATCH if "integer)" in function else ""
        op.execute(f"COMMENT ON FUNCTION memstore.{function} IS '{comment}{more}'")


def downgrade() -> None:
    for function in reversed(COMMENTS):
        op.execute(f"DROP FUNCTION memstore.{function}")
