"""Tables, a function, a view, a trigger and a policy for the steps after this one to change."""

from __future__ import annotations

from alembic import op

revision = "load_1_tables"
down_revision = "HEAD"
level = "reversible"

UP = (
    "CREATE TABLE memstore.load_groups (id int PRIMARY KEY)",
    "INSERT INTO memstore.load_groups SELECT generate_series(0, 9)",
    """CREATE TABLE memstore.load_notes (tenant_id uuid NOT NULL DEFAULT memstore.current_tenant(), id int, words text,
       embedding vector(8), PRIMARY KEY (tenant_id, id))""",
    """INSERT INTO memstore.load_notes SELECT t.id, n, 'note ' || n, ('[' || n || ',1,2,3,4,5,6,7]')::vector
       FROM memstore.tenants AS t, generate_series(1, 200) AS n""",
    "CREATE INDEX ix_load_notes_embedding ON memstore.load_notes USING hnsw (embedding vector_cosine_ops)",
    "CREATE FUNCTION memstore.load_rank(score int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT score / 10'",
    "CREATE VIEW memstore.load_view AS SELECT tenant_id, id FROM memstore.load_notes",
    "CREATE FUNCTION memstore.load_noted() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
    """CREATE TRIGGER load_noted BEFORE UPDATE ON memstore.load_notes FOR EACH ROW
       EXECUTE FUNCTION memstore.load_noted()""",
    "CREATE POLICY load_all ON memstore.load_notes AS PERMISSIVE USING (true)",
)
DOWN = (
    "DROP VIEW memstore.load_view",
    "DROP TABLE memstore.load_notes",
    "DROP TABLE memstore.load_groups",
    "DROP FUNCTION memstore.load_noted()",
    "DROP FUNCTION memstore.load_rank(int)",
)


def upgrade() -> None:
    for statement in UP:
        op.execute(statement)


def downgrade() -> None:
    for statement in DOWN:
        op.execute(statement)
