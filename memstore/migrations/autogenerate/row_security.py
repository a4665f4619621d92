"""Row level security: whether it is on, whether it binds the owner, and each policy."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from ...models.security import Policy, declared_row_level_security
from ..sql_text import literal, quoted, quoted_table
from .operations import RunStatements

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .comparison import Comparison
    from .database import DatabasePolicy
    from .operations import Place

_log = logging.getLogger(__name__)


def policy_expressions(table: Comparison) -> Iterator[tuple[str, str]]:
    """Yield each expression that has to be compared, with what to call it."""
    for policy in _declared(table):
        found = table.found.policies.get(policy.name)
        if found is None:
            continue
        for one, other in ((policy.using, found.policy.using), (policy.check, found.policy.check)):
            if one and other and one != other:
                yield one, f"policy {policy.name}"
                yield other, f"policy {policy.name}"


def compare_row_security(table: Comparison) -> None:
    """Propose what brings row level security to what the models declare; nothing where they say nothing."""
    if table.model is None:
        _restore_on_the_way_back(table)
        return
    declared = declared_row_level_security(table.model)
    if declared is None:
        return
    policies = {policy.name: policy for policy in declared.policies}
    for name, found in sorted(table.found.policies.items()):
        policy = policies.get(name)
        if policy is None or not _same(table, policy, found.policy):
            _log.info("Detected %s policy %r on %r", "changed" if policy else "removed", name, table.name)
            table.drops.append(drop_policy(table.schema, table.name, found))
            if policy:
                table.creates.append(create_policy(table.schema, table.name, policy, found.comment))
    if declared.enabled != table.found.row_security:
        _switch(table, "row_level_security", "ENABLE", "DISABLE", on=declared.enabled)
    if declared.forced != table.found.row_security_forced:
        _switch(table, "forced_row_level_security", "FORCE", "NO FORCE", on=declared.forced)
    for policy in declared.policies:
        if policy.name not in table.found.policies:
            _log.info("Detected added policy %r on %r", policy.name, table.name)
            table.creates.append(create_policy(table.schema, table.name, policy, None))


def _declared(table: Comparison) -> tuple[Policy, ...]:
    declared = declared_row_level_security(table.model) if table.model is not None else None
    return declared.policies if declared else ()


def _restore_on_the_way_back(table: Comparison) -> None:
    """Bring policies back with a dropped table, which takes them along."""
    table.drops += [drop_policy(table.schema, table.name, found) for _, found in sorted(table.found.policies.items())]
    if table.found.row_security_forced:
        _switch(table, "forced_row_level_security", "FORCE", "NO FORCE", on=False, place="first")
    if table.found.row_security:
        _switch(table, "row_level_security", "ENABLE", "DISABLE", on=False, place="first")


def _same(table: Comparison, model: Policy, found: Policy) -> bool:
    return (
        model.command == found.command
        and model.permissive == found.permissive
        and sorted(model.roles) == sorted(found.roles)
        and table.expressions.same(model.using, found.using)
        and table.expressions.same(model.check, found.check)
    )


def _switch(table: Comparison, what: str, on_words: str, off_words: str, *, on: bool, place: Place = "last") -> None:
    enable, disable = (f"ALTER TABLE {table.sql_name} {words} ROW LEVEL SECURITY" for words in (on_words, off_words))
    where = (table.schema or "", table.name)
    _log.info("Detected %s to be turned %s on %r", what.replace("_", " "), "on" if on else "off", table.name)
    add, remove = (f"add_{what}", *where), (f"remove_{what}", *where)
    table.creates.append(
        RunStatements(add, [enable], remove, [disable], place=place)
        if on
        else RunStatements(remove, [disable], add, [enable], place=place)
    )


def create_policy(schema: str | None, table: str, policy: Policy, comment: str | None) -> RunStatements:
    """Return what creates a policy, after everything else."""
    return _drop_policy(schema, table, policy, comment).reverse()


def drop_policy(schema: str | None, table: str, found: DatabasePolicy) -> RunStatements:
    """Return what drops a policy, before everything else, and makes it again on the way back."""
    return _drop_policy(schema, table, found.policy, found.comment)


def _drop_policy(schema: str | None, table: str, policy: Policy, comment: str | None) -> RunStatements:
    where = (schema or "", table, policy.name)
    drop = f"DROP POLICY {quoted(policy.name)} ON {quoted_table(schema, table)}"
    again = _create_statements(quoted_table(schema, table), policy, comment)
    return RunStatements(("remove_policy", *where), [drop], ("add_policy", *where), again, place="first")


def _create_statements(table: str, policy: Policy, comment: str | None) -> list[str]:
    parts = [f"CREATE POLICY {quoted(policy.name)} ON {table}"]
    if not policy.permissive:
        parts.append("AS RESTRICTIVE")
    if policy.command != "ALL":
        parts.append(f"FOR {policy.command}")
    if policy.roles != ("public",):
        parts.append(f"TO {', '.join(quoted(each) for each in policy.roles)}")
    if policy.using is not None:
        parts.append(f"USING ({policy.using})")
    if policy.check is not None:
        parts.append(f"WITH CHECK ({policy.check})")
    statements = [" ".join(parts)]
    if comment is not None:
        statements.append(f"COMMENT ON POLICY {quoted(policy.name)} ON {table} IS {literal(comment)}")
    return statements
