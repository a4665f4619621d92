"""How rows lead to one another in the ORM, both ways and never by a query that nobody asked for.

A relationship writes the one column that names the other row and leaves `tenant_id` alone: that comes from the tenant's
session. What becomes of the rows that are left when one is deleted is for the foreign keys to say.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import relationship


def parent(key: str, target: str, *, reverse: str) -> Any:
    """Return the relationship from the row whose attribute `key` ("Session.agent_id") names a row of `target`."""
    return relationship(target, primaryjoin=_join(key, f"{target}.id"), back_populates=reverse, lazy="raise")


def children(key: str, target: str, *, reverse: str) -> Any:
    """Return the relationship from a row of `target` to all those whose attribute `key` names it."""
    owner = key.partition(".")[0]
    return relationship(
        owner,
        primaryjoin=_join(key, f"{target}.id"),
        back_populates=reverse,
        lazy="raise",
        passive_deletes="all",
    )


def owned(owner: str) -> Any:
    """Return the relationship from a tenant to all its rows of one model."""
    return children(f"{owner}.tenant_id", "Tenant", reverse="tenant")


def _join(key: str, target: str) -> str:
    owner, model = key.partition(".")[0], target.partition(".")[0]
    if model in ("Tenant", "User"):  # by their whole primary key, or the ORM would ask for a row that it has
        return f"foreign({key}) == {target}"
    return f"and_({owner}.tenant_id == {model}.tenant_id, foreign({key}) == {target})"
