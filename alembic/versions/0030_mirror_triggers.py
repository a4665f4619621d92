"""Write down each memory that changes, for the mirror: four triggers, turned off.

Serves: a mirror that misses nothing, whoever writes and however: the ORM, COPY, a cascade, TRUNCATE.
Cost: CREATE TRIGGER stops writers for an instant. From then on a statement that writes memories keeps their rows aside
until its end, also while the triggers are off; once they are on, it costs one INSERT ... SELECT more, however many it
writes.
Refused: a trigger for each row (a COPY of 20,000 took 1.8 s longer for it, and 0.9 s for this); a trigger that asks
what has changed (an access is mirrored too, so nearly all would pass).

`memstore milvus enable` turns them on. Down and up again they are off: what changes meanwhile nobody writes down, so
that a mirror has to be compared with the memories before it goes on.
"""

from __future__ import annotations

from alembic import op

revision = "0030_mirror_triggers"
down_revision = "0029_mirror_outbox"
branch_labels = None
depends_on = None
level = "reversible"

# The rights of its owner: an application can neither read the outbox nor write to it. By TRUNCATE nobody else has a
# lock on the table when this runs, so that it sees all rows that go.
ENQUEUE_FOR_MIRROR = """
CREATE FUNCTION memstore.enqueue_for_mirror() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO memstore.mirror_outbox (tenant_id, node_id) SELECT tenant_id, id FROM new_rows;
    ELSIF TG_OP = 'UPDATE' THEN
        INSERT INTO memstore.mirror_outbox (tenant_id, node_id)
        SELECT tenant_id, id FROM new_rows UNION SELECT tenant_id, id FROM old_rows;
    ELSIF TG_OP = 'DELETE' THEN
        INSERT INTO memstore.mirror_outbox (tenant_id, node_id) SELECT tenant_id, id FROM old_rows;
    ELSE
        INSERT INTO memstore.mirror_outbox (tenant_id, node_id) SELECT tenant_id, id FROM memstore.memory_nodes;
    END IF;
    RETURN NULL;
END
$$
"""

TRIGGERS = {
    "mirror_insert": "AFTER INSERT ON memstore.memory_nodes REFERENCING NEW TABLE AS new_rows",
    "mirror_update": "AFTER UPDATE ON memstore.memory_nodes REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows",
    "mirror_delete": "AFTER DELETE ON memstore.memory_nodes REFERENCING OLD TABLE AS old_rows",
    "mirror_truncate": "BEFORE TRUNCATE ON memstore.memory_nodes",
}


def upgrade() -> None:
    op.execute(ENQUEUE_FOR_MIRROR)
    op.execute(
        "COMMENT ON FUNCTION memstore.enqueue_for_mirror() IS "
        "'writes the memories of a statement to mirror_outbox, with the rights of its owner; for triggers alone'"
    )
    op.execute("REVOKE EXECUTE ON FUNCTION memstore.enqueue_for_mirror() FROM PUBLIC")
    for trigger, when in TRIGGERS.items():
        op.execute(f"CREATE TRIGGER {trigger} {when} FOR EACH STATEMENT EXECUTE FUNCTION memstore.enqueue_for_mirror()")
        op.execute(f"ALTER TABLE memstore.memory_nodes DISABLE TRIGGER {trigger}")


def downgrade() -> None:
    for trigger in reversed(TRIGGERS):
        op.execute(f"DROP TRIGGER {trigger} ON memstore.memory_nodes")
    op.execute("DROP FUNCTION memstore.enqueue_for_mirror()")
