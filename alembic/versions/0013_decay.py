"""Decay: how present a memory is, as one number, and the memories that are live.

Serves: ranking memories by how present they are, and reading live ones without repeating what live means.
Cost: a function and a view only.
Refused: exp() of whatever comes out (one row of a hundred years underflows and breaks the view for everybody); adding
accesses to the score (with enough of them it would never decay): they slow the decay down, less and less each.
"""

from __future__ import annotations

from alembic import op

revision = "0013_decay"
down_revision = "0012_audit"
branch_labels = None
depends_on = None
level = "reversible"

# Total: greatest and least pass over NULL, and take NaN for the largest number. exp() underflows from -745 on.
# memstore.store.decay_score is the same in Python.
DECAY_SCORE = """
CREATE FUNCTION memstore.decay_score(
    created_at timestamptz, decay_lambda double precision, importance integer, access_count bigint,
    at timestamptz DEFAULT now()
) RETURNS double precision
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT least(greatest(coalesce(importance, 5), 0), 10) / 10::double precision * exp(-least(
        least(greatest(coalesce(decay_lambda, 0.12), 0), 100)
        * least(greatest(extract(epoch FROM at) - extract(epoch FROM created_at), 0)::double precision / 86400, 1e9)
        / (1 + ln(1 + greatest(access_count, 0)::double precision)),
        700
    ))
$$
"""

# No embedding: its width may change one day, and a view that names it would be in the way.
ACTIVE_MEMORIES = """
CREATE VIEW memstore.active_memories WITH (security_invoker = true) AS
SELECT tenant_id, id, user_id, agent_id, session_id, conversation_id, sequence_index, key,
       human_content, assistant_content, content, source, tags, memory_type, neuro_type, importance, decay_tier, expiry,
       access_count, last_accessed, metadata, created_at, updated_at, version,
       memstore.decay_score(
           created_at,
           coalesce(decay_lambda, CASE neuro_type WHEN 'episodic' THEN 0.12 WHEN 'semantic' THEN 0.04 ELSE 0.02 END),
           importance, access_count
       ) AS decay_score
FROM memstore.memory_nodes
WHERE deleted_at IS NULL AND (expiry IS NULL OR expiry > now())
"""

# A view as simple as this one would take INSERT, UPDATE and DELETE, and pass them on to the table.
REFUSE_WRITE = """
CREATE FUNCTION memstore.refuse_write() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    RAISE EXCEPTION 'the view % is there to be read', tg_table_name
        USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Write to the table that it reads.';
END
$$
"""

COMMENTS = {
    "FUNCTION memstore.decay_score(timestamptz, double precision, integer, bigint, timestamptz)": (
        "importance / 10 * exp(-decay_lambda * age in days / (1 + ln(1 + access_count))), from 0 to 1; decay_lambda is "
        "per day, 0 to 100, by default 0.12; a time in the future has the age 0"
    ),
    "FUNCTION memstore.refuse_write()": "keeps a view from being written",
    "VIEW memstore.active_memories": "memories that are neither deleted nor expired, with their decay score",
}


def upgrade() -> None:
    op.execute(DECAY_SCORE)
    op.execute(REFUSE_WRITE)
    op.execute(ACTIVE_MEMORIES)
    op.execute(
        "CREATE TRIGGER refuse_write INSTEAD OF INSERT OR UPDATE OR DELETE ON memstore.active_memories "
        "FOR EACH ROW EXECUTE FUNCTION memstore.refuse_write()"
    )
    for what, comment in COMMENTS.items():
        op.execute(f"COMMENT ON {what} IS '{comment}'")


def downgrade() -> None:
    for what in reversed(COMMENTS):
        op.execute(f"DROP {what}")
