"""One table under comparison: what the models say of it, what the database has, and what follows from it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..sql_text import quoted_table
from .expressions import Expressions

if TYPE_CHECKING:
    from alembic.autogenerate.api import AutogenContext
    from alembic.operations.ops import MigrateOperation
    from sqlalchemy import Table
    from sqlalchemy.sql.schema import SchemaItem

    from .database import DatabaseTable


def qualified(context: AutogenContext, schema: str | None) -> str:
    """Return the name of a schema, that of the default one where it has none."""
    if context.connection is None:
        raise ValueError("autogenerate needs a connection")
    return schema or str(context.connection.dialect.default_schema_name)


@dataclass(slots=True)
class Comparison:
    """A table of the models (None: it is to go), of the database (None: it is to come), or of both.

    drops come first in the revision, then what Alembic itself found, then creates: a column cannot change its type
    under an index, nor be dropped under a generated column.
    rebuilt: generated columns that are dropped and added, so that what uses them has to be made again.
    retyped: columns whose type changes, which no policy and no generated column may use meanwhile.
    leaving: columns that are dropped, and everything on them.
    """

    context: AutogenContext
    schema: str | None
    name: str
    model: Table | None
    reflected: Table | None
    found: DatabaseTable
    expressions: Expressions = field(init=False)
    drops: list[MigrateOperation] = field(default_factory=list)
    creates: list[MigrateOperation] = field(default_factory=list)
    rebuilt: set[str] = field(default_factory=set)
    retyped: set[str] = field(default_factory=set)
    leaving: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        if self.context.connection is None:
            raise ValueError("autogenerate needs a connection")
        self.expressions = Expressions(self.context.connection, self.sql_name)

    @property
    def sql_name(self) -> str:
        """The table as SQL takes it."""
        return quoted_table(self.schema, self.name)

    @property
    def key(self) -> tuple[str, str]:
        """The schema, spelt out where it is the default one, and the table."""
        return qualified(self.context, self.schema), self.name

    @property
    def exists(self) -> bool:
        """Whether the table is in the database, and stays."""
        return self.model is not None and self.reflected is not None

    def wanted_by_name(self, name: str, kind: str) -> bool:
        """Ask the `include_name` of env.py whether to look at an object of the database."""
        parents: dict[str, Any] = {"table_name": self.name, "schema_name": self.schema}
        return self.context.run_name_filters(name, kind, parents)  # type: ignore[arg-type]

    def wanted(
        self, item: SchemaItem, name: str | None, kind: str, *, reflected: bool, other: SchemaItem | None = None
    ) -> bool:
        """Ask the `include_object` of env.py whether to propose something about an object."""
        return self.context.run_object_filters(item, name, kind, reflected, other)  # type: ignore[arg-type]
