"""Retention: functions that end what is over and purge what is old, a batch at a time.

Serves: `memstore retention run`, which calls each until there is no more to do, every batch in its own transaction; and
whoever would rather have pg_cron do it.
Cost: functions only. Rows that somebody else has locked are passed over; rows that name those are waited for, as with
any DELETE, so a caller sets lock_timeout.
Refused: purging all in one call (one long transaction, one long list of locks); a policy table (nobody asked who may
change it).
"""

from __future__ import annotations

from alembic import op

revision = "0014_retention"
down_revision = "0013_decay"
branch_labels = None
depends_on = None
level = "reversible"

CHECK_RETENTION = """
CREATE FUNCTION memstore.check_retention(older_than interval, batch integer) RETURNS void
LANGUAGE plpgsql IMMUTABLE
AS $$
BEGIN
    IF older_than IS NULL OR older_than < interval '0' THEN
        RAISE EXCEPTION 'older_than is %, an interval of zero or more is needed', coalesce(older_than::text, 'NULL')
            USING ERRCODE = 'invalid_parameter_value';
    ELSIF batch IS NULL OR batch < 1 THEN
        RAISE EXCEPTION 'batch is %, one or more is needed', coalesce(batch::text, 'NULL')
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
    SELECT memstore.check_retention(interval '0', batch);
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
    SELECT memstore.check_retention(older_than, batch);
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
    SELECT memstore.check_retention(older_than, batch);
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
    SELECT memstore.check_retention(interval '0', batch);
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

BATCH = "; at most batch rows, so call it again while it returns batch; rows in use are passed over"
COMMENTS = {
    "check_retention(interval, integer)": "raises unless the interval is zero or more and the batch one or more",
    "cleanup_expired_sessions(integer)": f"active sessions past expires_at become expired{BATCH}",
    "archive_closed_sessions(interval, integer)": f"closed sessions not changed for that long become archived{BATCH}",
    "purge_activities(interval, integer)": f"deletes activities older than that{BATCH}",
    "purge_metrics(interval, integer)": f"deletes metrics older than that{BATCH}",
    "purge_expired_memories(integer)": f"deletes memories past their expiry; their access log stays{BATCH}",
}


def upgrade() -> None:
    op.execute(CHECK_RETENTION)
    op.execute(CLEANUP_EXPIRED_SESSIONS)
    op.execute(ARCHIVE_CLOSED_SESSIONS)
    op.execute(PURGE.format(table="activities", time="created_at"))
    op.execute(PURGE.format(table="metrics", time="timestamp"))
    op.execute(PURGE_EXPIRED_MEMORIES)
    for function, comment in COMMENTS.items():
        op.execute(f"COMMENT ON FUNCTION memstore.{function} IS '{comment}'")


def downgrade() -> None:
    for function in reversed(COMMENTS):
        op.execute(f"DROP FUNCTION memstore.{function}")
