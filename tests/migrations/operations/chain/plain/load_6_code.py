"""Other code, dropped and made again."""

from __future__ import annotations

from alembic import op

revision = "load_6_code"
down_revision = "load_5_indexes"

DROP = (
    "DROP POLICY load_all ON memstore.load_notes",
    "DROP TRIGGER load_noted ON memstore.load_notes",
    "DROP FUNCTION memstore.load_rank(int)",
    "DROP VIEW memstore.load_view",
)
TRIGGER = "ON memstore.load_notes FOR EACH ROW EXECUTE FUNCTION memstore.load_noted()"
FUNCTION = "CREATE FUNCTION memstore.load_rank(score int) RETURNS int LANGUAGE sql IMMUTABLE"


def upgrade() -> None:
    for statement in DROP:
        op.execute(statement)
    op.execute("CREATE POLICY load_all ON memstore.load_notes AS RESTRICTIVE USING (true)")
    op.enable_tenant_isolation("load_notes")
    op.execute(f"CREATE TRIGGER load_noted BEFORE UPDATE OF words {TRIGGER}")
    op.execute(f"{FUNCTION} AS 'SELECT score / 20'")
    op.execute("CREATE VIEW memstore.load_view AS SELECT tenant_id, id, words FROM memstore.load_notes")


def downgrade() -> None:
    for statement in DROP:
        op.execute(statement)
    op.execute("CREATE POLICY load_all ON memstore.load_notes AS PERMISSIVE USING (true)")
    op.execute("DROP POLICY tenant_isolation ON memstore.load_notes")
    op.execute("ALTER TABLE memstore.load_notes DISABLE ROW LEVEL SECURITY")
    op.execute(f"CREATE TRIGGER load_noted BEFORE UPDATE {TRIGGER}")
    op.execute(f"{FUNCTION} AS 'SELECT score / 10'")
    op.execute("CREATE VIEW memstore.load_view AS SELECT tenant_id, id FROM memstore.load_notes")
