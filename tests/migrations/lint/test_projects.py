from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from memstore.errors import MigrationError, MissingPackageError
from memstore.migrations.lint import LintResult, lint_revisions
from memstore.migrations.lint.squawk import CHOSEN, remarks
from memstore.migrations.scripts import revisions, script_location
from tests.hosts.project import ASYNC_ENV
from tests.migrations.lint.project import ENV, INI, write_project
from tests.support import ROOT

HIDDEN = (
    "from string import Template\n\n\ndef upgrade() -> None:\n    op.execute(Template({!r}).substitute(t='tools'))\n"
)
INDEX = HIDDEN.format("CREATE INDEX ix ON $t (name)")
TABLE = (
    "def upgrade() -> None:\n    op.create_table('t', sa.Column('e', VECTOR(3000)))\n\n\n"
    "def downgrade() -> None:\n    op.archive_table('t')\n    op.drop_table('t')\n"
)
READING = "def upgrade() -> None:\n    for row in op.get_bind().execute(sa.text('SELECT 1')):\n        print(row)\n"
IRREVERSIBLE = 'level = "irreversible"\nirreversible_because = "the rows are gone"\n\n\n'
REFUSED = "\n\ndef downgrade() -> None:\n    raise NotImplementedError('the rows are gone')\n"


@pytest.fixture(autouse=True)
def _own_modules_of_each_project() -> Iterator[None]:
    """Projects of several tests have modules of the same name."""
    before = list(sys.path)
    yield
    assert sys.path == before
    for name in ("app", "app.models", "models"):
        sys.modules.pop(name, None)


def lint(folder: Path, *targets: str, sql: bool = True) -> LintResult:
    return lint_revisions(targets, config=folder / "alembic.ini", sql=sql)


def codes(found: LintResult) -> list[tuple[str | None, str]]:
    return [(each.revision, each.code) for each in found.findings]


def test_our_own_revisions_lint_clean() -> None:
    found = lint_revisions()
    assert [f"{each.path}:{each.line}: {each.code} {each.message}" for each in found.findings] == []
    assert [Path(each).stem for each in found.paths] == list(revisions())


@pytest.mark.parametrize(
    ("targets", "expected"),
    [
        ((), "123"),
        (("0001_change",), "2"),
        (("0000_change:0002_change",), "23"),
        (("0001_change:",), "3"),
        ((":0001_change",), "12"),
        (("base:heads", "0001_change"), "123"),
        (("head",), "3"),
    ],
)
def test_revisions_are_named_as_alembic_names_them(tmp_path: Path, targets: tuple[str, ...], expected: str) -> None:
    write_project(tmp_path, INDEX, INDEX, INDEX)
    ids = [f"000{int(each) - 1}_change" for each in expected]
    found = lint(tmp_path, *targets)
    assert codes(found) == [(each, "SQ-require-concurrent-index-creation") for each in ids]
    assert [Path(each).stem for each in found.paths] == ids
    assert codes(lint(tmp_path, *targets, sql=False)) == []


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    write_project(tmp_path, INDEX)
    for target, named in (
        ("nothing", "nothing"),
        ("nothing:heads", "nothing"),
        ("app/nothing.py", "app/nothing.py"),
        (str(tmp_path / "tests"), "no revision in"),
    ):
        with pytest.raises(MigrationError, match=named):
            lint(tmp_path, target)
    with pytest.raises(MigrationError, match=r"no file .*nothing\.ini"):
        lint_revisions(config=tmp_path / "nothing.ini")
    with pytest.raises(MigrationError, match="no rule MS999"):
        lint_revisions(config=tmp_path / "alembic.ini", ignore=["MS999"])
    with pytest.raises(MigrationError, match="no distance 'far'"):
        lint_revisions(config=tmp_path / "alembic.ini", distance="far")
    (tmp_path / "migrations" / "versions" / "0000_change.py").write_text("import nowhere_at_all")
    with pytest.raises(MigrationError, match="nowhere_at_all"):
        lint(tmp_path)


def test_a_range_that_has_nothing_is_refused_unless_it_is_where_it_began(tmp_path: Path) -> None:
    write_project(tmp_path, INDEX, INDEX)
    others = tmp_path / "others"
    others.mkdir()
    (tmp_path / "alembic.ini").write_text(f"{INI}version_locations = %(here)s/migrations/versions:%(here)s/others\n")
    first = (tmp_path / "migrations" / "versions" / "0000_change.py").read_text()
    (others / "o1.py").write_text(first.replace("'0000_change'", "'o1'"))
    depends = "down_revision = 'o1'\ndepends_on = '0001_change'"
    (others / "o2.py").write_text(first.replace("'0000_change'", "'o2'").replace("down_revision = None", depends))
    for target in ("o1:0001_change", "0001_change:0000_change", "heads:base", "0001_change:o2", "0000_change:o2"):
        with pytest.raises(MigrationError, match=r"\w.*A:B"):
            lint(tmp_path, target)
    for target in ("0001_change:0001_change", "o2:heads"):
        assert lint(tmp_path, target) == LintResult((), ())


def test_a_table_of_an_earlier_revision_is_not_new(tmp_path: Path) -> None:
    made = "def upgrade() -> None:\n    op.create_table('tools', sa.Column('name', sa.Text()))\n"
    sql = "Template('CREATE INDEX ix ON $t (name)').substitute(t='tools')"
    hidden = f"    from string import Template\n    op.execute({sql})\n"
    write_project(tmp_path, made + hidden, INDEX)
    assert codes(lint(tmp_path)) == [("0001_change", "SQ-require-concurrent-index-creation")]


def test_the_way_down_is_linted_too(tmp_path: Path) -> None:
    down = INDEX.replace("def upgrade", "def downgrade")
    write_project(tmp_path, down)
    (found,) = lint(tmp_path).findings
    assert found.message.startswith("downgrade(): CREATE INDEX ix ON tools ( name ): ")
    source = Path(tmp_path / "migrations" / "versions" / "0000_change.py").read_text().splitlines()
    assert source[found.line - 1].startswith("def downgrade")


def test_squawk_is_silenced_like_everybody_else(tmp_path: Path) -> None:
    write_project(tmp_path, INDEX, INDEX)
    silence = "# lint: SQ-require-concurrent-index-creation because tools has ten rows\n"
    for name in ("0000_change", "0001_change"):
        path = tmp_path / "migrations" / "versions" / f"{name}.py"
        docstring, _, rest = path.read_text().partition("\n")
        path.write_text(f"{docstring}\n{silence if name[3] == '0' else silence.replace('creation', 'deletion')}{rest}")
    assert codes(lint(tmp_path)) == [
        ("0001_change", "MS902"),
        ("0001_change", "SQ-require-concurrent-index-creation"),
    ]
    assert codes(lint(tmp_path, sql=False)) == []


def test_branches_bases_and_merges(tmp_path: Path) -> None:
    write_project(tmp_path, INDEX, INDEX)
    versions = tmp_path / "migrations" / "versions"
    others = tmp_path / "others"
    others.mkdir()
    (tmp_path / "alembic.ini").write_text(f"{INI}version_locations = %(here)s/migrations/versions:%(here)s/others\n")
    first = (versions / "0000_change.py").read_text()
    (others / "o1.py").write_text(first.replace("'0000_change'", "'o1'"))
    (others / "o2.py").write_text(
        first.replace("'0000_change'", "'o2'").replace(
            "down_revision = None", "down_revision = 'o1'\ndepends_on = '0000_change'"
        )
    )
    expected = ["0000_change", "0001_change", "o1", "o2"]
    assert sorted(codes(lint(tmp_path))) == [(each, "SQ-require-concurrent-index-creation") for each in expected]
    (versions / "merge.py").write_text(
        "revision = 'merge'\ndown_revision = ('0001_change', 'o2')\nlevel = 'reversible'\n\n\n"
        "def upgrade():\n    pass\n\n\ndef downgrade():\n    pass\n"
    )
    found = lint(tmp_path)
    assert sorted(codes(found)) == [(each, "SQ-require-concurrent-index-creation") for each in expected]
    assert len(found.paths) == 5
    assert codes(lint(tmp_path, "o2")) == [("o2", "SQ-require-concurrent-index-creation")]


def test_an_async_environment(tmp_path: Path) -> None:
    (tmp_path / "models.py").write_text("class Base:\n    metadata = None\n")
    write_project(tmp_path, INDEX, env=ASYNC_ENV)
    (tmp_path / "alembic.ini").write_text(f"{INI}sqlalchemy.url = postgresql+asyncpg://nobody@nowhere/nothing\n")
    assert codes(lint(tmp_path)) == [("0000_change", "SQ-require-concurrent-index-creation")]


def test_an_environment_that_cannot_render_is_said(tmp_path: Path) -> None:
    write_project(tmp_path, INDEX, env="print('hello')\nraise RuntimeError('no database here')\n")
    found = lint(tmp_path).findings
    assert [(each.code, Path(each.path).name) for each in found] == [("MS904", "env.py")] * 2
    assert "RuntimeError: no database here" in found[0].message


def test_a_revision_that_cannot_render_is_said_and_the_others_are_linted(tmp_path: Path) -> None:
    down = READING.replace("upgrade", "downgrade")
    half = f"{INDEX}{READING.partition(chr(10))[2]}"
    write_project(tmp_path, INDEX, half, INDEX, down, INDEX, READING)
    rule = "SQ-require-concurrent-index-creation"
    assert codes(lint(tmp_path)) == [
        ("0000_change", rule),
        ("0001_change", "MS904"),
        ("0001_change", rule),
        ("0002_change", rule),
        ("0003_change", "MS904"),
        ("0004_change", rule),
        ("0005_change", "MS904"),
    ]


def test_a_downgrade_that_is_refused_is_not_rendered(tmp_path: Path) -> None:
    down = INDEX.replace("def upgrade", "def downgrade")
    write_project(tmp_path, down, f"{INDEX}{REFUSED}", down)
    rule = "SQ-require-concurrent-index-creation"
    assert codes(lint(tmp_path)) == [(f"000{number}_change", rule) for number in range(3)]


@pytest.mark.parametrize("refused", [f"{INDEX}{REFUSED}", f"{IRREVERSIBLE}{INDEX}"], ids=["raised", "level"])
def test_an_environment_may_refuse_a_way_down_as_a_whole(tmp_path: Path, refused: str) -> None:
    refusing = (
        "from alembic import context\n\n"
        "way = context.get_starting_revision_argument(), context.get_revision_argument()\n"
        "if way not in ((None, '0002_change'), ('0002_change', '0001_change'), ('0000_change', None)):\n"
        "    raise RuntimeError(f'refused: {way}')\n"
    )
    down = INDEX.replace("def upgrade", "def downgrade")
    write_project(tmp_path, down, refused, down, env=f"{refusing}{ENV}")
    rule = "SQ-require-concurrent-index-creation"
    assert codes(lint(tmp_path)) == [(f"000{number}_change", rule) for number in range(3)]


def test_an_environment_without_transactions(tmp_path: Path) -> None:
    sql = HIDDEN.format("CREATE INDEX CONCURRENTLY ix ON $t (name)")
    write_project(tmp_path, sql)
    assert codes(lint(tmp_path)) == [("0000_change", "SQ-ban-concurrent-index-creation-in-transaction")]
    env = tmp_path / "migrations" / "env.py"
    env.write_text(ENV.replace("transaction_per_migration=True", "transactional_ddl=False"))
    assert codes(lint(tmp_path)) == []


def test_columns_of_other_revisions_are_known(tmp_path: Path) -> None:
    index = (
        "def upgrade() -> None:\n    op.create_index_concurrently(\n        'ix', 't', ['e'], using='hnsw', "
        "ops={'e': 'vector_cosine_ops'}\n    )\n"
    )
    write_project(tmp_path, 'level = "irreversible"\nirreversible_because = "x"\n\n\n' + TABLE, index)
    assert codes(lint(tmp_path, "0001_change", sql=False)) == [("0001_change", "MS303")]


def test_levels_are_asked_for_where_a_revision_has_one(tmp_path: Path) -> None:
    write_project(tmp_path, INDEX, INDEX)
    first, second = (tmp_path / "migrations" / "versions" / f"000{number}_change.py" for number in range(2))
    first.write_text(first.read_text().replace('level = "reversible"\n', ""))
    assert codes(lint(tmp_path, sql=False)) == [("0000_change", "MS404")]
    second.write_text(second.read_text().replace('level = "reversible"\n', ""))
    assert codes(lint(tmp_path, sql=False)) == []


def test_the_project_says_what_it_wants(tmp_path: Path) -> None:
    text = "def upgrade() -> None:\n    op.create_index_concurrently('i', 't', ['e'], using='ivfflat')\n"
    write_project(tmp_path, text)
    pyproject = tmp_path / "pyproject.toml"
    expected = {
        'distance = "cosine"': ["MS304"],
        'distance = "l2"': [],
        'tests = "tests"': ["MS407"],
        'tests = "tests"\nignore = ["MS407"]': [],
        "": [],
    }
    for said, found in expected.items():
        pyproject.write_text(f"[tool.memstore.lint]\n{said}\n")
        assert [code for _, code in codes(lint(tmp_path, sql=False))] == found
    for said, why in (('distanc = "l2"', "distanc"), ('distance = "far"', "'far'"), ("distance =", "pyproject")):
        pyproject.write_text(f"[tool.memstore.lint]\n{said}\n")
        with pytest.raises(MigrationError, match=why):
            lint(tmp_path)


def test_modules_beside_the_project_are_its_own(tmp_path: Path) -> None:
    text = "import json\n\nfrom app import models\n\n\ndef upgrade() -> None:\n    op.execute(models.SQL)\n"
    write_project(tmp_path, text)
    assert codes(lint(tmp_path, sql=False)) == [("0000_change", "MS401")]
    (tmp_path / "lone.py").write_text((tmp_path / "migrations" / "versions" / "0000_change.py").read_text())
    assert [each.code for each in lint_revisions([str(tmp_path / "lone.py")]).findings] == ["MS401"]


def test_a_project_without_an_ini(tmp_path: Path) -> None:
    write_project(tmp_path, INDEX)
    (tmp_path / "alembic.ini").unlink()
    said = '[tool.alembic]\nscript_location = "%(here)s/migrations"\n[tool.memstore.lint]\nignore = ["MS404"]\n'
    (tmp_path / "pyproject.toml").write_text(said)
    found = lint_revisions(config=tmp_path / "pyproject.toml")
    assert codes(found) == [("0000_change", "SQ-require-concurrent-index-creation")]


def test_files_of_our_own_are_linted_as_our_own(tmp_path: Path) -> None:
    path = script_location() / "versions" / f"{revisions()[1]}.py"
    text = path.read_text().replace('level = "', 'level = "not ')
    (tmp_path / path.name).write_text(text.replace("import op", "import op\nimport memstore"))
    assert {each.code for each in lint_revisions([str(tmp_path)]).findings} >= {"MS401", "MS404"}
    assert [each.code for each in lint_revisions([str(path)]).findings] == []
    assert [Path(each).name for each in lint_revisions([str(path)]).paths] == [path.name]


def test_the_chain_that_runs_under_load_has_no_object_twice_in_a_step() -> None:
    found = lint_revisions([str(ROOT / "tests" / "migrations" / "operations" / "chain" / "safe")])
    assert len(found.paths) > 5
    assert "MS115" not in {each.code for each in found.findings}


def test_a_folder_is_its_revisions(tmp_path: Path) -> None:
    write_project(tmp_path, INDEX, READING)
    found = lint_revisions([str(tmp_path)])
    assert [Path(each).stem for each in found.paths] == ["0000_change", "0001_change"]


def test_without_squawk_the_files_alone_can_be_linted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_project(tmp_path, INDEX)
    monkeypatch.setattr("sysconfig.get_path", lambda _: str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingPackageError, match=r"pip install 'memstore\[lint\]'"):
        lint(tmp_path)
    assert codes(lint(tmp_path, sql=False)) == []


def test_squawk_is_left_the_choice_of_no_rule() -> None:
    (said,) = remarks(["ALTER TABLE t ADD COLUMN IF NOT EXISTS a int;\nDROP VIEW v;\nDROP TABLE u;"])
    assert said == []
    (said,) = remarks(["-- a\n\nSELECT 1;\n\nALTER TABLE t\n  ADD CONSTRAINT u\n  UNIQUE (a);\nSELECT 2;"])
    assert [(each.rule, each.statement) for each in said] == [
        ("disallowed-unique-constraint", "ALTER TABLE t ADD CONSTRAINT u UNIQUE ( a )")
    ]
    assert {each.rule for each in said} <= CHOSEN.keys()
