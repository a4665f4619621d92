"""What squawk, a linter of PostgreSQL's SQL, says of a revision's SQL."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import MigrationError, MissingPackageError
from .tokens import placed_statements

if TYPE_CHECKING:
    from collections.abc import Sequence

_OLDEST_SERVER = "14"

CHOSEN: dict[str, str] = {
    "adding-field-with-default": "ADD COLUMN without the default, ALTER COLUMN SET DEFAULT, then op.backfill",
    "adding-foreign-key-constraint": "op.add_foreign_key_safely(...)",
    "adding-not-nullable-field": "op.set_not_null_safely(...)",
    "adding-required-field": "a default, or nullable, then op.backfill and op.set_not_null_safely(...)",
    "adding-serial-primary-key-field": "op.create_index_concurrently(..., unique=True), then PRIMARY KEY USING INDEX",
    "ban-alter-domain-with-add-constraint": "a CHECK on each table instead: op.add_check_safely(...)",
    "ban-concurrent-index-creation-in-transaction": "op.create_index_concurrently(...)",
    "ban-drop-extension": "nothing: leave the extension where it is",
    "ban-truncate-cascade": "op.archive_table(...), and the tables by name",
    "changing-column-type": "a new column, op.backfill, and readers moved before the old one goes",
    "constraint-missing-not-valid": "op.add_check_safely(...), op.add_foreign_key_safely(...)",
    "disallowed-unique-constraint": "op.add_unique_safely(...)",
    "renaming-column": "the attribute renamed alone, or a new column and op.backfill",
    "renaming-table": "the model renamed alone, or a view of the old name left behind",
    "require-concurrent-index-creation": "op.create_index_concurrently(...)",
    "require-concurrent-index-deletion": "op.drop_index_concurrently(...)",
    "require-concurrent-partition-detach": "DETACH PARTITION ... CONCURRENTLY, in an autocommit block",
    "require-concurrent-reindex": "op.swap_index_concurrently(...)",
    "syntax-error": "SQL that PostgreSQL takes",
}

# What it has besides, and why a revision is not asked for it:
# - ban-drop-table, ban-drop-column, ban-drop-database: MS201 asks for the archive, and knows which way it goes; a
#   database is not dropped in a transaction at all.
# - ban-drop-constraint, -not-null, -view, -function, -type, -schema, -sequence, -domain, -policy and others of the
#   kind, renaming-object: a way down takes back what the way up made, without losing a row.
# - ban-create-domain-with-constraint: a new domain has no rows.
# - ban-char-field, prefer-*, require-table-schema, require-enum-value-ordering: taste. prefer-robust-stmts asks for
#   IF NOT EXISTS, which takes an INVALID index for done.
# - require-timeout-settings, require-lock-timeout, require-statement-timeout, transaction-nesting,
#   ban-uncommitted-transaction: the environment sets timeouts, and Alembic writes BEGIN and COMMIT.
# - unused-ignore: squawk's own comments are not in rendered SQL.

# Says less than what else is said of the same statement.
_VAGUE = "constraint-missing-not-valid"


@dataclass(frozen=True, slots=True)
class Remark:
    """What squawk says of a statement: its rule, and the statement with single spaces and empty strings."""

    rule: str
    message: str
    statement: str


def squawk_program() -> str:
    """Return the path of squawk: that of this Python's environment, or the first on PATH.

    Raises:
        MissingPackageError: there is none.
    """
    beside = [sysconfig.get_path("scripts"), str(Path(sys.executable).parent)]
    found = next(filter(None, (shutil.which("squawk", path=each) for each in beside)), None) or shutil.which("squawk")
    if found is None:
        raise MissingPackageError("linting the SQL of revisions", "lint")
    return found


def remarks(pieces: Sequence[str]) -> list[list[Remark]]:
    """Return what squawk says of each of some pieces of SQL, each taken by itself.

    Raises:
        MissingPackageError: squawk is not installed.
        MigrationError: squawk failed.
    """
    program = squawk_program()
    if not pieces:
        return []
    with tempfile.TemporaryDirectory(prefix="memstore-lint-") as folder:
        names = [f"{number:06}.sql" for number in range(len(pieces))]
        for name, sql in zip(names, pieces, strict=True):
            (Path(folder) / name).write_text(sql, encoding="utf-8")
        # In a folder of its own: no .squawk.toml of anybody's chooses other rules.
        command = [program, "--reporter", "json", "--pg-version", _OLDEST_SERVER, *names]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, encoding="utf-8", check=False)  # noqa: S603
    try:
        said = json.loads(done.stdout)
    except ValueError as error:
        raise MigrationError(
            f"squawk failed: {(done.stderr or done.stdout).strip()}. Try: memstore db lint --no-sql"
        ) from error
    by_name: dict[str, list[dict[str, object]]] = {name: [] for name in names}
    for each in said:
        by_name[Path(str(each["file"])).name].append(each)
    return [_chosen(sql, by_name[name]) for name, sql in zip(names, pieces, strict=True)]


def _chosen(sql: str, said: list[dict[str, object]]) -> list[Remark]:
    placed = [(sql.count("\n", 0, place), statement) for place, statement in placed_statements(sql)]
    found: dict[tuple[int, str], Remark] = {}
    for each in said:
        rule, line = str(each["rule_name"]), int(str(each["line"]))
        if rule not in CHOSEN:
            continue
        number = max((number for number, (first, _) in enumerate(placed) if first <= line), default=0)
        statement = placed[number][1] if placed else ""
        found.setdefault((number, rule), Remark(rule, str(each["message"]).rstrip("."), statement))
    told = {number for number, rule in found if rule != _VAGUE}
    return [each for (number, rule), each in sorted(found.items()) if rule != _VAGUE or number not in told]
