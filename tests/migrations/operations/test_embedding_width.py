from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from pgvector import Vector
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from memstore.errors import MigrationError
from tests.migrations.operations.revision import IMPATIENT, Project

VECTORS = (
    "CREATE TABLE docs (part int, id text, body text, embedding vector(3) NOT NULL, PRIMARY KEY (part, id))",
    "INSERT INTO docs SELECT n % 3, 'd:' || n, repeat('x', n), ARRAY[n, 1, 1] FROM generate_series(1, 250) AS n",
    "CREATE INDEX ix_docs_hnsw ON docs USING hnsw (embedding vector_cosine_ops) WITH (m = 8) WHERE part > 0",
    "CREATE INDEX ix_docs_half ON docs USING hnsw ((embedding::halfvec(3)) halfvec_cosine_ops)",
    "COMMENT ON INDEX ix_docs_hnsw IS 'nearest'",
    "ALTER TABLE docs ADD CONSTRAINT ck_docs_not_zero CHECK (vector_norm(embedding) > 0)",
    "COMMENT ON CONSTRAINT ck_docs_not_zero ON docs IS 'has a cosine'",
    "COMMENT ON COLUMN docs.embedding IS 'by the model: 100 %'",
    "ALTER TABLE docs ALTER embedding SET STORAGE MAIN",
)
EVERYTHING = """
    SELECT 'column', attname::text, format_type(atttypid, atttypmod), attnotnull, attstorage::text,
           col_description(attrelid, attnum)
    FROM pg_attribute WHERE attrelid = 'docs'::regclass AND attnum > 0 AND NOT attisdropped
    UNION ALL SELECT 'index', indexrelid::regclass::text, pg_get_indexdef(indexrelid), indisvalid, '',
           obj_description(indexrelid, 'pg_class') FROM pg_index WHERE indrelid = 'docs'::regclass
    UNION ALL SELECT 'check', conname::text, pg_get_constraintdef(oid), convalidated, '',
           obj_description(oid, 'pg_constraint')
    FROM pg_constraint WHERE conrelid = 'docs'::regclass AND contype = 'c'
    UNION ALL SELECT 'trigger', tgname::text, '', true, '', '' FROM pg_trigger WHERE tgrelid = 'docs'::regclass
    UNION ALL SELECT 'function', proname::text, '', true, '', '' FROM pg_proc WHERE proname LIKE 'docs%'
    ORDER BY 1, 2
"""
ROWS = "SELECT part, id, embedding::text FROM docs ORDER BY part, id"
WIDER = "(substr(embedding::text, 1, length(embedding::text) - 1) || ',5,6]')::vector"
ARCHIVES = (
    "SELECT relname::text FROM pg_class WHERE relnamespace = to_regnamespace('memstore_archive') AND relkind = 'r'"
)


def embed(texts: list[str]) -> list[Any]:
    return [[len(text), 1, 1, 5, 6] for text in texts]


def by_sql(op: Any) -> None:
    op.change_embedding_width("docs", "embedding", 5, backfill=WIDER)


def by_model(op: Any) -> None:
    op.change_embedding_width("docs", "embedding", 5, backfill=embed, text="body || ''::text", batch_rows=60)


def back(op: Any) -> None:
    op.change_embedding_width("docs", "embedding", 3, from_archive=True, backfill="subvector(embedding, 1, 3)")


def change(**arguments: Any) -> Callable[[Any], None]:
    return lambda op: op.change_embedding_width(**arguments)


both_ways = pytest.mark.parametrize("way", [by_sql, by_model])


@pytest.fixture
def docs(project: Project) -> Project:
    project.run(*VECTORS)
    return project


def wider(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    return [(*key, embedding.replace("]", ",5,6]")) for *key, embedding in rows]


def as_of_width(project: Project, width: int) -> list[tuple[Any, ...]]:
    """Return what the table has, with one width in place of the other."""
    return [tuple(str(each).replace("(3)", f"({width})") for each in row) for row in project.ask(EVERYTHING)]


def found(project: Project) -> list[tuple[Any, ...]]:
    return [tuple(map(str, row)) for row in project.ask(EVERYTHING)]


@both_ways
def test_it_gets_another_width_with_all_it_has_and_the_old_one_back(docs: Project, way: Callable[[Any], None]) -> None:
    before, rows, expected = found(docs), docs.ask(ROWS), as_of_width(docs, 5)
    for _ in range(2):
        for _ in range(2):
            docs.migrate(way)
            assert found(docs) == expected
            assert docs.ask(ROWS) == wider(rows)
            assert ("public.docs.embedding.3",) in docs.ask(ARCHIVES)
        for _ in range(2):
            docs.migrate(back)
            assert found(docs) == before
            assert docs.ask(ROWS) == rows
            assert docs.ask(ARCHIVES) == [("public.docs.embedding.5",)]  # the other is used up


def is_killed_after(docs: Project, way: Callable[[Any], None], limit: int) -> bool:
    """Run it, and end its session when it has sent so many statements that write, unless it is done before."""
    sent = 0

    def count(_: Any, __: Any, statement: str, *___: Any) -> None:
        nonlocal sent
        sent += not statement.lstrip().startswith(("SELECT", "SHOW", "SET", "BEGIN", "ROLLBACK"))
        if sent == limit + 1:
            docs.run(f"SELECT pg_terminate_backend({pid}, 5000)")

    with docs.engine.connect() as connection:
        pid = connection.scalar(sa.text("SELECT pg_backend_pid()"))
        connection.rollback()
        sa.event.listen(connection, "before_cursor_execute", count)
        try:
            docs.migrate_on(connection, way)
        except SQLAlchemyError:
            assert connection.invalidated
            return True
    return False


@pytest.mark.soak
@both_ways
def test_it_can_be_killed_before_any_statement_and_run_again(docs: Project, way: Callable[[Any], None]) -> None:
    rows, expected = docs.ask(ROWS), as_of_width(docs, 5)

    kills, limit = 0, 0
    while is_killed_after(docs, way, limit):
        kills, limit = kills + 1, limit + 2
    assert kills > 10
    assert found(docs) == expected
    assert docs.ask(ROWS) == wider(rows)


@pytest.mark.soak
def test_it_can_be_killed_before_any_statement_and_taken_back(docs: Project) -> None:
    before, rows, limit = found(docs), docs.ask(ROWS), 0
    while is_killed_after(docs, by_sql, limit):
        docs.migrate(back)
        assert (found(docs), docs.ask(ROWS)) == (before, rows), limit
        limit += 2
    assert limit > 20


@both_ways
def test_what_is_written_meanwhile_is_done_too(docs: Project, way: Callable[[Any], None]) -> None:
    writes = [
        "INSERT INTO docs VALUES (9, 'new', 'x', '[1,1,1]')",
        "UPDATE docs SET embedding = '[7,1,1]', body = repeat('x', 7) WHERE id = 'd:3'",
        "DELETE FROM docs WHERE id = 'd:4'",
    ]

    with docs.engine.connect() as connection:
        sa.event.listen(
            connection,
            "before_cursor_execute",
            lambda *sent: (
                docs.run(*_taken(writes)) if sent[2].startswith("CREATE INDEX CONCURRENTLY ix_docs_h") else None
            ),
        )
        docs.migrate_on(connection, way)
    assert not writes
    expected = {"new": "[1,1,1,5,6]", "d:3": "[7,1,1,5,6]", "d:5": "[5,1,1,5,6]"}
    rows = {id_: embedding for _, id_, embedding in docs.ask(ROWS)}
    assert {id_: rows[id_] for id_ in expected} == expected
    assert "d:4" not in rows


def _taken(writes: list[str]) -> list[str]:
    taken = list(writes)
    writes.clear()
    return taken


def test_a_text_that_changes_while_it_is_embedded_is_embedded_again(docs: Project) -> None:
    seen: list[str] = []

    def slow(texts: list[str]) -> list[Any]:
        if not seen:
            docs.run("UPDATE docs SET body = 'changed' WHERE id = 'd:3'")
        seen.extend(texts)
        return [Vector([len(text), 2, 2, 2, 2]) for text in texts]

    docs.migrate(lambda op: op.change_embedding_width("docs", "embedding", 5, backfill=slow, text="body"))
    assert seen.count("changed") == 1
    assert ("d:3", "[7,2,2,2,2]") in [row[1:] for row in docs.ask(ROWS)]
    assert len(seen) == 251


def test_rows_that_come_in_at_the_last_moment_are_done(docs: Project) -> None:
    late = ["INSERT INTO docs VALUES (9, 'late', 'xx', '[1,1,1]')"]

    with docs.engine.connect() as connection:

        def before(*sent: Any) -> None:
            if sent[2].startswith("LOCK TABLE docs IN SHARE UPDATE EXCLUSIVE") and docs.ask(
                "SELECT FROM pg_class WHERE relname = 'ix_docs_half_new'"
            ):
                docs.run(*_taken(late))

        sa.event.listen(connection, "before_cursor_execute", before)
        docs.migrate_on(connection, by_model)
    assert not late
    assert ("late", "[2,1,1,5,6]") in [row[1:] for row in docs.ask(ROWS)]


def test_rows_without_an_archived_embedding_have_none_where_that_is_allowed(docs: Project) -> None:
    def restore(op: Any) -> None:
        op.change_embedding_width("docs", "embedding", 3, from_archive=True)

    docs.migrate(by_sql)
    docs.run("INSERT INTO docs VALUES (9, 'new', 'x', '[1,1,1,5,6]')")
    with pytest.raises(
        MigrationError, match="NOT NULL, and 1 rows have no embedding in memstore_archive.*Give backfill"
    ):
        docs.migrate(restore)
    assert not [row for row in docs.ask(EVERYTHING) if "_new" in row[1]]
    docs.run("ALTER TABLE docs ALTER embedding DROP NOT NULL")
    docs.migrate(restore)
    rows = {id_: embedding for _, id_, embedding in docs.ask(ROWS)}
    assert (rows["new"], rows["d:3"], len(rows)) == (None, "[3,1,1]", 251)


HANGING = [
    (
        "ALTER TABLE docs ADD bits bit(3) GENERATED ALWAYS AS (binary_quantize(embedding)::bit(3)) STORED",
        "bits of table",
    ),
    ("CREATE VIEW v AS SELECT embedding FROM docs", "view v"),
    (
        "CREATE TRIGGER t BEFORE UPDATE OF embedding ON docs FOR EACH ROW EXECUTE FUNCTION tsvector_update_trigger()",
        "trigger t",
    ),
    ("CREATE POLICY p ON docs USING (embedding IS NOT NULL)", "policy p on table docs"),
    ("ALTER TABLE docs ADD CONSTRAINT two CHECK (embedding IS NOT NULL OR body IS NULL)", "constraint two"),
    (
        "CREATE FUNCTION f() RETURNS bigint LANGUAGE sql BEGIN ATOMIC SELECT count(embedding) FROM docs; END",
        "function f",
    ),
    ("ALTER TABLE docs ALTER embedding SET DEFAULT '[1,1,1]'", "default value for column embedding"),
    ("ALTER TABLE docs ADD CONSTRAINT once UNIQUE (embedding)", "constraint once"),
    ("GRANT SELECT (embedding) ON docs TO postgres", "grants on the column alone"),
    (
        "ALTER TABLE docs ADD CONSTRAINT three CHECK (vector_dims(embedding) = 3)",
        r"the check three, CHECK .*, takes no vector\(5\). Nothing was done. .* op.drop_constraint_safely\('three'",
    ),
    (
        "ALTER TABLE docs ADD CONSTRAINT far CHECK (embedding <-> '[0,0,9]' > 0)",
        r"does not take vector\(5\): different vector dimensions",
    ),
    ("ALTER TABLE docs ADD embedding_new int", "has a column embedding_new. Nothing was done. Rename that one"),
]


def test_what_cannot_go_over_is_named_and_nothing_is_done(docs: Project) -> None:
    for statement, named in HANGING:
        docs.run("DROP TABLE docs CASCADE", *VECTORS, statement)
        before = found(docs)
        with pytest.raises(MigrationError, match=named):
            docs.migrate(by_sql)
        assert found(docs) == before


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"table": "nothing"}, "there is no table nothing"),
    ({"column": "nothing"}, "there is no column nothing in docs"),
    ({"column": "body"}, r"the column is text. Nothing was done. This is for vector\(N\) and halfvec\(N\)"),
    ({"width": 2001}, "cannot have more than 2000 dimensions for hnsw index.*4,000 of halfvec"),
    ({"backfill": None}, "Give backfill=, or from_archive=True"),
    ({"backfill": embed}, "which text is embedded"),
    ({"backfill": embed, "from_archive": True}, "backfill is SQL for the rows"),
    ({"backfill": None, "from_archive": True}, "there is no archive memstore_archive"),
]


def test_what_is_asked_for_wrongly_is_refused(docs: Project) -> None:
    before = found(docs)
    for arguments, problem in WRONG:
        asked = {"table": "docs", "column": "embedding", "width": 5, "backfill": WIDER} | arguments
        with pytest.raises(MigrationError, match=problem):
            docs.migrate(change(**asked))
    assert found(docs) == before


NOT_DONE: list[tuple[Any, str | None, str]] = [
    (lambda texts: embed(texts)[1:], "body", "100 texts became 99 vectors. Return one for each, in order"),
    (lambda texts: [None for _ in texts], "body", r"the rows \[0, \"d:102\"\], .* got no vector"),
    (embed, "nullif(body, 'xxx')", r"the rows \[0, \"d:3\"\] have an embedding and no text. Use coalesce"),
    ("NULL", None, "rows that were updated still satisfy"),
]


def test_a_row_without_a_new_embedding_is_named_and_it_goes_on_from_there(docs: Project) -> None:
    for backfill, text, problem in NOT_DONE:
        with pytest.raises(MigrationError, match=problem):
            docs.migrate(change(table="docs", column="embedding", width=5, backfill=backfill, text=text))
    docs.migrate(by_sql)
    assert docs.ask("SELECT DISTINCT vector_dims(embedding) FROM docs") == [(5,)]


def test_an_embedding_that_a_check_refuses_is_told_of_and_it_goes_on_from_there(docs: Project) -> None:
    rows = docs.ask(ROWS)
    zero = change(table="docs", column="embedding", width=5, backfill="'[0,0,0,0,0]'::vector")
    with pytest.raises(MigrationError, match='a new embedding is refused: .*"ck_docs_not_zero_new". Give another'):
        docs.migrate(zero)
    docs.migrate(by_sql)
    assert docs.ask(ROWS) == wider(rows)


def test_texts_that_come_in_as_fast_as_they_are_embedded_do_not_keep_it_for_ever(docs: Project) -> None:
    texts = 0

    def writing(asked: list[str]) -> list[Any]:
        nonlocal texts
        if texts < 1_000:
            docs.run(
                "INSERT INTO docs (part, id, body, embedding) "
                f"SELECT 9, {texts} + n, 'x', '[1,1,1]' FROM generate_series(1, {len(asked)}) AS n"
            )
        texts += len(asked)
        return embed(asked)

    told: list[str] = []

    def note(_connection: sa.Connection, _cursor: Any, statement: str, *_others: Any) -> None:
        if statement.startswith("CREATE INDEX CONCURRENTLY docs") or "ix_docs_hnsw_new" in statement:
            told.append(f"{texts}")

    with docs.engine.connect() as connection:
        sa.event.listen(connection, "before_cursor_execute", note)
        docs.migrate_on(
            connection,
            lambda op: op.change_embedding_width("docs", "embedding", 5, backfill=writing, text="body", batch_rows=50),
        )
    assert told[0] == "250"  # the indexes are begun when the rows of the beginning are done


def test_vectors_of_another_width_are_refused(docs: Project) -> None:
    with pytest.raises(DBAPIError, match="expected 5 dimensions, not 4"):
        docs.migrate(
            lambda op: op.change_embedding_width(
                "docs", "embedding", 5, backfill=lambda texts: ["[1,2,3,4]" for _ in texts], text="body"
            )
        )


def test_an_index_whose_build_was_killed_is_built_again(docs: Project) -> None:
    expected = as_of_width(docs, 5)
    with pytest.raises(MigrationError, match="still satisfy"):
        docs.migrate(change(table="docs", column="embedding", width=5, backfill="NULL"))
    docs.run(
        "CREATE INDEX ix_docs_half_new ON docs USING hnsw ((embedding_new::halfvec(5)) halfvec_cosine_ops)",
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'ix_docs_half_new'::regclass",
    )
    docs.migrate(by_sql)
    assert found(docs) == expected


def test_another_width_is_not_begun_before_one_is_finished(docs: Project) -> None:
    with pytest.raises(MigrationError, match="still satisfy"):
        docs.migrate(lambda op: op.change_embedding_width("docs", "embedding", 4, backfill="NULL"))
    with pytest.raises(MigrationError, match=r"a change to vector\(4\) was begun.*DROP COLUMN embedding_new"):
        docs.migrate(by_sql)


def test_rendered_sql_is_refused(docs: Project) -> None:
    with pytest.raises(MigrationError, match="with --sql there is no database to ask .*, nor rows to embed. Run this"):
        docs.rendered(by_model)


def test_a_reader_who_does_not_end_is_named(docs: Project) -> None:
    reader = docs.transaction("SET application_name = 'report'", "SELECT count(*) FROM docs")
    with (
        reader,
        pytest.raises(MigrationError, match=r"adding the new column: no lock, 3 times. In the way: pid \d+ \(rep"),
    ):
        docs.migrate(by_sql, IMPATIENT)
    docs.migrate(by_sql)


def test_halfvec_takes_more(project: Project) -> None:
    project.run(
        "CREATE TABLE docs (id int PRIMARY KEY, embedding halfvec(2))",
        "INSERT INTO docs VALUES (1, '[1,2]'), (2, NULL)",
        "CREATE INDEX ix_docs ON docs USING hnsw (embedding halfvec_l2_ops)",
    )
    fill = "(SELECT array_agg(1) FROM generate_series(1, 3000))::halfvec"
    project.migrate(lambda op: op.change_embedding_width("docs", "embedding", 3000, backfill=fill))
    assert project.ask("SELECT id, vector_dims(embedding) FROM docs ORDER BY id") == [(1, 3000), (2, None)]
