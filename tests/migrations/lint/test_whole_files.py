from __future__ import annotations

from pathlib import Path

import pytest

from tests.migrations.lint.project import codes

INDEX = 'op.create_index("ix", "tools", ["name"])'

WHOLE = {
    "what goes up is dropped, and nothing is promised": (
        "level = None\n\n\ndef upgrade():\n    op.drop_table('t')\n",
        "MS201",
    ),
    "what goes down is dropped, and nothing is promised": (
        "level = None\n\n\ndef downgrade():\n    op.drop_table('t')\n",
        "",
    ),
    "a name given back": ("def downgrade():\n    op.rename_table('t', 'u')\n", ""),
    "policies of tables that cannot be told": (
        "def upgrade():\n    op.create_table('t', sa.Column('tenant_id'))\n"
        "    for t in op.get_bind().tables:\n        op.enable_tenant_isolation(t)\n",
        "",
    ),
    "a downgrade of nothing for what cannot be told": (
        "import somebody\n\n\ndef upgrade():\n    somebody.change_things()\n\n\ndef downgrade():\n    pass\n",
        "MS403",
    ),
    "both directions in the wrong order": (
        'def upgrade():\n    op.drop_table_comment("t")\n    op.set_not_null_safely("t", "a")\n\n\n'
        'def downgrade():\n    op.drop_table_comment("t")\n    op.drop_not_null_safely("t", "a")\n',
        "MS108 MS108",
    ),
    "a helper is silenced where it is called": (
        'def each(table):\n    op.create_index("ix", table, ["a"])\n\n\n'
        'def upgrade():\n    each("a")  # lint: MS102 because a is small\n    each("b")\n',
        "MS102",
    ),
    "helpers are followed, with what they are given": (
        'def each(table, *, name="a"):\n    op.create_index(f"ix_{table}_{name}", table, [name])\n\n\n'
        'def upgrade():\n    each("tools")\n    each(table="notes", name="b")\n',
        "MS102 MS102",
    ),
    "a helper that calls itself ends": ("def upgrade():\n    upgrade()\n    op.drop_index('ix', 't')\n", "MS103"),
    "what a helper returns": (
        "def name():\n    return 'tools'\n\n\ndef upgrade():\n    op.create_index('ix', name(), ['a'])\n",
        "MS102",
    ),
    "constants of the module": (
        'T = "tools"\nC = ["a"]\n\n\ndef upgrade():\n    op.create_index("ix", T, [*C, "b"])\n',
        "MS102",
    ),
    "other names of the module op": (
        "from alembic import op as o\n\n\ndef upgrade():\n    o.drop_index('ix', 't')\n",
        "MS103",
    ),
    "a downgrade": ("def downgrade():\n    op.create_index('ix', 't', ['a'])\n", "MS102"),
    "an index that upgrade makes on a table that downgrade drops": (
        'level = "irreversible"\nirreversible_because = "x"\n\n\ndef upgrade():\n    op.create_table("t")\n'
        '    op.create_index("ix", "t", ["a"])\n\n\ndef downgrade():\n'
        '    op.execute("DROP INDEX ix")\n    op.drop_table("t")\n',
        "",
    ),
    "a computed column comes back by itself": (
        'def upgrade():\n    op.create_table("x")\n    op.execute("ALTER TABLE t ADD COLUMN a int '
        'GENERATED ALWAYS AS (b) STORED")  # lint: MS109 because t is small\n\n\n'
        'def downgrade():\n    op.drop_column("t", "a")\n',
        "",
    ),
    "a table that only archives of another": (
        'def upgrade():\n    op.archive_table("a")\n    op.drop_table("b")\n\n\n'
        'def downgrade():\n    op.restore_table("a")\n',
        "MS201",
    ),
    "a merge does nothing both ways": ("def upgrade():\n    pass\n\n\ndef downgrade():\n    pass\n", ""),
    "a downgrade that is refused": (
        'def upgrade():\n    op.execute("CREATE VIEW v AS SELECT 1")\n\n\n'
        'def downgrade():\n    raise NotImplementedError("why")\n',
        "",
    ),
    "a downgrade of a docstring": (
        'def upgrade():\n    op.execute("CREATE VIEW v AS SELECT 1")\n\n\ndef downgrade():\n    """Nothing."""\n',
        "MS403",
    ),
    "an id of 32 characters": (
        'revision = "0002_a_b_c_d_e_f_g_h_i_j_k_l_mno"\n\n\ndef upgrade():\n    pass\n\n\ndef downgrade():\n    pass\n',
        "",
    ),
    "a distance of its own": (
        'distance = "l2"\n\n\ndef upgrade():\n    op.create_index_concurrently("i", "t", ["e"], using="ivfflat")\n',
        "",
    ),
    "imports for type checkers alone": (
        "from typing import TYPE_CHECKING\n\nif TYPE_CHECKING:\n    from memstore.models import Base\n",
        "",
    ),
}


@pytest.mark.parametrize(("text", "expected"), WHOLE.values(), ids=WHOLE.keys())
def test_a_whole_file_is_told(tmp_path: Path, text: str, expected: str) -> None:
    assert codes(tmp_path, text) == expected
