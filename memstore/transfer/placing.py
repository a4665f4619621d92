"""Where in a tenant the nodes of a corpus go: whose they become, and which of its agents and sessions they keep."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from msgspec import json

from ..errors import CorpusError
from .decoding import COLUMNS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from .corpus import Checked

    Row = tuple[Any, ...]

_SHOWN = 20
_USER, _AGENT, _SESSION, _KEY, _METADATA = (
    COLUMNS.index(name) for name in ("user_id", "agent_id", "session_id", "key", "metadata")
)


@dataclass(frozen=True, slots=True)
class Placing:
    """Whose memories an import makes: those of `user_id`, or without one those of the users that the nodes name.

    agents, sessions: those of the tenant that are named. A node that names another keeps its id in `metadata`.
    """

    user_id: UUID | None
    agents: frozenset[UUID]
    sessions: frozenset[UUID]

    def owners(self, checked: Checked) -> Sequence[UUID | None]:
        """Return whose each node becomes."""
        return checked.users if self.user_id is None else [self.user_id] * len(checked.users)

    def placed(self, row: Row) -> Row:
        """Return a row as it goes into the tenant.

        Natural keys are kept apart by users and agents: where one of these is replaced, the key goes to `metadata`.
        """
        user, agent, session = row[_USER], row[_AGENT], row[_SESSION]
        unknown: dict[str, Any] = {}
        if self.user_id is not None and user not in (None, self.user_id):
            unknown["user_id"] = user
        if agent is not None and agent not in self.agents:
            unknown["agent_id"] = agent
        if row[_KEY] is not None and unknown:
            unknown["released_key"] = row[_KEY]
        if session is not None and session not in self.sessions:
            unknown["session_id"] = session
        if not unknown and user == self.user_id:
            return row
        values = list(row)
        values[_USER] = self.user_id or user
        values[_AGENT] = None if "agent_id" in unknown else agent
        values[_SESSION] = None if "session_id" in unknown else session
        values[_KEY] = None if "released_key" in unknown else row[_KEY]
        if unknown:
            values[_METADATA] = json.encode(json.decode(row[_METADATA]) | unknown).decode()
        return tuple(values)


def check_users(checked: Checked, known: set[UUID]) -> None:
    """Raise `CorpusError` where nodes are of users that the tenant does not have: they would become everybody's."""
    strangers = [
        f"node {index} (id {checked.ids[index]}): user_id: found {user}, who is no user of this tenant"
        for index, user in enumerate(checked.users)
        if user is not None and user not in known
    ]
    if strangers:
        raise CorpusError(
            f"{len(strangers):,} memories are of users that this tenant does not have, nothing was written. Add them, "
            "or import the memories as those of one user",
            strangers[:_SHOWN],
            total=len(strangers),
        )
