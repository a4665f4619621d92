"""Other code: a function, a view, a trigger and a policy, and tenants kept apart."""

from __future__ import annotations

from alembic import op

revision = "load_6_code"
down_revision = "load_5_indexes"
level = "reversible"

FUNCTION = ("CREATE FUNCTION memstore.load_rank(score int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT score / {}'",)
OLD_FUNCTION, NEW_FUNCTION = (FUNCTION[0].format(divisor) for divisor in (10, 20))
OLD_VIEW = "CREATE VIEW memstore.load_view AS SELECT tenant_id, id FROM memstore.load_notes"
NEW_VIEW = "CREATE VIEW memstore.load_view AS SELECT tenant_id, id, words FROM memstore.load_notes"
TRIGGER = """
CREATE TRIGGER load_noted BEFORE UPDATE{} ON memstore.load_notes FOR EACH ROW EXECUTE FUNCTION memstore.load_noted()
"""
OLD_TRIGGER, NEW_TRIGGER = TRIGGER.format(""), TRIGGER.format(" OF words")
OLD_POLICY = "CREATE POLICY load_all ON memstore.load_notes AS PERMISSIVE USING (true)"
NEW_POLICY = "CREATE POLICY load_all ON memstore.load_notes AS RESTRICTIVE USING (true)"


def upgrade() -> None:
    op.replace_policy(NEW_POLICY, before=OLD_POLICY)
    op.enable_tenant_isolation("load_notes")
    op.replace_trigger(NEW_TRIGGER, before=OLD_TRIGGER)
    op.replace_function(NEW_FUNCTION, before=OLD_FUNCTION)
    op.replace_view(NEW_VIEW, before=OLD_VIEW)


def downgrade() -> None:
    op.replace_policy(OLD_POLICY, before=NEW_POLICY)
    op.disable_tenant_isolation("load_notes")
    op.replace_trigger(OLD_TRIGGER, before=NEW_TRIGGER)
    op.replace_function(OLD_FUNCTION, before=NEW_FUNCTION)
    op.replace_view(OLD_VIEW, before=NEW_VIEW)
