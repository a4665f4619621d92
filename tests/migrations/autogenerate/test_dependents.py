from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import (
    Column,
    Computed,
    ForeignKey,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.engine import URL

from memstore.migrations.autogenerate import Policy, row_level_security
from tests.migrations.autogenerate.project import Diff, Project
from tests.support import dump

CONSTRAINTS = (
    "CREATE TABLE t (id integer NOT NULL, a integer, up integer, "
    "g integer GENERATED ALWAYS AS (a + 1) STORED CONSTRAINT pk PRIMARY KEY)",
    "ALTER TABLE t ADD CONSTRAINT uq UNIQUE (g, id) WITH (fillfactor = 70) DEFERRABLE INITIALLY DEFERRED",
    "ALTER TABLE t ADD CONSTRAINT covers EXCLUDE USING btree (id WITH =) INCLUDE (g)",
    "ALTER TABLE t ADD CONSTRAINT ex EXCLUDE USING btree ((g + 1) WITH =) WHERE (id > 0)",
    "ALTER TABLE t ADD CONSTRAINT apart UNIQUE (a) DEFERRABLE",
    "COMMENT ON CONSTRAINT uq ON t IS 'it''s :unique'",
    "COMMENT ON INDEX uq IS 'its index'",
    "ALTER TABLE t ADD CONSTRAINT fk_up FOREIGN KEY (up) REFERENCES t",
)
REFERENCES = (
    "CREATE TABLE o (id integer PRIMARY KEY, kept integer, changed integer)",
    "CREATE TABLE z (dropped integer CONSTRAINT fk_dropped REFERENCES t)",
    "ALTER TABLE o ADD CONSTRAINT fk_kept FOREIGN KEY (kept) REFERENCES t ON DELETE CASCADE NOT VALID",
    "ALTER TABLE o ADD CONSTRAINT fk_changed FOREIGN KEY (changed) REFERENCES t",
    "ALTER TABLE o ADD CONSTRAINT fk_self FOREIGN KEY (kept) REFERENCES o",
    "COMMENT ON CONSTRAINT fk_kept ON o IS 'kept'",
    "CREATE TABLE gone (g integer CONSTRAINT fk_gone REFERENCES t)",
    "CREATE SCHEMA side",
    "CREATE TABLE side.o (g integer CONSTRAINT fk_side REFERENCES t)",
    "CREATE POLICY reads ON side.o USING (EXISTS (SELECT FROM t WHERE t.g = o.g))",
)


@pytest.fixture
def project(tmp_path: Path, empty_url: URL) -> Project:
    return Project(tmp_path / "project", empty_url)


def there_and_back(project: Project, wanted: MetaData, expected: list[Diff]) -> None:
    """Autogenerate makes what is expected, is then content, and the downgrade leaves no trace."""
    # Alembic's own come in any order. That theirs and ours is right shows when they run.
    assert sorted(project.autogenerate(wanted, "one")) == sorted(expected)
    project.downgrade(wanted, "base")
    before = _state(project)
    project.upgrade(wanted)
    assert project.autogenerate(wanted, "two") == []
    project.downgrade(wanted)
    assert _state(project) == before


def _state(project: Project) -> list[str]:
    # A column that was dropped and added is the last one from then on.
    return sorted(line.rstrip(",") for line in dump(project.url))


def test_all_constraints_on_a_rebuilt_column_come_back_as_they_were(project: Project) -> None:
    project.execute(*CONSTRAINTS, *REFERENCES)
    wanted = MetaData()
    Table(
        "t",
        wanted,
        Column("id", Integer, nullable=False),
        Column("a", Integer),
        Column("up", ForeignKey("t.g", name="fk_up")),
        Column("g", Integer, Computed("a + 2", persisted=True), primary_key=True),
        UniqueConstraint("g", "id", name="uq"),
        UniqueConstraint("a", name="apart"),
    )
    Table(
        "o",
        wanted,
        Column("id", Integer, primary_key=True),
        Column("kept", ForeignKey("t.g", name="fk_kept", ondelete="CASCADE"), ForeignKey("o.id", name="fk_self")),
        Column("changed", ForeignKey("t.g", name="fk_changed", ondelete="CASCADE")),
    )
    Table("z", wanted, Column("dropped", Integer))
    there_and_back(
        project,
        wanted,
        [
            ("remove_fk", "fk_changed"),
            ("remove_fk", "fk_dropped"),
            ("remove_fk", "fk_kept"),
            ("remove_fk", "fk_up"),
            ("remove_fk", "fk_side"),
            ("remove_policy", "o.reads"),
            ("remove_table", "gone"),
            ("remove_constraint", "covers"),
            ("remove_constraint", "ex"),
            ("remove_constraint", "pk"),
            ("remove_constraint", "uq"),
            ("remove_column", "g"),
            ("add_column", "g"),
            ("add_constraint", "covers"),
            ("add_constraint", "ex"),
            ("add_constraint", "pk"),
            ("add_constraint", "uq"),
            ("add_fk", "fk_side"),
            ("add_fk", "fk_up"),
            ("add_fk", "fk_kept"),
            ("add_fk", "fk_changed"),
            ("add_policy", "o.reads"),
        ],
    )
    assert any("SET (fillfactor=70)" in each for each in project.revisions("one"))


def test_policies_let_go_of_what_changes_or_goes(project: Project) -> None:
    reads = "EXISTS (SELECT 1 FROM a WHERE a.id = b.id AND a.kind = 'x')"
    project.execute(
        "CREATE TABLE a (id integer PRIMARY KEY, kind text, old integer)",
        "CREATE TABLE b (id integer PRIMARY KEY)",
        "CREATE TABLE gone (id integer PRIMARY KEY)",
        "ALTER TABLE b ENABLE ROW LEVEL SECURITY",
        f"CREATE POLICY declared ON b USING ({reads})",
        "COMMENT ON POLICY declared ON b IS 'whose'",
        f"CREATE POLICY other ON b USING ({reads})",
        f"CREATE POLICY extra ON b USING ({reads})",
        "CREATE POLICY its_own ON gone USING (id > 0)",
        "CREATE POLICY apart ON a USING (id > 0)",
        "CREATE POLICY its_own ON a USING (old > 0)",
        "CREATE POLICY kind ON a FOR SELECT TO pg_monitor USING (kind <> '')",
        "CREATE SCHEMA side",
        "CREATE TABLE side.c (id integer)",
        "CREATE POLICY of_another ON side.c USING (EXISTS (SELECT FROM a WHERE old = c.id))",
        "CREATE POLICY of_gone ON side.c USING (EXISTS (SELECT FROM gone))",
    )
    wanted = MetaData()
    Table("a", wanted, Column("id", Integer, primary_key=True), Column("kind", String(20)))
    policies = Policy("declared", reads), Policy("other", f"NOT {reads}")
    Table("b", wanted, Column("id", Integer, primary_key=True), info=row_level_security(*policies))
    there_and_back(
        project,
        wanted,
        [
            ("remove_policy", "a.its_own"),
            ("remove_policy", "a.kind"),
            ("remove_policy", "b.declared"),
            ("remove_policy", "b.extra"),
            ("remove_policy", "b.other"),
            ("remove_policy", "gone.its_own"),
            ("remove_policy", "c.of_another"),
            ("remove_policy", "c.of_gone"),
            ("remove_table", "gone"),
            ("modify_type", "kind"),
            ("remove_column", "old"),
            ("add_policy", "a.kind"),
            ("add_policy", "b.declared"),
            ("add_policy", "b.other"),
        ],
    )


def test_generated_columns_go_before_their_sources_and_come_after_them(project: Project) -> None:
    project.execute(
        "CREATE TABLE a (id integer PRIMARY KEY, x integer, g integer GENERATED ALWAYS AS (x + 1) STORED "
        "CONSTRAINT uq UNIQUE, n integer, m integer GENERATED ALWAYS AS (n + 1) STORED, "
        "p integer)",
        "CREATE INDEX ix ON a (g)",
    )
    wanted = MetaData()
    Table(
        "a",
        wanted,
        Column("id", Integer, primary_key=True),
        Column("h", Text, Computed("z || ''", persisted=True)),
        Column("z", Text),
        Column("m", Integer, Computed("id + 1", persisted=True)),
        Column("p", Integer, Computed("id + 2", persisted=True)),
    )
    there_and_back(
        project,
        wanted,
        [
            ("remove_index", "ix"),
            ("remove_constraint", "uq"),
            ("remove_column", "m"),
            ("remove_column", "p"),
            ("remove_column", "g"),
            ("add_column", "z"),
            ("add_column", "h"),
            ("add_column", "m"),
            ("add_column", "p"),
            ("remove_column", "x"),
            ("remove_column", "n"),
        ],
    )
    (changes,) = (each for each in project.revisions("one") if "op.add_column" in each)
    lines = changes.splitlines()
    dropped = [
        line.split("'")[3] for line in lines[: lines.index("def downgrade() -> None:")] if "op.drop_column" in line
    ]
    assert [sorted(dropped[:3]), sorted(dropped[3:])] == [["g", "m", "p"], ["n", "x"]]
