"""A backfill as a script: what psql runs where nobody is there to walk through the table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..sql_text import literal, quoted

if TYPE_CHECKING:
    from .backfill_request import BackfillRequest

_PASSES = 40

# By pages, since the key is not known here, and a limit alone would read what is done over and over again. SQL of the
# caller is in texts that are executed: the names in it are never those of variables.
_SCRIPT = """
DO $backfill$
DECLARE
    part regclass;
    page bigint;
    pages bigint;
    step bigint;
    began timestamptz;
    done bigint;
    stuck bigint;
    is_left boolean;
BEGIN
    FOR pass IN 1..{passes} LOOP
        FOR part IN
            SELECT oid FROM pg_class WHERE relkind = 'r' AND (
                oid = {table}::regclass OR oid IN (SELECT relid FROM pg_partition_tree({table}::regclass))
            )
        LOOP
            page := 0;
            step := 1;
            pages := pg_relation_size(part) / current_setting('block_size')::int;
            WHILE page < pages LOOP
                began := clock_timestamp();
                EXECUTE {find} || part || {rows} || part || {update}
                    INTO done, stuck USING format('(%s,0)', page)::tid, format('(%s,0)', page + step)::tid;
                IF stuck > 0 THEN
                    EXECUTE {count} || part || {still_left} INTO stuck;
                    IF stuck > 0 THEN
                        RAISE EXCEPTION '% rows that were updated are still to be done', stuck
                            USING HINT = 'the condition must be false for a row that is done';
                    END IF;
                END IF;
                COMMIT;
                page := page + step;
                step := CASE WHEN clock_timestamp() - began > interval '100 ms' THEN greatest(step / 2, 1)
                             ELSE least(step * 2, 1024) END;
            END LOOP;
        END LOOP;
        EXECUTE {exists} INTO is_left;
        IF NOT is_left THEN
            RETURN;
        END IF;
        COMMIT;
        PERFORM pg_sleep(least(pass * 0.25, 10));
    END LOOP;
    RAISE EXCEPTION 'rows are left that others have locked, or that come in as fast as they are done'
        USING HINT = {hint};
END
$backfill$
"""


def backfill_script(request: BackfillRequest) -> tuple[str, ...]:
    """Return the statements that do what a backfill does, outside of a transaction: it can be run again."""
    name = quoted(request.table)
    where, assignments = request.where, request.assignments
    block = _SCRIPT.format(
        passes=_PASSES,
        table=literal(request.table_sql),
        find=literal("WITH memstore_batch AS MATERIALIZED (SELECT ctid AS memstore_ctid FROM ONLY "),
        rows=literal(
            f" AS {name} WHERE {name}.ctid >= $1 AND {name}.ctid < $2 AND ({where}) FOR NO KEY UPDATE OF {name} "
            "SKIP LOCKED), memstore_updated AS (UPDATE ONLY "
        ),
        update=literal(
            f" AS {name} SET {assignments} WHERE {name}.ctid = ANY (ARRAY(SELECT memstore_ctid FROM memstore_batch)) "
            f"RETURNING ({where}) AS memstore_is_left) SELECT count(*), count(*) FILTER (WHERE memstore_is_left) "
            "FROM memstore_updated"
        ),
        count=literal("SELECT count(*) FROM ONLY "),
        still_left=literal(f" AS {name} WHERE ({where}) AND {name}.xmin = CAST(pg_current_xact_id() AS xid)"),
        exists=literal(f"SELECT EXISTS (SELECT {request.rows})"),
        hint=literal(f"to find them: SELECT * {request.rows}"),
    )
    # Rows that policies hide are not passed over in silence.
    # And the block begins its transactions as the session does.
    return (
        "SET row_security = off",
        "SET default_transaction_isolation = 'read committed'",
        block,
        "RESET default_transaction_isolation",
        "RESET row_security",
    )
