"""What memstore refuses, said the way that Alembic says it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from alembic.util import CommandError

from ..errors import MemstoreError

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def as_command_error() -> Iterator[None]:
    """Raise a MemstoreError as the error that the command `alembic` prints without a traceback."""
    try:
        yield
    except MemstoreError as error:
        raise CommandError(str(error)) from error
