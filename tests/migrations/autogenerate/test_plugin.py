from __future__ import annotations

import logging
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import (
    CheckConstraint,
    Column,
    Computed,
    Enum,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from memstore.errors import MigrationError
from memstore.migrations import autogenerate
from memstore.migrations.autogenerate import Policy, RowLevelSecurity
from tests.migrations.autogenerate.project import LOOK, Project, documented_env, notes
from tests.support import dump, run_python


def at_base(project: Project, metadata: MetaData) -> list[str]:
    """Return the schema before the first revision, Alembic's own table included."""
    project.downgrade(metadata, "base")
    return dump(project.url)


def test_setup_twice_changes_nothing(project: Project) -> None:
    autogenerate.setup()
    autogenerate.setup()
    wanted = notes(Index("ix_body", "body"))
    assert project.autogenerate(wanted, "one") == [("add_index", "ix_body")]


def test_an_index_made_by_hand_is_left_alone_and_named(project: Project, caplog: pytest.LogCaptureFixture) -> None:
    project.execute(
        "CREATE INDEX by_hand ON notes USING hnsw (embedding vector_l2_ops)",
        "CREATE INDEX by_hand_2 ON notes USING ivfflat (embedding vector_l2_ops)",
        "CREATE INDEX plain ON notes (body)",
    )
    with caplog.at_level(logging.INFO):
        assert project.autogenerate(notes(), "one") == [("remove_index", "plain")]
    for name in ("by_hand", "by_hand_2"):
        assert any(message.endswith(f"type: DROP INDEX {name}") for message in caplog.messages)


def test_an_index_that_a_revision_names_is_the_revisions(project: Project) -> None:
    index = Index("ix_e", "embedding", postgresql_using="hnsw", postgresql_ops={"embedding": "vector_l2_ops"})
    assert project.autogenerate(notes(index), "one") == [("add_index", "ix_e")]
    project.upgrade(notes())
    project.execute("CREATE INDEX ix ON notes USING hnsw (embedding vector_l2_ops)")
    assert project.autogenerate(notes(), "two") == [("remove_index", "ix_e")]


def test_an_index_made_by_hand_goes_with_its_column_and_comes_back(project: Project) -> None:
    project.execute("CREATE INDEX by_hand ON notes USING hnsw (embedding vector_l2_ops) WITH (m = 8)")
    metadata = MetaData()
    Table("notes", metadata, Column("id", Integer, primary_key=True), Column("body", Text))
    assert project.autogenerate(metadata, "one") == [("remove_index", "by_hand"), ("remove_column", "embedding")]
    before = at_base(project, metadata)
    project.upgrade(metadata)
    project.downgrade(metadata)
    assert dump(project.url) == before


def test_what_the_host_leaves_out_is_not_proposed(tmp_path: Path, project: Project) -> None:
    filters = """
def include_name(name, kind, parents):
    return name not in ("ours", "ck_ours", "hidden")

def include_object(item, name, kind, reflected, compared):
    return name not in ("not_this", "ck_not_this", "changed")
"""
    env = documented_env().replace(LOOK, filters + LOOK + "include_name=include_name, include_object=include_object,")
    filtered = Project(tmp_path / "filtered", project.url, env)
    project.execute(
        "CREATE TABLE hidden (id integer)",
        "ALTER TABLE hidden ENABLE ROW LEVEL SECURITY",
        "CREATE INDEX ours ON notes (body)",
        "CREATE INDEX changed ON notes (body)",
        "ALTER TABLE notes ADD CONSTRAINT ck_ours CHECK (id > 0)",
    )
    wanted = notes(
        Index("not_this", "body"),
        Index("changed", "id"),
        CheckConstraint("id > 1", name="ck_not_this"),
        Index("seen", "body"),
    )
    assert filtered.autogenerate(wanted, "one") == [("add_index", "seen")]


def test_an_invalid_index_is_made_again(project: Project) -> None:
    project.execute(
        "CREATE INDEX ix_body ON notes (body)",
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'ix_body'::regclass",
    )
    wanted = notes(Index("ix_body", "body"))
    assert project.autogenerate(wanted, "one") == [("remove_index", "ix_body"), ("add_index", "ix_body")]
    project.upgrade(wanted)
    assert project.autogenerate(wanted, "two") == []


def test_a_safe_operation_after_a_plain_one_is_refused(project: Project) -> None:
    project.run(notes(), command.revision, rev_id="one", message="one")
    (path,) = (project.folder / "versions").glob("one*.py")
    both = "op.execute('CREATE TABLE plain (id integer)')\n    op.set_not_null_safely('notes', 'body')"
    path.write_text(path.read_text().replace("pass", both, 1))
    with pytest.raises(MigrationError, match="before it this revision has changed something"):
        project.upgrade(notes())


def test_an_unnamed_check_is_found_by_its_text(project: Project) -> None:
    project.execute("ALTER TABLE notes ADD CONSTRAINT notes_id_check UNIQUE (id, body)")
    wanted = notes(
        UniqueConstraint("id", "body", name="notes_id_check"),
        CheckConstraint("id > 0"),
        CheckConstraint("body IN ('a', 'b')"),
        CheckConstraint("id > 0 OR body <> 'id'"),
        CheckConstraint("body <> 'id'"),
    )
    assert project.autogenerate(wanted, "one") == [
        ("add_constraint", "notes_body_check"),
        ("add_constraint", "notes_body_check1"),
        ("add_constraint", "notes_id_check1"),
        ("add_constraint", "notes_check"),
    ]
    before = at_base(project, wanted)
    project.upgrade(wanted)
    assert project.autogenerate(wanted, "two") == []
    project.downgrade(wanted)
    assert dump(project.url) == before


@pytest.mark.filterwarnings("ignore:Can't validate argument 'dialect_options'")
def test_a_check_that_is_not_validated_is_validated_and_back(project: Project) -> None:
    project.execute("ALTER TABLE notes ADD CONSTRAINT ck CHECK (id > 0) NOT VALID")
    wanted = notes(CheckConstraint("id > 0", name="ck"))
    assert project.autogenerate(wanted, "one") == [("validate_constraint", "ck")]
    before = at_base(project, wanted)
    project.upgrade(wanted)
    assert project.autogenerate(wanted, "two") == []
    project.downgrade(wanted)
    assert dump(project.url) == before


def test_row_level_security_is_declared_by_its_class_alone(project: Project) -> None:
    metadata = notes()
    metadata.tables["notes"].info["row_level_security"] = "yes"
    with pytest.raises(TypeError, match="row_level_security\\(Policy"):
        project.autogenerate(metadata, "one")


def test_a_project_without_policies_is_not_told_about_them(project: Project) -> None:
    project.execute("ALTER TABLE notes ENABLE ROW LEVEL SECURITY", "CREATE POLICY mine ON notes USING (id > 0)")
    assert project.autogenerate(notes(), "one") == []


def test_models_do_not_import_alembic_and_autogenerate_reads_no_setting() -> None:
    program = (
        "import sys, memstore.models; print('alembic' in sys.modules)\n"
        "import memstore.migrations.autogenerate as a; a.setup(); print(sorted(a.options()))"
    )
    done = run_python("-c", program, MEMSTORE_EMBEDDING_DIM="no number")
    assert done.stdout.split("\n")[:2] == [
        "False",
        "['autogenerate_plugins', 'process_revision_directives', 'render_item']",
    ], done.stderr


def test_a_project_that_renders_batches(tmp_path: Path, project: Project) -> None:
    env = documented_env().replace(LOOK, LOOK + "render_as_batch=True,")
    batches = Project(tmp_path / "batches", project.url, env)
    project.execute(
        "CREATE INDEX ix_body ON notes (body)",
        "ALTER TABLE notes ADD CONSTRAINT ck CHECK (id > 0)",
        "ALTER TABLE notes ADD COLUMN of integer GENERATED ALWAYS AS (id + 1) STORED CONSTRAINT uq UNIQUE DEFERRABLE",
    )
    wanted = notes(
        Column("of", Integer, Computed("id + 2", persisted=True)),
        UniqueConstraint("of", name="uq"),
        Index("ix_body", text("lower(body) text_pattern_ops"), postgresql_where=text("id > 1")),
        CheckConstraint("id > 1", name="ck"),
        security=RowLevelSecurity((Policy("mine", using="id > 1"),)),
    )
    assert len(batches.autogenerate(wanted, "one")) == 10
    before = at_base(batches, wanted)
    batches.upgrade(wanted)
    assert batches.autogenerate(wanted, "two") == []
    batches.downgrade(wanted)
    assert dump(project.url) == before


def test_a_generated_column_takes_its_constraints_along(tmp_path: Path, project: Project) -> None:
    # Where Alembic compares defaults, it would warn that a generated column cannot be changed.
    env = documented_env().replace(LOOK, LOOK + "compare_server_default=True,")
    comparing = Project(tmp_path / "comparing", project.url, env)
    project.execute(
        "ALTER TABLE notes ADD COLUMN of integer GENERATED ALWAYS AS (id + 1) STORED "
        "CONSTRAINT fk_of REFERENCES notes (id) CONSTRAINT uq_of UNIQUE CONSTRAINT ck_of CHECK (of > 0)"
    )
    wanted = notes(
        Column("of", Integer, Computed("id + 2", persisted=True)),
        UniqueConstraint("of", name="uq_of"),
        ForeignKeyConstraint(["of"], ["notes.id"], name="fk_of"),
        CheckConstraint("of > 0", name="ck_of"),
    )
    assert comparing.autogenerate(wanted, "one") == [
        ("remove_fk", "fk_of"),
        ("remove_constraint", "ck_of"),
        ("remove_constraint", "uq_of"),
        ("remove_column", "of"),
        ("add_column", "of"),
        ("add_constraint", "uq_of"),
        ("add_constraint", "ck_of"),
        ("add_fk", "fk_of"),
    ]
    before = at_base(comparing, wanted)
    comparing.upgrade(wanted)
    assert comparing.autogenerate(wanted, "two") == []
    comparing.downgrade(wanted)
    assert dump(project.url) == before


def test_unnamed_checks_of_a_new_table_get_the_names_that_the_server_gives(project: Project) -> None:
    metadata = notes()
    long, other = "t" * 50, "c" * 30
    kind = Enum("a", "b", native_enum=False, create_constraint=True)
    one = Column(other, Integer, CheckConstraint(f"{other} > 0"))
    two = Column("k", Integer, CheckConstraint("k > 0"))
    Table(long, metadata, one, two, Column("kind", kind), CheckConstraint("k < 9"))
    diffs = project.autogenerate(metadata, "one")
    assert diffs[1:] == [("add_constraint", f"{'t' * 28}_{'c' * 28}_check"), ("add_constraint", f"{'t' * 50}_k_check1")]
    before = at_base(project, metadata)
    project.upgrade(metadata)
    assert project.autogenerate(metadata, "two") == []
    project.execute(f"ALTER TABLE {long} RENAME CONSTRAINT {long}_k_check TO as_it_was")  # the one of CREATE TABLE
    project.downgrade(metadata)
    assert dump(project.url) == before


def test_what_a_partition_inherits_is_its_parents(project: Project) -> None:
    project.execute(
        "CREATE TABLE events (id integer PRIMARY KEY, v integer CONSTRAINT ck_v CHECK (v > 0) CHECK (v < 9)) "
        "PARTITION BY RANGE (id)",
        "CREATE INDEX ix_v ON events (v)",
        "CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM (0) TO (9)",
        "ALTER TABLE events_1 ADD CONSTRAINT own CHECK (v <> 5)",
    )

    def events(limit: int, *own: str) -> MetaData:
        metadata = notes()
        for name, index in (("events", "ix_v"), ("events_1", "events_1_v_idx")):
            columns = Column("id", Integer, primary_key=True), Column("v", Integer)
            checks = CheckConstraint(f"v > {limit}", name="ck_v"), CheckConstraint("v < 9")
            Table(name, metadata, *columns, *checks, Index(index, "v"))
        for name in own:
            metadata.tables["events_1"].append_constraint(CheckConstraint("v <> 5", name=name))
        return metadata

    assert project.autogenerate(events(0, "own"), "nothing") == []
    wanted = events(1)
    assert project.autogenerate(wanted, "one") == [
        ("remove_constraint", "ck_v"), ("add_constraint", "ck_v"), ("remove_constraint", "own")
    ]  # fmt: skip
    project.upgrade(wanted)
    assert project.autogenerate(wanted, "two") == []
    for each in ("events_1", "events"):
        wanted.remove(wanted.tables[each])
    Table("events", wanted, Column("id", Integer, primary_key=True), Column("v", Integer))
    Table("events_1", wanted, Column("id", Integer, primary_key=True), Column("v", Integer))
    assert project.autogenerate(wanted, "three") == [
        ("remove_constraint", "ck_v"), ("remove_constraint", "events_v_check"), ("remove_index", "ix_v")
    ]  # fmt: skip
