"""Dropping an object and making it again, with what hung on it: owner, grants and comments."""

from __future__ import annotations

import difflib

from ...errors import MigrationError

_BLOCK = """
DO {tag}
DECLARE
    again text[] := ARRAY({again});
    dependents text := ({dependents});
    statement text;
BEGIN
    {body}
    FOREACH statement IN ARRAY again LOOP
        BEGIN
            EXECUTE statement;
        EXCEPTION WHEN undefined_column THEN
            RAISE NOTICE 'the column is gone: %', statement;
        END;
    END LOOP;
END
{tag}
"""
_REFUSE = """IF dependents IS NOT NULL THEN
            RAISE EXCEPTION 'used by: %', dependents USING ERRCODE = 'dependent_objects_still_exist';
        END IF;"""

# What names an object, in words: the rule of a view is the view, for people.
_DESCRIBED = """
    SELECT string_agg(DISTINCT CASE
        WHEN r.oid IS NOT NULL AND r.rulename = '_RETURN' THEN pg_describe_object('pg_class'::regclass, r.ev_class, 0)
        ELSE pg_describe_object(d.classid, d.objid, d.objsubid) END, '; ')
    FROM pg_depend AS d LEFT JOIN pg_rewrite AS r ON d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid
"""

# The owner first: it takes the grants along. Where a new one would be granted something else by default than the old
# one has, that is taken away.
_ROUTINE_AGAIN = """
    SELECT s FROM pg_proc AS p CROSS JOIN LATERAL (
        SELECT 1, format('ALTER ROUTINE %s OWNER TO %I', {after}, pg_get_userbyid(p.proowner))
        WHERE p.proowner <> (SELECT oid FROM pg_roles WHERE rolname = current_user)
        UNION ALL SELECT 2, format('REVOKE ALL ON ROUTINE %s FROM %s', {after}, r.role)
        FROM ({revoked}) AS r WHERE r.role <> quote_ident(pg_get_userbyid(p.proowner))
        UNION ALL SELECT 3, format('GRANT %s ON ROUTINE %s TO %s%s', a.privilege_type, {after}, {grantee}, {option})
        FROM aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) AS a
        WHERE EXISTS ({revoked})
        UNION ALL SELECT 4, format('COMMENT ON ROUTINE %s IS %L', {after}, obj_description(p.oid, 'pg_proc'))
        WHERE obj_description(p.oid, 'pg_proc') IS NOT NULL
    ) AS t (place, s) WHERE p.oid = {oid} ORDER BY place
"""
_VIEW_AGAIN = """
    SELECT s FROM pg_class AS c CROSS JOIN LATERAL (
        SELECT 1, format('ALTER VIEW %s OWNER TO %I', {after}, pg_get_userbyid(c.relowner))
        WHERE c.relowner <> (SELECT oid FROM pg_roles WHERE rolname = current_user)
        UNION ALL SELECT 2, format('REVOKE ALL ON %s FROM %s', {after}, r.role)
        FROM ({revoked}) AS r WHERE r.role <> quote_ident(pg_get_userbyid(c.relowner))
        UNION ALL SELECT 3, format('GRANT %s ON %s TO %s%s', a.privilege_type, {after}, {grantee}, {option})
        FROM aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) AS a
        WHERE EXISTS ({revoked})
        UNION ALL SELECT 4, format('COMMENT ON VIEW %s IS %L', {after}, obj_description(c.oid, 'pg_class'))
        WHERE obj_description(c.oid, 'pg_class') IS NOT NULL
        UNION ALL SELECT 5, format('COMMENT ON COLUMN %s.%I IS %L', {after}, attname, col_description(c.oid, attnum))
        FROM pg_attribute WHERE attrelid = c.oid AND col_description(c.oid, attnum) IS NOT NULL
        UNION ALL SELECT 6,
            format('GRANT %s (%I) ON %s TO %s%s', a.privilege_type, attname, {after}, {grantee}, {option})
        FROM pg_attribute CROSS JOIN LATERAL aclexplode(attacl) AS a WHERE attrelid = c.oid AND attnum > 0
    ) AS t (place, s) WHERE c.oid = {oid} ORDER BY place
"""
_PARTS = {
    "grantee": "CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END",
    "option": "CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END",
}
_REVOKED = """
    SELECT 'PUBLIC' AS role WHERE EXISTS (SELECT FROM {catalog} WHERE oid = {oid} AND {acl} IS NOT NULL)
    UNION SELECT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END
    FROM pg_default_acl CROSS JOIN LATERAL aclexplode(defaclacl) AS a WHERE defaclobjtype = {kind}
"""


def routine_again(oid: str, after: str) -> str:
    """Return the query for the statements that give `after` (its name, as an expression) what the function has."""
    revoked = _REVOKED.format(catalog="pg_proc", oid=oid, acl="proacl", kind="'f'")
    return _ROUTINE_AGAIN.format(oid=oid, after=after, revoked=revoked, **_PARTS)


def view_again(oid: str, after: str) -> str:
    """Return the query for the statements that give `after` (its name, as an expression) what the view has."""
    revoked = _REVOKED.format(catalog="pg_class", oid=oid, acl="relacl", kind="'r'")
    return _VIEW_AGAIN.format(oid=oid, after=after, revoked=revoked, **_PARTS)


def routine_dependents(oid: str) -> str:
    """Return the query for the names of what would keep a function from being dropped, NULL where nothing does."""
    return f"{_DESCRIBED} WHERE d.refclassid = 'pg_proc'::regclass AND d.refobjid = {oid} AND d.deptype <> 'e'"


def view_dependents(oid: str) -> str:
    """Return the query for the names of what would keep a view from being dropped, or go with it."""
    return f"""{_DESCRIBED}
    WHERE (d.refclassid = 'pg_class'::regclass AND d.refobjid = {oid}
           OR d.refclassid = 'pg_type'::regclass
              AND d.refobjid IN (SELECT t.oid FROM pg_type AS t WHERE t.typrelid = {oid}
                                 UNION SELECT t.typarray FROM pg_type AS t WHERE t.typrelid = {oid}))
      AND d.classid <> 'pg_type'::regclass AND (r.oid IS NULL OR r.ev_class <> {oid} OR r.rulename <> '_RETURN')"""


def block(body: str, *, again: str, dependents: str = "NULL") -> str:
    """Return the statement that runs `body`, in PL/pgSQL, and after it what `again` says beforehand.

    In `body`, {refuse} stands for the check that nothing depends on the object.
    """
    text = _BLOCK.replace("{again}", again).replace("{dependents}", dependents)
    text = text.replace("{body}", body.replace("{refuse}", _REFUSE))
    tag = next(each for each in _tags() if each not in text)
    return text.replace("{tag}", tag)


def changed_by_hand(what: str, needed: str, found: str | None) -> MigrationError:
    """Return the error that says how what is there differs from what was to be there."""
    if found is None:
        return MigrationError(
            f"there is no {what}, which this replaces. Nothing was done. Make it as `before` says, and run it again"
        )
    lines = difflib.unified_diff(needed.splitlines(), found.splitlines(), "before", "what is there", lineterm="", n=1)
    return MigrationError(
        f"{what} is neither what `before` says nor what `after` says: somebody has changed it. Nothing was done. "
        "Bring it back to `before`, or make a revision of what is there first. It differs from `before` in:\n"
        + "\n".join(lines)
    )


def _tags() -> list[str]:
    return ["$memstore$", *(f"$memstore{number}$" for number in range(100))]
