"""Row level security: whether it is on, whether it binds the owner, and each policy."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from ...models.security import Policy, declared_row_level_security
from .internals import literal, quoted
from .operations import RunStatements

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .comparison import Comparison
    from .database import DatabasePolicy

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
        for name, found in sorted(table.found.policies.items()):
            if _is_in_the_way(table, found):
                _drop(table, name, found)
                _create(table, found.policy, found.comment)
        return
    policies = {policy.name: policy for policy in declared.policies}
    for name, found in sorted(table.found.policies.items()):
        policy = policies.get(name)
        if policy is None or not _same(table, policy, found.policy) or _is_in_the_way(table, found):
            _log.info("Detected %s policy %r on %r", "changed" if policy else "removed", name, table.name)
            _drop(table, name, found)
            if policy:
                _create(table, policy, found.comment)
    if declared.enabled != table.found.row_security:
        _switch(table, "row_level_security", "ENABLE", "DISABLE", on=declared.enabled)
    if declared.forced != table.found.row_security_forced:
        _switch(table, "forced_row_level_security", "FORCE", "NO FORCE", on=declared.forced)
    for policy in declared.policies:
        if policy.name not in table.found.policies:
            _log.info("Detected added policy %r on %r", policy.name, table.name)
            _create(table, policy, None)


def _declared(table: Comparison) -> tuple[Policy, ...]:
    declared = declared_row_level_security(table.model) if table.model is not None else None
    return declared.policies if declared else ()


def _restore_on_the_way_back(table: Comparison) -> None:
    """Bring policies back with a dropped table, which takes them along."""
    for name, found in sorted(table.found.policies.items()):
        _drop(table, name, found)
    if table.found.row_security_forced:
        _switch(table, "forced_row_level_security", "FORCE", "NO FORCE", on=False, early=True)
    if table.found.row_security:
        _switch(table, "row_level_security", "ENABLE", "DISABLE", on=False, early=True)


def _is_in_the_way(table: Comparison, found: DatabasePolicy) -> bool:
    """Tell whether a column that the policy uses is rebuilt or changes its type, which a policy forbids."""
    return not found.columns.isdisjoint(table.rebuilt | table.retyped)


def _same(table: Comparison, model: Policy, found: Policy) -> bool:
    return (
        model.command.upper() == found.command
        and model.permissive == found.permissive
        and sorted(model.roles) == sorted(found.roles)
        and table.expressions.same(model.using, found.using)
        and table.expressions.same(model.check, found.check)
    )


def _switch(table: Comparison, what: str, on_words: str, off_words: str, *, on: bool, early: bool = False) -> None:
    enable, disable = (f"ALTER TABLE {table.sql_name} {words} ROW LEVEL SECURITY" for words in (on_words, off_words))
    where = (table.schema or "", table.name)
    _log.info("Detected %s to be turned %s on %r", what.replace("_", " "), "on" if on else "off", table.name)
    add, remove = (f"add_{what}", *where), (f"remove_{what}", *where)
    table.creates.append(
        RunStatements(add, [enable], remove, [disable], early=early)
        if on
        else RunStatements(remove, [disable], add, [enable], early=early)
    )


def _create(table: Comparison, policy: Policy, comment: str | None) -> None:
    add, remove = _changes(table, policy.name)
    table.creates.append(
        RunStatements(add, _create_statements(table, policy, comment), remove, [_drop_statement(table, policy.name)])
    )


def _drop(table: Comparison, name: str, found: DatabasePolicy) -> None:
    add, remove = _changes(table, name)
    again = _create_statements(table, found.policy, found.comment)
    table.drops.append(RunStatements(remove, [_drop_statement(table, name)], add, again, early=True))


def _changes(table: Comparison, name: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    where = (table.schema or "", table.name, name)
    return ("add_policy", *where), ("remove_policy", *where)


def _drop_statement(table: Comparison, name: str) -> str:
    return f"DROP POLICY {quoted(name)} ON {table.sql_name}"


def _create_statements(table: Comparison, policy: Policy, comment: str | None) -> list[str]:
    parts = [f"CREATE POLICY {quoted(policy.name)} ON {table.sql_name}"]
    if not policy.permissive:
        parts.append("AS RESTRICTIVE")
    if policy.command.upper() != "ALL":
        parts.append(f"FOR {policy.command.upper()}")
    if tuple(policy.roles) != ("public",):
        roles = (each.upper() if each == "public" else quoted(each) for each in policy.roles)
        parts.append(f"TO {', '.join(roles)}")
    if policy.using is not None:
        parts.append(f"USING ({policy.using})")
    if policy.check is not None:
        parts.append(f"WITH CHECK ({policy.check})")
    statements = [" ".join(parts)]
    if comment is not None:
        statements.append(f"COMMENT ON POLICY {quoted(policy.name)} ON {table.sql_name} IS {literal(comment)}")
    return statements
