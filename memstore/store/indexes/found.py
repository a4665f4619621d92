"""The vector indexes that a database has."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from ...models import SCHEMA
from .graph import PLAIN, Graph
from .targets import IndexedTable, IndexForm, IndexMethod, IndexTarget

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Row
    from sqlalchemy.ext.asyncio import AsyncConnection

_TARGETS = text(f"""
    SELECT '{IndexedTable.MEMORY_NODES.value}' AS "table", CAST(value AS integer) AS dimensions, NULL AS model
    FROM {SCHEMA}.settings WHERE key = 'embedding_dim'
    UNION ALL
    SELECT '{IndexedTable.EPISODIC_MEMORIES.value}', CAST(value AS integer), NULL
    FROM {SCHEMA}.settings WHERE key = 'embedding_dim'
    UNION ALL
    (SELECT '{IndexedTable.EMBEDDINGS.value}', dimensions, name FROM {SCHEMA}.embedding_models ORDER BY name)
""")  # noqa: S608 -- constants

_FOUND = text("""
    SELECT t.relname::text AS "table", c.relname::text AS name, m.amname::text AS method,
           i.indisvalid AND i.indisready AS valid,
           EXISTS (SELECT FROM pg_stat_progress_create_index AS p WHERE p.index_relid = c.oid) AS being_built,
           pg_relation_size(c.oid) AS size, coalesce(s.idx_scan, 0) AS scans, pg_get_indexdef(c.oid) AS definition,
           (SELECT json_object_agg(option_name, CAST(option_value AS integer))
            FROM pg_options_to_table(c.reloptions)) AS options,
           obj_description(c.oid, 'pg_class') AS comment
    FROM pg_index AS i
    JOIN pg_class AS c ON c.oid = i.indexrelid
    JOIN pg_class AS t ON t.oid = i.indrelid
    JOIN pg_am AS m ON m.oid = c.relam
    LEFT JOIN pg_stat_user_indexes AS s ON s.indexrelid = c.oid
    WHERE t.relnamespace = to_regnamespace(:schema) AND t.relname = ANY (CAST(:tables AS text[]))
      AND m.amname IN ('hnsw', 'ivfflat')
    ORDER BY t.relname, c.relname COLLATE "C"
""")
DEFAULT_LISTS = 100  # pgvector's


@dataclass(frozen=True, slots=True)
class FoundIndex:
    """A vector index in the database.

    form: what it is, by its name and its options; None where its name is not one of memstore's.
    leftover: a killed run left it beside an index.
    by_cosine: it is ordered by the cosine, which searches are by.
    size: bytes.
    scans: how often it was used since statistics were reset.
    lists: of IVFFlat; `graph` of HNSW.
    rows_at_build: None where nobody wrote it down.
    """

    name: str
    table: IndexedTable
    method: str
    halfvec: bool
    form: IndexForm | None
    leftover: bool
    valid: bool
    being_built: bool
    by_cosine: bool
    size: int
    scans: int
    lists: int | None
    graph: Graph | None
    rows_at_build: int | None
    built_at: str | None


async def find_targets(connection: AsyncConnection) -> tuple[IndexTarget, ...]:
    """Return all that can have an index: two tables, and each registered model."""
    rows = await connection.execute(_TARGETS)
    return tuple(IndexTarget(IndexedTable(row.table), row.dimensions, row.model) for row in rows)


async def find_indexes(
    connection: AsyncConnection, targets: Sequence[IndexTarget]
) -> tuple[Mapping[IndexTarget, tuple[FoundIndex, ...]], tuple[FoundIndex, ...]]:
    """Return the indexes of each target, what was left beside them included, and those that are nobody's."""
    tables = sorted({target.table.value for target in targets})
    rows = (await connection.execute(_FOUND, {"schema": SCHEMA, "tables": tables})).all()
    of: dict[IndexTarget, tuple[FoundIndex, ...]] = dict.fromkeys(targets, ())
    others = []
    for row in rows:
        for target in targets:
            if target.table == row.table and (target.form_of(row.name) or target.leftover_of(row.name)):
                of[target] += (_index(row, target),)
                break
        else:
            others.append(_index(row, None))
    return of, tuple(others)


def comment(rows: int, built_at: str) -> str:
    """Return what is written down beside an index, as its comment: it goes with the index."""
    return json.dumps({"rows": rows, "built_at": built_at})


def _index(row: Row[Any], target: IndexTarget | None) -> FoundIndex:
    written = _read(row.comment)
    form = None if target is None else target.form_of(row.name)
    options, is_graph = row.options or {}, row.method == IndexMethod.HNSW
    graph = Graph(options.get("m", PLAIN.m), options.get("ef_construction", PLAIN.ef_construction))
    lists = None if is_graph else options.get("lists", DEFAULT_LISTS)
    rows = written.get("rows")
    return FoundIndex(
        name=row.name,
        table=IndexedTable(row.table),
        method=row.method,
        halfvec="halfvec_" in row.definition.partition(" USING ")[2],
        form=None if form is None else IndexForm(form.method, form.halfvec, lists, graph if is_graph else PLAIN),
        leftover=form is None and target is not None,
        valid=row.valid,
        being_built=row.being_built,
        by_cosine="vec_cosine_ops" in row.definition or "vector_cosine_ops" in row.definition,
        size=row.size,
        scans=row.scans,
        lists=lists,
        graph=graph if is_graph else None,
        rows_at_build=rows if isinstance(rows, int) else None,
        built_at=str(written["built_at"]) if "built_at" in written else None,
    )


def _read(comment: str | None) -> dict[str, Any]:
    """Return what is written down; somebody else may have written anything."""
    try:
        written = json.loads(comment or "{}")
    except ValueError:
        return {}
    return written if isinstance(written, dict) else {}
