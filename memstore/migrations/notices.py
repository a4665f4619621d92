"""What the server says while a statement runs, on any of the drivers."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import Connection

_FULL_GRAPH = re.compile(r"hnsw graph no longer fits into maintenance_work_mem after (\d+) tuples")


@contextmanager
def notices(connection: Connection, listener: Callable[[str], None]) -> Iterator[None]:
    """Call `listener` with each notice that comes during the block: as it comes, or with psycopg2 in the end."""
    driver: Any = connection.connection.driver_connection
    if hasattr(driver, "add_log_listener"):  # asyncpg

        def on_message(_connection: Any, message: Any) -> None:
            listener(str(message.message))

        driver.add_log_listener(on_message)
        try:
            yield
        finally:
            driver.remove_log_listener(on_message)
    elif hasattr(driver, "add_notice_handler"):  # psycopg

        def on_notice(diagnostic: Any) -> None:
            listener(str(diagnostic.message_primary))

        driver.add_notice_handler(on_notice)
        try:
            yield
        finally:
            driver.remove_notice_handler(on_notice)
    else:
        before = len(driver.notices)
        yield
        for message in driver.notices[before:]:
            listener(message.partition(":")[2].strip())


def advice(notice: str, memory: str) -> str | None:
    """Return what to do about a notice that something does not fit into `memory`, None where it says something else."""
    found = _FULL_GRAPH.search(notice)
    if found is None:
        return None
    return (
        f"after {found[1]} rows the graph no longer fits into maintenance_work_mem ({memory}), and the rest goes on "
        "many times slower. Next time: MEMSTORE_MAINTENANCE_WORK_MEM=4GB, or as much as can be spared"
    )
