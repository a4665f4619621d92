"""What an index is asked to be."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from alembic.operations import ops
from sqlalchemy import column, text
from sqlalchemy.schema import CreateIndex
from sqlalchemy.sql.elements import conv

from ..sql_text import escaped, quoted_table

if TYPE_CHECKING:
    from collections.abc import Mapping

_OPTIONS = ("using", "ops", "where", "with", "include", "nulls_not_distinct", "tablespace")


@dataclass(frozen=True, slots=True)
class IndexRequest:
    """An index: its name, its table, and the arguments of `op.create_index`."""

    name: str
    table: str
    columns: tuple[Any, ...]
    schema: str | None
    unique: bool
    options: Mapping[str, Any]

    @property
    def label(self) -> str:
        """The index as SQL takes it."""
        return quoted_table(self.schema, self.name)

    @property
    def table_sql(self) -> str:
        """The table as SQL takes it."""
        return quoted_table(self.schema, self.table)

    def named(self, name: str) -> IndexRequest:
        """Return the same index under another name."""
        return replace(self, name=name)

    def on(self, table: str, schema: str) -> IndexRequest:
        """Return the same index on another table."""
        return replace(self, table=table, schema=schema)

    def create(self, *, concurrently: bool, if_not_exists: bool) -> CreateIndex:
        """Return the CREATE INDEX.

        Raises:
            TypeError: an option that CREATE INDEX does not have.
        """
        options = {_option(name): value for name, value in self.options.items()}
        if isinstance(options.get("postgresql_where"), str):
            options["postgresql_where"] = text(escaped(options["postgresql_where"]))
        # By its name alone SQLAlchemy would look the column up in a table that it does not know.
        included = [column(each) if isinstance(each, str) else each for each in options.get("postgresql_include", ())]
        if included:
            options["postgresql_include"] = included
        if concurrently:
            options["postgresql_concurrently"] = True
        index = ops.CreateIndexOp(
            conv(self.name), self.table, list(self.columns), schema=self.schema, unique=self.unique, **options
        ).to_index()
        return CreateIndex(index, if_not_exists=if_not_exists)


def _option(name: str) -> str:
    bare = name.removeprefix("postgresql_").rstrip("_")
    if bare not in _OPTIONS:
        raise TypeError(f"an index has no option {name!r}. There are: {', '.join(_OPTIONS).replace('with', 'with_')}")
    return f"postgresql_{bare}"
