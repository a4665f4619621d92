from __future__ import annotations

from pathlib import Path

import pytest

from memstore.migrations.lint import lint_revisions
from tests.migrations.lint.project import codes, complete, in_upgrade

INDEX = 'op.create_index("ix", "tools", ["name"])'

SILENCES = {
    "on the line": (f"{INDEX}  # lint: MS102 because tools has ten rows", ""),
    "on a line of the statement": (
        'op.create_index(\n    "ix",  # lint: MS102 because it is small\n    "tools",\n    ["a"],\n)',
        "",
    ),
    "after a comment for another": (f"{INDEX}  # noqa: E501  # lint: MS102 because tools has ten rows", ""),
    "two on a line": (
        'op.add_column("t", sa.Column("a", index=True, unique=True))  # lint: MS102 because small # lint: MS107',
        "MS901",
    ),
    "on the line of the batch": (
        'with op.batch_alter_table("tools") as b:  # lint: MS102 because tools has ten rows\n'
        '    b.create_index("ix", ["name"])\n    b.create_index("iy", ["name"])\n'
        'op.create_index("iz", "tools", ["name"])',
        "MS102",
    ),
    "above the statement": (f"# lint: MS102 because tools has ten rows\n{INDEX}", ""),
    "elsewhere": (f"{INDEX}\nop.f('x')  # lint: MS102 because tools has ten rows", "MS102 MS902"),
    "of another rule": (f"{INDEX}  # lint: MS103 because tools has ten rows", "MS102 MS902"),
    "of a rule that is not": (f"{INDEX}  # lint: MS102, MS999 because tools has ten rows", "MS902"),
    "of two rules": (
        'op.add_column("t", sa.Column("a", index=True, unique=True))  # lint: MS102, MS107 because t is small',
        "",
    ),
    "without a reason": (f"{INDEX}  # lint: MS102", "MS901"),
    "with an empty reason": (f"{INDEX}  # lint: MS102 because", "MS901"),
    "in a string": (f"{INDEX}; op.f('# lint: MS102 because')", "MS102"),
}


@pytest.mark.parametrize(("body", "expected"), SILENCES.values(), ids=SILENCES.keys())
def test_a_silence_counts_where_it_stands(tmp_path: Path, body: str, expected: str) -> None:
    assert codes(tmp_path, in_upgrade(body)) == expected


def test_a_silence_before_the_first_statement_counts_for_the_whole_revision(tmp_path: Path) -> None:
    text = complete(in_upgrade(f"{INDEX}\n{INDEX}"), "0002", "0001")
    docstring, _, rest = text.partition("\n")
    path = tmp_path / "revision.py"
    for where, count in (
        (f"{docstring}\n# lint: MS102 because it is small\n{rest}", 0),
        (f"{text}\n# lint: MS102 because\n", 4),
    ):
        path.write_text(where)
        assert len(lint_revisions([str(path)]).findings) == count


def test_squawks_silences_are_not_judged_where_squawk_is_not_asked(tmp_path: Path) -> None:
    silence = "# lint: SQ-renaming-table because nobody uses it"
    assert codes(tmp_path, in_upgrade(f'op.execute("SELECT 1")  {silence}')) == ""
    assert codes(tmp_path, in_upgrade(f"{INDEX}  # lint: MS103 because x"), ignore=["MS103", "MS102"]) == ""
