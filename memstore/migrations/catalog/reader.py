"""Reading the description of a schema from a database."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sqlalchemy import text

from .objects import Catalog, DbObject
from .query import DESCRIBE, OWNER, SEARCH_PATH

if TYPE_CHECKING:
    from sqlalchemy import Connection


def read_catalog(connection: Connection, schema: str = "memstore") -> Catalog:
    """Return the description of a schema, in the transaction of `connection` or a new one. Reads only.

    It takes no lock but ACCESS SHARE, on the tables that views and expressions name. The description does not depend on
    the search path, on where pgvector is installed, nor on the major version of PostgreSQL.
    """
    path = connection.scalar(text("SELECT current_setting('search_path')"))
    connection.execute(SEARCH_PATH)
    rows = connection.execute(DESCRIBE, {"schema": schema}).all()
    owner = connection.scalar(OWNER, {"schema": schema})
    connection.execute(text("SELECT set_config('search_path', :path, true)"), {"path": path})
    found = {DbObject(row.kind, row.on_object or "", row.name): row.attributes for row in rows}
    if connection.dialect.server_version_info < (16,):  # type: ignore[operator]
        for each, attributes in found.items():
            if each.kind in ("view", "materialized view"):
                attributes["definition"] = without_lone_prefix(attributes["definition"])
    return Catalog({each: found[each] for each in sorted(found)}, owner)


def without_lone_prefix(definition: str) -> str:
    """Return the definition of a view as PostgreSQL 16 writes it, from what 15 does.

    Up to 15 the columns of a view on one relation are named with it, from 16 on without.
    """
    relations = re.findall(r"\bFROM ([^;]*?)(?=\n\s*(?:WHERE|GROUP|HAVING|ORDER|LIMIT)\b|;|$)", definition)
    if len(relations) != 1 or re.search(r"[,()]|\bJOIN\b", relations[0]):
        return definition
    name = re.split(r"[ .]", relations[0].strip())[-1]
    return re.sub(rf"(?<![.\w\"]){re.escape(name)}\.", "", definition)
