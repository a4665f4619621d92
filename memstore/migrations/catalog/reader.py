"""Reading the description of a schema from a database."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from .objects import Catalog, DbObject
from .query import DESCRIBE, OWNER

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection

# Whatever the database, the role or the session says: expressions are printed in one way, and every name in full.
_SETTINGS = text("""
    SELECT set_config('search_path', 'pg_catalog', true), set_config('quote_all_identifiers', 'off', true),
           set_config('intervalstyle', 'postgres', true), set_config('datestyle', 'ISO, MDY', true),
           set_config('timezone', 'UTC', true), set_config('extra_float_digits', '1', true),
           set_config('bytea_output', 'hex', true)
""")

# What pgvector brings, and where it is.
_EXTENSION = text("""
    SELECT quote_ident(n.nspname) AS schema, array_agg(DISTINCT quote_ident(member.name)) AS names
    FROM pg_extension AS e JOIN pg_namespace AS n ON n.oid = e.extnamespace
    JOIN pg_depend AS d ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid AND d.deptype = 'e'
    CROSS JOIN LATERAL (
        SELECT typname FROM pg_type WHERE d.classid = 'pg_type'::regclass AND oid = d.objid
        UNION ALL SELECT proname FROM pg_proc WHERE d.classid = 'pg_proc'::regclass AND oid = d.objid
        UNION ALL SELECT opcname FROM pg_opclass WHERE d.classid = 'pg_opclass'::regclass AND oid = d.objid
    ) AS member (name)
    WHERE extname = 'vector' GROUP BY n.nspname
""")


def read_catalog(connection: Connection, schema: str = "memstore") -> Catalog:
    """Return the description of a schema, in the transaction of `connection` or a new one. Reads only.

    It takes no lock but ACCESS SHARE, on the tables that views and expressions name. The description does not depend on
    settings such as the search path, on where pgvector is installed, nor on the major version of PostgreSQL.
    """
    savepoint = connection.begin_nested()  # it is rolled back, and the settings with it
    connection.execute(_SETTINGS)
    rows = connection.execute(DESCRIBE, {"schema": schema}).all()
    owner = connection.scalar(OWNER, {"schema": schema})
    extension = connection.execute(_EXTENSION).first()
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
    return lambda words: operator.sub(r"\1", name.sub("", words))


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
