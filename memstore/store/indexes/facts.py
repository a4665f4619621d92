"""Gathering what the choice of an index depends on: how many rows, how much memory, what half precision costs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from sqlalchemy import text

from ...errors import PermissionDeniedError, SettingsError
from ...models import SCHEMA
from .decision import EXACT_BELOW, Memory, Volume
from .memory import parse_memory
from .precision import SAMPLED_ROWS, half_agreement
from .targets import MAX_VECTOR_DIMENSIONS, IndexedTable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray
    from sqlalchemy.ext.asyncio import AsyncConnection

    from ...settings import Settings
    from .targets import IndexTarget

# What is counted in full: 200 MB of rows, without their vectors, which are kept beside them.
_COUNTED_PAGES = 25_600
# PostgreSQL's own 64 MB are nobody's choice, and hold the graph of 15,000 vectors of 1,024 dimensions.
DEFAULT_MEMORY = 2**30
_MORE = 1.2  # a sample of pages has more or fewer rows than it should

_PAGES = text("SELECT pg_relation_size(to_regclass(:table)) / current_setting('block_size')::bigint")
_MEMORY = text("""
    SELECT current_setting('maintenance_work_mem') AS setting, source FROM pg_settings
    WHERE name = 'maintenance_work_mem'
""")
_ROLE = text("""
    SELECT current_user::text AS role, pg_get_userbyid(relowner)::text AS owner,
           pg_has_role(relowner, 'USAGE') AS owns, row_security_active(oid) AS confined
    FROM pg_class WHERE oid = to_regclass(:table)
""")
_VECTOR_SCHEMA = text("""
    SELECT quote_ident(nspname) FROM pg_extension JOIN pg_namespace AS n ON n.oid = extnamespace
    WHERE extname = 'vector'
""")


async def check_owner_of_tables(connection: AsyncConnection) -> None:
    """Raise `PermissionDeniedError` unless this role may build indexes."""
    row = (await connection.execute(_ROLE, {"table": f"{SCHEMA}.memory_nodes"})).one()
    if not row.owns:
        raise PermissionDeniedError(
            f"role {row.role!r} does not own the tables, and only their owner builds and drops indexes. "
            f"Connect as: {row.owner}"
        )


async def owns_tables(connection: AsyncConnection) -> bool:
    """Tell whether this role may build indexes."""
    return bool((await connection.execute(_ROLE, {"table": f"{SCHEMA}.memory_nodes"})).one().owns)


async def check_sees_all(connection: AsyncConnection) -> None:
    """Raise `PermissionDeniedError` where this role would count the rows of one tenant at most."""
    row = (await connection.execute(_ROLE, {"table": f"{SCHEMA}.memory_nodes"})).one()
    if row.confined:
        raise PermissionDeniedError(
            f"role {row.role!r} is confined to one tenant at a time, indexes are for all of them. "
            f"Connect as: {row.owner}"
        )


async def vector_schema(connection: AsyncConnection) -> str:
    """Return the schema that pgvector is in, as SQL takes it."""
    return str(await connection.scalar(_VECTOR_SCHEMA))


async def volumes(connection: AsyncConnection, targets: Sequence[IndexTarget]) -> Mapping[IndexTarget, Volume]:
    """Count the vectors of each target; in a large table, those in a sample of its pages."""
    found: dict[IndexTarget, Volume] = {}
    for table in IndexedTable:
        of_table = [target for target in targets if target.table is table]
        if not of_table:
            continue
        pages = await connection.scalar(_PAGES, {"table": f"{SCHEMA}.{table.value}"}) or 0
        share = min(1.0, _COUNTED_PAGES / max(1, pages))
        model = "model" if table is IndexedTable.EMBEDDINGS else "CAST(NULL AS text)"
        sample = "" if share == 1 else f"TABLESAMPLE SYSTEM ({100 * share:.6f}) REPEATABLE (1)"
        rows = await connection.execute(
            text(f"""
                SELECT model, sum(rows) AS rows, max(rows) AS largest FROM (
                    SELECT {model} AS model, count(*) AS rows FROM {SCHEMA}.{table.value} {sample}
                    WHERE embedding IS NOT NULL GROUP BY 1, tenant_id
                ) AS of_tenant GROUP BY model
            """)  # noqa: S608 -- constants
        )
        counted = {row.model: row for row in rows}
        for target in of_table:
            row = counted.get(target.model)
            all_rows, largest = (int(row.rows), int(row.largest)) if row is not None else (0, 0)
            found[target] = Volume(round(all_rows / share), round(largest / share), estimated=share < 1)
    return found


async def memory(connection: AsyncConnection, settings: Settings, option: str | None) -> Memory:
    """Return what the build of an index may use, and who says so.

    Raises:
        SettingsError: the option is no amount of memory.
    """
    if option is not None:
        try:
            return Memory(parse_memory(option), "--memory")
        except ValueError as error:
            raise SettingsError(f"--memory: {error}") from error
    if settings.maintenance_work_mem is not None:
        return Memory(parse_memory(settings.maintenance_work_mem), "MEMSTORE_MAINTENANCE_WORK_MEM")
    row = (await connection.execute(_MEMORY)).one()
    if row.source == "default":
        return Memory(DEFAULT_MEMORY, "memstore's default")
    return Memory(parse_memory(row.setting), "the server's maintenance_work_mem")


async def agreement(connection: AsyncConnection, target: IndexTarget, volume: Volume, schema: str) -> float | None:
    """Measure what half precision costs, see `half_agreement`; None where the choice does not depend on it."""
    if target.dimensions > MAX_VECTOR_DIMENSIONS or volume.largest < EXACT_BELOW[target.table]:
        return None
    return half_agreement(await _sample(connection, target, volume, schema))


async def _sample(connection: AsyncConnection, target: IndexTarget, volume: Volume, schema: str) -> NDArray[np.float32]:
    share = min(100.0, 100 * _MORE * SAMPLED_ROWS / max(1, volume.rows))
    rows = await connection.scalars(
        text(f"""
            SELECT {schema}.vector_send(embedding) FROM {SCHEMA}.{target.table.value}
            TABLESAMPLE SYSTEM ({share:.6f}) REPEATABLE (1)
            WHERE embedding IS NOT NULL {"" if target.model is None else "AND model = :model"} LIMIT {SAMPLED_ROWS}
        """),  # noqa: S608 -- constants
        {} if target.model is None else {"model": target.model},
    )
    # As pgvector sends it: how many numbers, two bytes of nothing, and the numbers.
    vectors = [np.frombuffer(row, ">f4", offset=4) for row in rows]
    return np.array(vectors, np.float32).reshape(len(vectors), target.dimensions)
