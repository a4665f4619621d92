"""Reading the description of a schema from a database."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from .objects import Catalog, DbObject
from .query import DESCRIBE, EXTENSION, OWNER, SETTINGS

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection


def read_catalog(connection: Connection, schema: str = "memstore") -> Catalog:
    """Return the description of a schema, in the transaction of `connection` or a new one. Reads only.

    It takes no lock but ACCESS SHARE, on the tables that views and expressions name. The description does not depend on
    settings such as the search path, on where pgvector is installed, nor on the major version of PostgreSQL.
    """
    savepoint = connection.begin_nested()  # it is rolled back, and the settings with it
    connection.execute(SETTINGS)
    rows = connection.execute(DESCRIBE, {"schema": schema}).all()
    owner = connection.scalar(OWNER, {"schema": schema})
    extension = connection.execute(EXTENSION).first()
    savepoint.rollback()
    bare = _bare_names(extension.schema, extension.names) if extension else str
    found = {
        DbObject(row.kind, bare(row.on_object or ""), bare(row.name)): _with_bare_names(row.attributes, bare)
        for row in rows
    }
    if connection.dialect.server_version_info < (16,):  # type: ignore[operator]
        for each, attributes in found.items():
            if each.kind in ("view", "materialized view"):
                attributes["definition"] = without_lone_prefix(attributes["definition"])
    return Catalog({each: found[each] for each in sorted(found)}, owner)


def _bare_names(schema: str, names: list[str]) -> Callable[[str], str]:
    """Return what takes the schema of pgvector off the names of its types, functions, operators and so on."""
    name = re.compile(rf"(?<![\w.\"]){re.escape(schema)}\.(?=({'|'.join(map(re.escape, names))})(?![\w\"]))")
    operator = re.compile(rf"OPERATOR\({re.escape(schema)}\.([^)]+)\)")
    return lambda text: operator.sub(r"\1", name.sub("", text))


def _with_bare_names(attributes: dict[str, Any], bare: Callable[[str], str]) -> dict[str, Any]:
    def rewrite(value: Any) -> Any:
        if isinstance(value, list):
            return [rewrite(each) for each in value]
        return bare(value) if isinstance(value, str) else value

    return {name: rewrite(value) for name, value in attributes.items()}


def without_lone_prefix(definition: str) -> str:
    """Return the definition of a view as PostgreSQL 16 writes it, from what 15 does.

    Up to 15 the columns of a view on one relation are named with it, from 16 on without.
    """
    relations = re.findall(r"\bFROM ([^;]*?)(?=\n\s*(?:WHERE|GROUP|HAVING|ORDER|LIMIT)\b|;|$)", definition)
    if len(relations) != 1 or re.search(r"[,()]|\bJOIN\b", relations[0]):
        return definition
    name = re.split(r"[ .]", relations[0].strip())[-1]
    return re.sub(rf"(?<![.\w\"]){re.escape(name)}\.", "", definition)
