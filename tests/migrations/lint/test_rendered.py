"""What is found in the SQL that revisions render, and what is left to the file."""

from __future__ import annotations

from pathlib import Path

import pytest

from memstore.migrations.lint import lint_revisions
from tests.migrations.lint.project import in_upgrade, write_project

HIDDEN = "from string import Template\nop.execute(Template({!r}).substitute(t='tools'))"

RENDERED = {
    "an UPDATE that only rendering tells": (HIDDEN.format("UPDATE $t SET cost = 1"), "MS114"),
    "one of some rows": (HIDDEN.format("UPDATE $t SET cost = 1 WHERE cost IS NULL"), ""),
    "a DELETE": (HIDDEN.format("DELETE FROM $t"), "MS204"),
    "a TRUNCATE": (HIDDEN.format("TRUNCATE $t"), "MS204"),
    "a table that is archived": (f"op.archive_table('tools')\n{HIDDEN.format('DELETE FROM $t')}", ""),
    "a table that is new": (
        f"op.create_table('tools', sa.Column('a', sa.Text()))\n{HIDDEN.format('UPDATE $t SET a = 1')}",
        "",
    ),
    "an UPDATE that the file tells": ("op.execute('UPDATE tools SET cost = 1')  # lint: MS114 because ten rows", ""),
    "an UPDATE through SQLAlchemy": (
        "op.execute(sa.update(sa.table('tools', sa.column('a', sa.Integer()))).values(a=1))",
        "MS114",
    ),
    "one of a table that cannot be told": (
        "t = sa.table(max(['tools']), sa.column('a', sa.Integer()))\nop.execute(sa.update(t).values(a=1))",
        "MS114",
    ),
    "constraints of a column": (
        "op.execute('ALTER TABLE tools ADD COLUMN z int UNIQUE REFERENCES o(id)')",
        "MS107",
    ),
    "a column without the constraint that another statement gives it": (
        "op.execute('ALTER TABLE tools ADD COLUMN IF NOT EXISTS z int')\n"
        + HIDDEN.format("ALTER TABLE $t ADD COLUMN IF NOT EXISTS z int UNIQUE"),
        "SQ-disallowed-unique-constraint",
    ),
    "a name as render_as_batch writes it": (
        "with op.batch_alter_table('tools') as batch_op:\n    batch_op.create_index(batch_op.f('ix'), ['name'])",
        "MS102",
    ),
    "names that Alembic gives": (
        "op.add_column('tools', sa.Column('a', sa.Uuid(), sa.ForeignKey('users.id'), unique=True, index=True))",
        "MS102 MS105 MS107",
    ),
    "a TRUNCATE of what refers to it too": (
        "op.archive_table('tools')\nop.execute('TRUNCATE tools CASCADE')",
        "SQ-ban-truncate-cascade",
    ),
}


@pytest.mark.parametrize(("body", "expected"), RENDERED.values(), ids=RENDERED.keys())
def test_the_sql_says_what_the_file_does_not(tmp_path: Path, body: str, expected: str) -> None:
    down = "\n\ndef downgrade() -> None:\n    op.restore_table('tools')\n" if "archive" in body else ""
    write_project(tmp_path, in_upgrade(body) + down)
    found = lint_revisions(config=tmp_path / "alembic.ini").findings
    assert " ".join(sorted(each.code for each in found)) == expected


def test_each_statement_that_is_rendered_is_said(tmp_path: Path) -> None:
    write_project(
        tmp_path, in_upgrade(HIDDEN.format("UPDATE $t SET a = 1") + f"\n{HIDDEN.format('UPDATE u SET a = 1')}")
    )
    found = lint_revisions(config=tmp_path / "alembic.ini").findings
    assert [each.message.partition(" in one")[0] for each in found] == [
        "upgrade(): UPDATE of every row of tools",
        "upgrade(): UPDATE of every row of u",
    ]
    assert 'op.backfill("tools"' in found[0].fix
