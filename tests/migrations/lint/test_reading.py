from __future__ import annotations

from pathlib import Path

import pytest

from memstore.migrations.lint import lint_revisions
from tests.migrations.lint.project import codes, complete, in_upgrade

INDEX = 'op.create_index("ix", "tools", ["name"])'

# What is said in a revision, however it is said.
SAID = {
    "a loop over constants": (
        'for name in ("a", "b"):\n    op.create_index(f"ix_{name}", "tools", [name])',
        "MS102 MS102",
    ),
    "a loop over pairs": (
        'for table, name in {"tools": "a"}.items():\n    op.create_index(name, table, ["x"])',
        "MS102",
    ),
    "a name with a number": ('for n in range(2):\n    op.create_index(f"ix_{n:02d}", "t", ["a"])', "MS102 MS102"),
    "a loop of many": ('for n in range(1001):\n    op.create_index(f"ix_{n:x}", "t", ["a"])', "MS102"),
    "a name in parts": ('op.create_index(op.f("ix_" + "name"), "tools", ["name"])', "MS102"),
    "a batch": ('with op.batch_alter_table("tools") as batch:\n    batch.create_index("ix", ["name"])', "MS102"),
    "a name as render_as_batch writes it": (
        'with op.batch_alter_table("tools") as batch_op:\n    batch_op.create_index(batch_op.f("ix"), ["name"])',
        "MS102",
    ),
    "a batch's foreign key": (
        'with op.batch_alter_table("tools") as b:\n    b.create_foreign_key("fk", "users", ["a"], ["id"])',
        "MS105",
    ),
    "a batch's schema": (
        'op.create_table("t", schema="a")\nwith op.batch_alter_table("t", schema="a") as b:\n'
        '    b.create_foreign_key("fk", "users", ["a"], ["id"])',
        "",
    ),
    "the other dialect's branch is not": (
        'if op.get_bind().dialect.name == "sqlite":\n    op.create_index("ix", "tools", ["name"])',
        "",
    ),
    "both branches of a question": (
        'if op.get_context().as_sql:\n    op.drop_index("ix", "t")\nelse:\n    pass',
        "MS103",
    ),
    "SQL": ('op.execute("create unique index ix on public.tools (name)")', "MS102"),
    "SQL in text()": ('op.execute(sa.text("CREATE INDEX ix ON tools (name) ").execution_options(x=1))', "MS102"),
    "SQL on the connection": ('op.get_bind().execute(sa.text("DROP EXTENSION vector"))', "MS202"),
    "SQL with a hole": ('op.execute(f"CREATE INDEX CONCURRENTLY {op.get_bind()} ON tools (a)")', "MS101"),
    "SQL in a comment is not": ("op.execute(\"COMMENT ON TABLE t IS 'x' -- ; DROP EXTENSION vector\")", ""),
    "SQL after a comment": ('op.execute("/* a; b */ -- c; d\\nDROP EXTENSION vector")', "MS202"),
    "SQL in a string is not": ("op.execute(\"COMMENT ON TABLE t IS 'one; DROP EXTENSION vector'\")", ""),
    "SQL in dollar quotes is not": ('op.execute("DO $x$ BEGIN; DROP EXTENSION vector; END $x$")', ""),
    "a body with semicolons is one statement": (
        'op.execute("CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; SELECT 2; END")',
        "",
    ),
    "a table that cannot be told is not guessed": ('op.create_index("ix", op.get_bind().url.database, ["name"])', ""),
    "a table made before is new": (
        'op.create_table("t", sa.Column("id", sa.Uuid()))\nop.create_index("i", "t", ["id"])',
        "",
    ),
    "another schema's is another": (
        'op.create_table("t", sa.Column("id", sa.Uuid()), schema="a")\nop.create_index("i", "t", ["id"], schema="b")',
        "MS102",
    ),
    "a table made by SQL is new": (
        'op.execute("CREATE TABLE IF NOT EXISTS T (id int)")\nop.create_unique_constraint("u", "t", ["id"])',
        "",
    ),
    "an index of a table that goes": ('op.archive_table("t")\nop.drop_index("ix", "t")\nop.drop_table("t")', "MS205"),
    "an index of a table that cannot be told, where one goes": (
        'op.archive_table("t")\nop.execute("DROP INDEX ix")\nop.drop_table("t")',
        "MS205",
    ),
    "an index of a table that is new": (
        'op.create_table("t")\nop.create_index("ix", "t", ["a"])\nop.drop_index("ix", "t")',
        "",
    ),
    "an index where a table goes that cannot be told": (
        'op.drop_index("ix", "t")\nop.drop_table(op.get_bind().url.database)',
        "",
    ),
    "NOT VALID": ('op.create_check_constraint("ck", "tools", "cost > 0", postgresql_not_valid=True)', ""),
    "a unique constraint of an index": ('op.execute("ALTER TABLE t ADD CONSTRAINT u UNIQUE USING INDEX ix")', ""),
    "a column with a foreign key": ('op.add_column("tools", sa.Column("a", sa.ForeignKey("users.id")))', "MS105"),
    "a column with a key of its own": (
        'op.add_column("tools", sa.Column("a", sa.Uuid(), sa.ForeignKey("users.id")), inline_references=True)',
        "",
    ),
    "a unique column with an index": (
        'op.add_column("tools", sa.Column("a", sa.Uuid(), unique=True, index=True))',
        "MS102 MS107",
    ),
    "a unique column with a foreign key, in SQL": (
        'op.execute("ALTER TABLE tools ADD COLUMN z int UNIQUE REFERENCES o(id)")',
        "MS107",
    ),
    "a column with a foreign key and a default, in SQL": (
        'op.execute("ALTER TABLE tools ADD COLUMN z int DEFAULT 1 REFERENCES o(id)")',
        "MS105",
    ),
    "a column with a key of its own and a default": (
        'op.add_column("tools", sa.Column("a", sa.Uuid(), sa.ForeignKey("users.id"), server_default="x"), '
        "inline_references=True)",
        "MS105",
    ),
    "a column with a check, in SQL": (
        'op.execute("ALTER TABLE tools ADD z int CHECK (z IS NOT NULL OR z > (SELECT 1)), ADD y int PRIMARY KEY")',
        "MS106 MS107 MS113",
    ),
    "a default that is the same for all": (
        'op.add_column("tools", sa.Column("a", sa.DateTime(), server_default=sa.func.now()))',
        "",
    ),
    "an identity": ('op.add_column("tools", sa.Column("a", sa.Integer(), sa.Identity()))', "MS109"),
    "a serial in SQL": ('op.execute("ALTER TABLE tools ADD COLUMN a bigserial")', "MS109"),
    "a stored expression": (
        'op.add_column("tools", sa.Column("a", sa.Text(), sa.Computed("lower(b)", persisted=True)))',
        "MS109",
    ),
    "a wider varchar": ('op.alter_column("t", "a", type_=sa.String(60), existing_type=sa.String(50))', ""),
    "a narrower varchar": ('op.alter_column("t", "a", type_=sa.String(40), existing_type=sa.String(50))', "MS110"),
    "several actions": (
        'op.execute("ALTER TABLE t ALTER a SET NOT NULL, ADD CHECK (a IN (1, 2)), RENAME b TO c")',
        "MS104 MS106 MS203",
    ),
    "a nullable that was": ('op.alter_column("t", "a", nullable=True)', ""),
    "defaults of PostgreSQL's that are the same for all": (
        "for default in ('now() - interval $$f(1)$$', 'CAST(1 AS bit(3))', '$$f()$$::varchar(5)', "
        "'coalesce(lower($$A$$))'):\n"
        "    op.execute(f'ALTER TABLE tools ADD COLUMN a text DEFAULT {default}')\n"
        "op.add_column('tools', sa.Column('b', server_default=sa.text(\"'f()'\")))",
        "",
    ),
    "a default of somebody's function": ('op.execute("ALTER TABLE tools ADD COLUMN a int DEFAULT my_fn()")', "MS109"),
    "a default of somebody's function in a schema": (
        'op.add_column("tools", sa.Column("a", sa.Text(), server_default=sa.text("1 + app.my_fn(now())")))',
        "MS109",
    ),
    "a default of a function through func": (
        'op.add_column("tools", sa.Column("a", sa.Uuid(), server_default=sa.func.app.fn()))\n'
        'op.add_column("tools", sa.Column("b", sa.Uuid(), server_default=sa.func.gen_random_uuid()))',
        "MS109 MS109",
    ),
    "a default that calls nothing": (
        'op.add_column("tools", sa.Column("a", sa.Boolean(), nullable=False, server_default=sa.false()))',
        "",
    ),
    "an UPDATE with a WHERE that limits nothing but its subquery": (
        'op.execute("UPDATE tools SET cost = (SELECT max(c) FROM costs WHERE c > 0)")',
        "MS114",
    ),
    "an UPDATE with a WHERE after its subquery": (
        'op.execute("UPDATE tools SET cost = (SELECT max(c) FROM costs) WHERE cost IS NULL")',
        "",
    ),
    "an UPDATE through SQLAlchemy": (
        't = sa.table("tools", sa.column("cost"))\nop.execute(sa.update(t).values(cost=1))\n'
        "op.execute(t.update().values({t.c.cost: 2}))\nop.get_bind().execute(t.update().values(cost=3))",
        "MS114 MS114 MS114",
    ),
    "a DELETE through SQLAlchemy": (
        't = sa.Table("tools", sa.MetaData(), schema="app")\nop.execute(sa.delete(t))\nop.execute(t.delete())\n'
        "from sqlalchemy.orm import Session\nSession(bind=op.get_bind()).execute(t.delete())",
        "MS204 MS204 MS204",
    ),
    "rows through SQLAlchemy with a WHERE": (
        't = sa.table("tools", sa.column("cost"))\nop.execute(sa.update(t).where(t.c.cost == 1).values(cost=1))\n'
        "op.execute(t.delete().where(t.c.cost == 1))",
        "",
    ),
    "rows of a table that is new, through SQLAlchemy": (
        'op.create_table("tools")\nop.execute(sa.update(sa.table("tools")).values(cost=1))',
        "",
    ),
    "a DELETE in a WITH": (
        'op.execute("WITH gone AS (DELETE FROM t RETURNING *), x (a) AS MATERIALIZED (SELECT 1) SELECT * FROM gone")',
        "MS204",
    ),
    "an UPDATE after a WITH": (
        'op.execute("WITH x AS (SELECT 1 WHERE true) UPDATE t SET a = 1")\n'
        'op.execute("WITH x AS (DELETE FROM t WHERE a = 1) UPDATE t SET a = 1 FROM x WHERE x.a = t.a")',
        "MS114",
    ),
    "rows of a temporary table": (
        'op.execute("CREATE TEMP TABLE w AS SELECT 1 AS a")\nop.execute("UPDATE w SET a = 2")\n'
        'op.execute("CREATE LOCAL TEMPORARY TABLE v (a int)")\nop.execute("DELETE FROM v")',
        "",
    ),
    "an index on a new materialized view": (
        'op.execute("CREATE MATERIALIZED VIEW v AS SELECT 1 AS a WITH NO DATA")\n'
        'op.execute("REFRESH MATERIALIZED VIEW v")\nop.create_index("ix", "v", ["a"])',
        "",
    ),
    "a schema with all that is in it": ('op.execute("DROP SCHEMA IF EXISTS a, b CASCADE")', "MS201 MS201"),
    "an empty schema": ('op.execute("DROP SCHEMA a")', ""),
    "locks of tables": (
        'op.execute("LOCK TABLE tools")\nop.execute("LOCK tools IN SHARE MODE")\n'
        'op.execute("LOCK TABLE tools IN ROW EXCLUSIVE MODE")',
        "MS111 MS111",
    ),
    "a table elsewhere": (
        'op.execute("ALTER TABLE tools SET TABLESPACE fast")\nop.execute("ALTER TABLE tools SET UNLOGGED")\n'
        'op.execute("ALTER INDEX ix SET TABLESPACE fast")',
        "MS111 MS111 MS111",
    ),
    "the same in a loop, on one line": (
        'for n in range(3):\n    op.execute(f"DELETE FROM t{n}"); op.execute(f"UPDATE t{n} SET a = 1")',
        "MS114 MS114 MS114 MS204 MS204 MS204",
    ),
    "an index built and exchanged": (
        'op.create_index_concurrently("i", "t", ["a"])\nop.swap_index_concurrently("i", "t", ["b"])',
        "MS115",
    ),
    "a constraint added and dropped": (
        'op.add_check_safely("c", "t", "a > 0")\nop.add_check_safely("d", "t", "a > 0")\n'
        'op.drop_constraint_safely("c", table="t")',
        "MS115",
    ),
    "a foreign key added twice in a schema": (
        'op.add_foreign_key_safely("c", "t", "u", ["a"], ["b"], source_schema="s")\n'
        'op.drop_constraint_safely("c", "t", schema="s")',
        "MS115",
    ),
    "NOT NULL set and dropped": ('op.set_not_null_safely("t", "a")\nop.drop_not_null_safely("t", "a")', "MS115"),
    "two widths": (
        'op.change_embedding_width("t", "e", 8, backfill="x")\nop.change_embedding_width("t", "e", 4, backfill="x")',
        "MS115",
    ),
    "an index dropped where a constraint of its name is made": (
        'op.drop_index_concurrently("u", "t")\nop.add_unique_safely("u", "t", ["a"])',
        "MS115",
    ),
    "a constraint dropped and made anew": (
        'op.drop_constraint_safely("c", "t")\nop.add_check_safely("c", "t", "a > 0")\n'
        'op.drop_index_concurrently("i", "t")\nop.create_index_concurrently("i", "t", ["a"])',
        "",
    ),
    "objects of one name that are others": (
        'op.add_check_safely("c", "t", "a > 0")\nop.drop_constraint_safely("c", "u")\n'
        'op.create_index_concurrently("i", "t", ["a"], schema="x")\nop.drop_index_concurrently("i", "t", schema="y")\n'
        'op.set_not_null_safely("t", "a")\nop.drop_not_null_safely("t", "b")\n'
        'op.backfill("t", {"a": "1"}, where="a IS NULL")\nop.backfill("t", {"a": "1"}, where="b IS NULL")',
        "",
    ),
    "vacuum": ('op.execute("VACUUM FULL tools")\nop.execute("VACUUM ANALYZE tools")', "MS111"),
    "an archived table that is emptied": ('op.archive_table("t")\nop.execute("TRUNCATE t")', "MS205"),
    "reading before a safe operation": (
        'op.execute("SELECT 1")\nop.execute("SET work_mem = 1")\nop.create_index_concurrently("i", "t", ["a"])',
        "",
    ),
    "plain operations before an autocommit block": (
        "op.drop_table_comment('t')\nwith op.get_context().autocommit_block():\n    op.execute('SELECT 1')",
        "MS108",
    ),
    "safe operations after plain and after SET LOCAL": (
        'op.execute("SET LOCAL a.b = 1")\nop.drop_table_comment("t")\nop.set_not_null_safely("t", "a")\n'
        'op.set_not_null_safely("t", "b")',
        "MS108 MS112",
    ),
    "an autocommit block after an autocommit block": (
        "for value in ('a', 'b'):\n    with op.get_context().autocommit_block():\n"
        "        op.execute(f\"ALTER TYPE t ADD VALUE IF NOT EXISTS '{value}' AFTER 'x'\")",
        "",
    ),
    "two safe operations": ('op.set_not_null_safely("t", "a")\nop.create_index_concurrently("i", "t", ["a"])', ""),
    "SET LOCAL in an autocommit block": (
        'with op.get_context().autocommit_block():\n    op.execute("SET LOCAL work_mem = 1")',
        "MS112",
    ),
    "the l2 default of IVFFlat": ('op.create_index_concurrently("i", "t", ["e"], using="ivfflat")', "MS304"),
    "HNSW of bits": (
        'op.create_index_concurrently("i", "t", [sa.text("(e::bit(64000)) bit_hamming_ops")], using="hnsw")',
        "",
    ),
    "too many bits": (
        'op.create_index_concurrently("i", "t", [sa.text("(e::bit(64001)) bit_hamming_ops")], using="hnsw")',
        "MS303",
    ),
    "a btree on a wide vector": ('op.create_index_concurrently("i", "t", [sa.text("(e::vector(3072))")])', ""),
    "the width of the column": (
        'op.create_table("t", sa.Column("e", VECTOR(2001)))\n'
        'op.create_index("i", "t", ["e"], postgresql_using="hnsw", postgresql_ops={"e": "vector_cosine_ops"})',
        "MS303",
    ),
    "the widest that goes": (
        'op.create_table("t", sa.Column("e", HALFVEC(4000)))\n'
        'op.execute("CREATE INDEX ON t USING hnsw (e halfvec_cosine_ops)")',
        "",
    ),
    "the type of the column": (
        'op.create_table("t", sa.Column("e", HALFVEC(64)))\n'
        'op.execute("CREATE INDEX ON t USING hnsw (e vector_cosine_ops) WITH (m = 16)")',
        "MS305",
    ),
    "a vector whose type stays": ('op.alter_column("t", "e", type_=VECTOR(8), existing_type=VECTOR(8))', ""),
    "USING NULL through the operation": (
        'op.alter_column("t", "e", type_=VECTOR(8), postgresql_using="NULL::vector(8)")',
        "MS302",
    ),
    "a policy in SQL": (
        'op.create_table("t", sa.Column("tenant_id", sa.Uuid()))\nop.execute("CREATE POLICY p ON t USING (true)")',
        "",
    ),
    "a policy for tables in a loop": (
        'for t in ("t", "u"):\n    op.create_table(t, sa.Column("tenant_id"))\n    op.enable_tenant_isolation(t)',
        "",
    ),
    "a semicolon at the end": ('op.execute("COMMENT ON TABLE t IS NULL;")', ""),
    "models in a function": ("from memstore.models import Base", "MS401"),
    "settings": ("import memstore.settings", "MS401"),
    "what a host's revision calls": ("from memstore.migrations import upgrade_to, downgrade_to", ""),
    "what else is beside that": ("from memstore.migrations import upgrade, upgrade_to", "MS401"),
    "the operations": ("from memstore.migrations.operations import register", ""),
    "a module beside it": ("from . import helpers", "MS401"),
    "a package from elsewhere": ("import numpy, json", ""),
}


@pytest.mark.parametrize(("body", "expected"), SAID.values(), ids=SAID.keys())
def test_what_a_revision_says_is_told(tmp_path: Path, body: str, expected: str) -> None:
    assert codes(tmp_path, in_upgrade(body)) == expected


def test_a_line_in_a_loop_is_said_once(tmp_path: Path) -> None:
    path = tmp_path / "revision.py"
    loop = "for a in range(100):\n    for b in range(30):\n        op.create_index(f'ix_{a}_{b}', f't_{a}', ['x'])"
    path.write_text(complete(in_upgrade(loop), "0002", None))
    (found,) = lint_revisions([str(path)]).findings
    assert found.message == (
        "index ix_0_0 on t_0, which is there already, stops its writers (and 2,999 more on this line)"
    )


def test_the_name_that_render_as_batch_writes_is_told(tmp_path: Path) -> None:
    path = tmp_path / "revision.py"
    body = 'with op.batch_alter_table("t") as batch_op:\n    batch_op.create_index(batch_op.f("ix"), ["a"])'
    path.write_text(complete(in_upgrade(body), "0002", None))
    (found,) = lint_revisions([str(path)]).findings
    assert found.message.startswith("index ix on t,")


def test_a_finding_says_where_and_what_to_type(tmp_path: Path) -> None:
    path = tmp_path / "revision.py"
    path.write_text(complete(in_upgrade('\nop.create_index("ix_a", "tools", ["a"], schema="app")'), "0002", None))
    (found,) = lint_revisions([str(path)]).findings
    line = path.read_text().splitlines().index('    op.create_index("ix_a", "tools", ["a"], schema="app")') + 1
    assert (found.line, found.revision, found.slug) == (line, "0002", "blocking-index")
    assert "index ix_a on app.tools" in found.message
    assert found.fix.startswith('op.create_index_concurrently("ix_a", "tools"')
