"""The SQL that creates an object, takes it away, or comments on it, from its description."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .objects import Attributes, DbObject

_ON_TABLE = ("constraint", "trigger", "policy", "rule")


def create(each: DbObject, has: Attributes, columns: Mapping[str, Attributes] | None = None) -> list[str]:
    """Return what creates an object, a table or view without what is on it but `columns`."""
    comments = [comment(each, has["comment"])] if "comment" in has else []
    return [*_create(each, has, columns or {}), *comments]


def _create(each: DbObject, has: Attributes, columns: Mapping[str, Attributes]) -> list[str]:
    match each.kind:
        case "table":
            lines = ", ".join(f"{name} {_column(column)}" for name, column in columns.items())
            security = [f"ALTER TABLE {each.name} ENABLE ROW LEVEL SECURITY"] if "row_level_security" in has else []
            return [f"CREATE TABLE {each.name} ({lines}){_options(has)}", *security]
        case "view":
            return [f"CREATE OR REPLACE VIEW {each.name}{_options(has)} AS\n{has['definition'].strip().rstrip(';')}"]
        case "column":
            return [f"ALTER TABLE {each.on} ADD COLUMN {each.name} {_column(has)}", *column_settings(each, has)]
        case "constraint":
            return [f"ALTER TABLE {each.on} ADD CONSTRAINT {each.name} {has['definition']}"]
        case "index":
            return [re.sub(r"^CREATE (UNIQUE )?INDEX ", r"CREATE \1INDEX CONCURRENTLY ", has["definition"])]
        case "policy":
            return [_policy(each, has)]
        case "grant":
            return [_grant(each, privilege) for privilege in has["privileges"]]
        case "trigger":
            create_or_replace = re.sub("^CREATE TRIGGER ", "CREATE OR REPLACE TRIGGER ", has["definition"])
            return [create_or_replace, *([trigger_state(each, has)] if "enabled" in has else [])]
        case "sequence":
            return [f"CREATE SEQUENCE {each.name} AS {has['type']} OWNED BY {has.get('owned_by', 'NONE')}"]
        case "function" | "procedure" | "rule":
            return [has["definition"].strip()]
        case _:
            return [f"CREATE {each.kind.upper()} {each.name}"]


def drop(each: DbObject, has: Attributes) -> list[str]:
    """Return what takes an object away. A table goes to another schema: its rows may be wanted."""
    match each.kind:
        case "table" if each.name.startswith("public."):
            return [f"DROP TABLE {each.name}"]
        case "table":
            parting = [f"ALTER TABLE {each.name} NO INHERIT {parent}" for parent in has.get("parents", [])]
            return [*parting, f"ALTER TABLE {each.name} SET SCHEMA public"]
        case "role":
            return [f"ALTER ROLE {each.name} NOBYPASSRLS"]
        case "default acl":
            return [f"-- see \\ddp, then: ALTER DEFAULT PRIVILEGES {each.name.upper()} REVOKE ... FROM ..."]
        case "column":
            return [f"ALTER TABLE {each.on} DROP COLUMN {each.name}"]
        case "constraint":
            return [f"ALTER TABLE {each.on} DROP CONSTRAINT {each.name}"]
        case "trigger" | "policy" | "rule":
            return [f"DROP {each.kind.upper()} {each.name} ON {each.on}"]
        case "index":
            return [f"DROP INDEX CONCURRENTLY {each.name}"]
        case "grant":
            return [revoke(each, privilege) for privilege in has["privileges"]]
        case _:
            return [f"DROP {each.kind.upper().removesuffix(' OBJECT')} {each.name}"]


def comment(each: DbObject, words: str | None) -> str:
    """Return what comments on an object, or takes the comment away."""
    name = f"{each.on}.{each.name}" if each.kind == "column" else each.name
    place = f" ON {each.on}" if each.kind in _ON_TABLE else ""
    quoted = "NULL" if words is None else "'" + words.replace("'", "''") + "'"
    return f"COMMENT ON {each.kind.upper()} {name}{place} IS {quoted}"


def column_settings(each: DbObject, has: Attributes) -> list[str]:
    """Return what a column is told after it is made."""
    alter = f"ALTER TABLE {each.on} ALTER COLUMN {each.name}"
    return [
        *([f"{alter} SET STORAGE {has['storage']}"] if "storage" in has else []),
        *([f"{alter} SET COMPRESSION {has['compression']}"] if "compression" in has else []),
    ]


def trigger_state(each: DbObject, has: Attributes) -> str:
    """Return what turns a trigger on or off."""
    words = {None: "ENABLE", "never": "DISABLE", "on replicas": "ENABLE REPLICA", "always": "ENABLE ALWAYS"}
    return f"ALTER TABLE {each.on} {words[has.get('enabled')]} TRIGGER {each.name}"


def revoke(each: DbObject, privilege: str) -> str:
    """Return what takes a privilege from a role."""
    return f"REVOKE {_on(each, privilege.removesuffix(_OPTION))} FROM {each.name}"


def _grant(each: DbObject, privilege: str) -> str:
    option = _OPTION if privilege.endswith(_OPTION) else ""
    return f"GRANT {_on(each, privilege.removesuffix(_OPTION))} TO {each.name}{option}"


_OPTION = " WITH GRANT OPTION"


def _on(each: DbObject, privilege: str) -> str:
    kind, _, name = each.on.rpartition(" ") if "(" not in each.on else each.on.partition(" ")
    if kind == "column":
        table, _, column = name.rpartition(".")
        return f"{privilege} ({column}) ON TABLE {table}"
    return (
        f"{privilege} ON {kind.upper() if kind in ('schema', 'sequence', 'function', 'procedure') else 'TABLE'} {name}"
    )


def _options(has: Attributes) -> str:
    return f" WITH ({', '.join(has['options'])})" if "options" in has else ""


def _column(has: Attributes) -> str:
    words = [has["type"]]
    if "collation" in has:
        words.append(f"COLLATE {has['collation']}")
    if "generated" in has:
        words.append(f"GENERATED ALWAYS AS ({has['generated']}) {'VIRTUAL' if 'virtual' in has else 'STORED'}")
    if "identity" in has:
        words.append(f"GENERATED {has['identity']} AS IDENTITY")
    if "default" in has:
        words.append(f"DEFAULT {has['default']}")
    if "not_null" in has:
        words.append("NOT NULL")
    return " ".join(words)


def _policy(each: DbObject, has: Attributes) -> str:
    words = [f"CREATE POLICY {each.name} ON {each.on}"]
    if "restrictive" in has:
        words.append("AS RESTRICTIVE")
    words.append(f"FOR {has.get('command', 'ALL')} TO {', '.join(has.get('roles', ['PUBLIC']))}")
    if "using" in has:
        words.append(f"USING ({has['using']})")
    if "check" in has:
        words.append(f"WITH CHECK ({has['check']})")
    return " ".join(words)
