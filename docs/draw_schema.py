"""Draw the tables of memstore as a Mermaid diagram in docs/schema.md, or check (--check) that it is up to date."""

from __future__ import annotations

import sys
from pathlib import Path

from paracelsus.transformers.mermaid import Mermaid
from sqlalchemy import Column, ForeignKey, MetaData, Table
from sqlalchemy.dialects import postgresql
from sqlalchemy.types import UserDefinedType

from memstore.models import Base

PAGE = Path(__file__).parent / "schema.md"
BEGIN, END = "<!-- drawn by `make docs` -->\n", "<!-- end -->\n"
SHORT = {"timestamp with time zone": "timestamptz", "bit(1)": "bit", "boolean": "bool", "integer": "int"}


class Shown(UserDefinedType[object]):
    """A type by the name that PostgreSQL has for it."""

    cache_ok = True

    def __init__(self, column: Column[object]) -> None:
        name = str(column.type.compile(dialect=postgresql.dialect())).lower()  # type: ignore[no-untyped-call]
        self.name = SHORT.get(name, name)

    def get_col_spec(self, **_: object) -> str:
        return self.name


def drawn() -> str:
    """Return the diagram, one line between two tables for each foreign key.

    The key that each table has to its tenant is only drawn where there is no other.
    """
    picture = MetaData()
    for table in Base.metadata.sorted_tables:
        keys = {}
        for constraint in table.foreign_key_constraints:
            column = next((key.parent for key in constraint.elements if key.parent.name != "tenant_id"), None)
            if column is not None or len(table.foreign_key_constraints) == 1:
                element = next(key for key in constraint.elements if column is None or key.parent is column)
                keys[element.parent.name] = ForeignKey(f"{element.column.table.name}.{element.column.name}")
        columns = [
            Column(column.name, Shown(column), *filter(None, [keys.get(column.name)]), primary_key=column.primary_key)
            for column in table.columns
        ]
        for copy, column in zip(columns, table.columns, strict=True):
            copy.nullable = bool(column.nullable)
        Table(table.name, picture, *columns)
    text = str(Mermaid(picture, column_sort="preserve-order"))
    return text.replace("||--o|", "||--o{")  # a column of a composite key does not make a row unique


def main() -> int:
    """Write the page, or with --check compare it, and return the exit code."""
    before, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    page = f"{before}{BEGIN}```mermaid\n{drawn().rstrip()}\n```\n{END}{after}"
    if sys.argv[1:] == ["--check"]:
        if page == PAGE.read_text():
            return 0
        sys.stderr.write("docs/schema.md does not show the models as they are. Run: make docs\n")
        return 1
    PAGE.write_text(page)
    return 0


if __name__ == "__main__":
    sys.exit(main())
