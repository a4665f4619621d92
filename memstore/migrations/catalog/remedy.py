"""What an operator types about a difference.

It is advice, to read before it is run: it does not know the rows, some of which may break a constraint.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from .statements import column_settings, comment, create, drop, revoke, trigger_state

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .objects import Attributes, Catalog, DbObject

    Change = Callable[[DbObject, Attributes, Attributes], list[str]]

# In which the parts of a table are made.
_ORDER = ("column", "constraint", "index", "trigger", "rule", "policy", "grant")


def remedy(each: DbObject, changed: Sequence[str], found: Catalog, needed: Catalog) -> tuple[str, ...]:
    """Return what makes an object of `found` as it is in `needed`, one statement each."""
    has, wants = found.objects.get(each), needed.objects.get(each)
    if wants is None:
        return tuple(drop(each, found.objects[each]))
    if has is None:
        return tuple(_create_with_parts(each, needed))
    statements: list[str] = []
    for attribute in sorted(changed, key=lambda name: _turn(name, wants)):
        if attribute == "comment":
            statements.append(comment(each, wants.get("comment")))
        elif attribute == "owner":
            statements.append(f"ALTER {each.kind.upper()} {each.name} OWNER TO {found.owner}")
        elif attribute == "revoked_from_owner":
            statements.append(f"GRANT {', '.join(has[attribute])} ON TABLE {each.name} TO {found.owner}")
        elif attribute == "triggers_enabled":
            statements += [f"ALTER TABLE {each.on} ENABLE TRIGGER ALL", *_turned_off(each.on, needed)]
        elif each.kind == "view" and attribute == "definition" and _columns(each, found) == _columns(each, needed):
            statements += create(each, wants)
        elif change := _CHANGES.get((each.kind, attribute)):
            statements += change(each, has, wants)
        elif each.kind == "table":
            statements.append(f"-- {attribute} of a table cannot be changed: make a new one and move the rows")
        else:
            return (*drop(each, has), *_create_with_parts(each, needed, found))
    return tuple(dict.fromkeys(statements))


def _turn(attribute: str, wants: Attributes) -> tuple[bool, bool]:
    """Sort what changes: of identity and default one goes before the other comes, and a comment comes last."""
    return attribute == "comment", attribute == ("identity" if "identity" in wants else "default")


def _turned_off(table: str, catalog: Catalog) -> list[str]:
    """Return what gives the triggers of a table their state again where they are not simply on."""
    there = {each: has for each, has in catalog.objects.items() if (each.kind, each.on) == ("trigger", table)}
    return [trigger_state(each, has) for each, has in sorted(there.items()) if "enabled" in has]


def _columns(each: DbObject, catalog: Catalog) -> dict[str, str]:
    return {
        part.name: has["type"] for part, has in catalog.objects.items() if (part.kind, part.on) == ("column", each.name)
    }


def _create_with_parts(each: DbObject, catalog: Catalog, dropped: Catalog | None = None) -> list[str]:
    """Create an object with what is on it: on a table or view everything, on a column what went when it was dropped."""
    if each.kind == "column":
        there = dropped.objects if dropped else {}
        parts = [part for part in there if part.on == each.on and _names(catalog.objects.get(part, {}), each.name)]
    else:
        parts = [part for part in catalog.objects if part.on in (each.name, str(each)) and part.kind in _ORDER]
    columns = {part.name: catalog.objects[part] for part in parts if part.kind == "column"}
    statements = create(each, catalog.objects[each], columns)
    for part in sorted(parts, key=lambda part: (_ORDER.index(part.kind), _is_foreign(part, catalog), part)):
        if part.kind != "column":
            statements += create(part, catalog.objects[part])
        elif each.kind != "view":
            statements += column_settings(part, catalog.objects[part])
        if part.kind == "column" and "comment" in catalog.objects[part]:
            statements.append(comment(part, catalog.objects[part]["comment"]))
    return statements


def _names(has: Attributes, column: str) -> bool:
    """Tell whether an index or a constraint names a column."""
    return bool(re.search(rf"\b{re.escape(column)}\b", str(has.get("definition", ""))))


def _is_foreign(part: DbObject, catalog: Catalog) -> bool:
    """Tell whether it is a foreign key, which wants the keys of both tables first."""
    return str(catalog.objects[part].get("definition", "")).startswith("FOREIGN KEY")


def _alter_table(attribute: str, on: str, off: str) -> Change:
    return lambda each, _, wants: [f"ALTER TABLE {each.name} {on if attribute in wants else off}"]


def _alter_column(each: DbObject, words: str) -> list[str]:
    return [f"ALTER TABLE {each.on} ALTER COLUMN {each.name} {words}"]


def _set_options(each: DbObject, has: Attributes, wants: Attributes) -> list[str]:
    alter = f"ALTER {each.kind.upper()} {each.name}"
    extra = [option.partition("=")[0] for option in has.get("options", []) if option not in wants.get("options", [])]
    return [
        *([f"{alter} RESET ({', '.join(extra)})"] if extra else []),
        *([f"{alter} SET ({', '.join(wants['options'])})"] if "options" in wants else []),
    ]


def _set_type(each: DbObject, _has: Attributes, wants: Attributes) -> list[str]:
    collation = f" COLLATE {wants['collation']}" if "collation" in wants else ""
    # No USING: pgvector then refuses rows of another width, where USING NULL would destroy them.
    return _alter_column(each, f"TYPE {wants['type']}{collation}")


def _set_identity(each: DbObject, has: Attributes, wants: Attributes) -> list[str]:
    if "identity" not in wants:
        return _alter_column(each, "DROP IDENTITY")
    return _alter_column(
        each,
        f"{'SET' if 'identity' in has else 'ADD'} GENERATED {wants['identity']}"
        + ("" if "identity" in has else " AS IDENTITY"),
    )


def _set_storage(each: DbObject, _has: Attributes, wants: Attributes) -> list[str]:
    # PostgreSQL 15 cannot SET STORAGE DEFAULT.
    usual = {"numeric": "MAIN", "vector": "EXTERNAL"}.get(wants["type"].partition("(")[0], "EXTENDED")
    return _alter_column(each, f"SET STORAGE {wants.get('storage', usual)}")


def _index_of(each: DbObject) -> str:
    return f"{each.on.rpartition('.')[0]}.{each.name}"


def _set_sequence(each: DbObject, _has: Attributes, wants: Attributes) -> list[str]:
    return [
        f"ALTER SEQUENCE {each.name} AS {wants['type']} INCREMENT BY {wants['increment']} MINVALUE {wants['min']} "
        f"MAXVALUE {wants['max']} START WITH {wants['start']} CACHE {wants['cache']} "
        f"{'CYCLE' if 'cycle' in wants else 'NO CYCLE'}"
    ]


def _replace_function(each: DbObject, has: Attributes, wants: Attributes) -> list[str]:
    """Replace the body; a function with other arguments or another result must be dropped first."""
    same = has["definition"].partition("\n LANGUAGE")[0] == wants["definition"].partition("\n LANGUAGE")[0]
    return create(each, {"definition": wants["definition"]}) if same else [*drop(each, has), *create(each, wants)]


def _replace_trigger(each: DbObject, _has: Attributes, wants: Attributes) -> list[str]:
    """Replace a trigger, which turns it on, and turn it off again where that is how it should be."""
    return create(each, {name: value for name, value in wants.items() if name != "comment"})


def _set_privileges(each: DbObject, has: Attributes, wants: Attributes) -> list[str]:
    extra = [revoke(each, privilege) for privilege in has["privileges"] if privilege not in wants["privileges"]]
    missing = [privilege for privilege in wants["privileges"] if privilege not in has["privileges"]]
    return [*extra, *create(each, {"privileges": missing})]


_CHANGES: dict[tuple[str, str], Change] = {
    ("table", "row_level_security"): _alter_table(
        "row_level_security", "ENABLE ROW LEVEL SECURITY", "DISABLE ROW LEVEL SECURITY"
    ),
    ("table", "forced_row_level_security"): _alter_table(
        "forced_row_level_security", "FORCE ROW LEVEL SECURITY", "NO FORCE ROW LEVEL SECURITY"
    ),
    ("table", "unlogged"): _alter_table("unlogged", "SET UNLOGGED", "SET LOGGED"),
    ("table", "options"): _set_options,
    ("table", "children"): lambda each, has, wants: [
        f"ALTER TABLE {child} NO INHERIT {each.name}"
        for child in has["children"]
        if child not in wants.get("children", [])
    ],
    ("table", "parents"): lambda each, has, wants: [
        f"ALTER TABLE {each.name} NO INHERIT {parent}"
        for parent in has["parents"]
        if parent not in wants.get("parents", [])
    ],
    ("view", "options"): _set_options,
    ("column", "type"): _set_type,
    ("column", "collation"): _set_type,
    ("column", "not_null"): lambda each, _, wants: _alter_column(
        each, "SET NOT NULL" if "not_null" in wants else "DROP NOT NULL"
    ),
    ("column", "default"): lambda each, _, wants: _alter_column(
        each, f"SET DEFAULT {wants['default']}" if "default" in wants else "DROP DEFAULT"
    ),
    ("column", "identity"): _set_identity,
    ("column", "storage"): _set_storage,
    ("column", "compression"): lambda each, _, wants: _alter_column(
        each, f"SET COMPRESSION {wants.get('compression', 'DEFAULT')}"
    ),
    ("constraint", "valid"): lambda each, *_: [f"ALTER TABLE {each.on} VALIDATE CONSTRAINT {each.name}"],
    ("constraint", "index_valid"): lambda each, *_: [f"REINDEX INDEX CONCURRENTLY {_index_of(each)}"],
    ("function", "definition"): _replace_function,
    ("trigger", "definition"): _replace_trigger,
    ("trigger", "enabled"): lambda each, _, wants: [trigger_state(each, wants)],
    ("extension", "version"): lambda each, *_: [f"ALTER EXTENSION {each.name} UPDATE"],
    ("grant", "privileges"): _set_privileges,
    **{
        ("sequence", attribute): _set_sequence
        for attribute in ("type", "start", "increment", "min", "max", "cache", "cycle")
    },
}
