"""The few things that only private API of Alembic and SQLAlchemy tells, in one place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import MetaData, Table
from sqlalchemy.schema import CreateTable

from ..sql_text import DIALECT

if TYPE_CHECKING:
    from alembic.autogenerate.api import AutogenContext
    from sqlalchemy import CheckConstraint, Column, Index
    from sqlalchemy.sql.elements import ClauseElement


def final_name(item: CheckConstraint | Index) -> str | None:
    """Return the name that a constraint or an index gets in the database: by convention, and cut to fit."""
    if item.name is None:
        return None
    # Private, and what Alembic calls for the same: nothing public applies a naming convention.
    name: Any = DIALECT.identifier_preparer.format_constraint(item, _alembic_quote=False)
    return None if name is None else str(name)


def type_bound(check: CheckConstraint) -> bool:
    """Tell whether a CHECK was made by the type of a column, such as an Enum, and is created along with it."""
    return bool(check._type_bound)


def created_here(check: CheckConstraint) -> bool:
    """Tell whether PostgreSQL gets a CHECK: that of a Boolean is for databases that have no such type."""
    condition = check._ddl_if
    if condition is not None and condition.dialect not in (None, DIALECT.name):
        return False
    rule: Any = check._create_rule
    return rule is None or bool(rule(DIALECT.ddl_compiler(DIALECT, CreateTable(Table("t", MetaData())))))


def prefixes(context: AutogenContext) -> tuple[str, str]:
    """Return what Alembic's functions and SQLAlchemy's are called by in the revision being written."""
    if context._has_batch:
        return "batch_op.", str(context.opts["sqlalchemy_module_prefix"] or "")
    return str(context.opts["alembic_module_prefix"] or ""), str(context.opts["sqlalchemy_module_prefix"] or "")


def in_batch(context: AutogenContext) -> bool:
    """Tell whether operations are being written inside `op.batch_alter_table`, which knows the table itself."""
    return bool(context._has_batch)


def compiled(expression: ClauseElement) -> str:
    """Return an expression of the models as SQL, its columns without their table."""
    return str(expression.compile(dialect=DIALECT, compile_kwargs={"literal_binds": True, "include_table": False}))


def type_sql(column: Column[Any]) -> str:
    """Return the type of a column of the models as SQL."""
    return str(column.type.compile(dialect=DIALECT))
