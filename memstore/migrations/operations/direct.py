"""Safe operations without Alembic: on a connection in AUTOCOMMIT, for who changes no schema but builds indexes."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..progress import NowAndThen
from .session import build_session
from .work import Work

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

    from ...settings import Settings
    from ..progress import Reporter


class DirectWork(Work):
    """A `Work` that runs its statements, each in a transaction of its own, on a connection that it is given."""

    def __init__(
        self, connection: Connection, name: str, target: str, settings: Settings, report: Reporter | None
    ) -> None:
        self._connection = connection
        self.name = name
        self.target = target
        self.offline = False
        self.inline = False
        self.settings = settings
        self._report = report or NowAndThen()

    @property
    def connection(self) -> Connection:
        """The connection."""
        return self._connection


@contextmanager
def direct_work(
    connection: Connection, name: str, target: str, settings: Settings, report: Reporter | None
) -> Iterator[DirectWork]:
    """Yield a `Work` on a connection in AUTOCOMMIT, whose session is set up for what takes its time, and put back."""
    with build_session(connection, settings):
        yield DirectWork(connection, name, target, settings, report)
