"""The rules: what each is called, and why it is there. docs/lint.md shows a bad and a good revision for each."""

from __future__ import annotations

from .finding import Rule

_TEXT = """
MS101 raw-concurrently: A build or drop that fails leaves an INVALID index, which a second run takes for done.
MS102 blocking-index: Building an index on a table with rows stops every writer until it is built.
MS103 blocking-index-drop: DROP INDEX waits for every reader and writer of the table, and all others queue behind it.
MS104 blocking-not-null: SET NOT NULL reads the whole table under ACCESS EXCLUSIVE: nobody reads or writes meanwhile.
MS105 blocking-foreign-key: Adding a foreign key checks every row while both tables cannot be written to.
MS106 blocking-check: Adding a CHECK reads the whole table under ACCESS EXCLUSIVE.
MS107 blocking-unique: A UNIQUE, PRIMARY KEY or EXCLUDE constraint builds its index under ACCESS EXCLUSIVE.
MS108 plain-before-safe: Safe operations and autocommit blocks commit: a killed run would meet what came before again.
MS109 rewriting-column: A column with a volatile default, an identity or a stored expression rewrites the table under \
ACCESS EXCLUSIVE.
MS110 rewriting-type: Changing the type of a column rewrites the table and its indexes under ACCESS EXCLUSIVE.
MS111 blocking-maintenance: REINDEX, CLUSTER, VACUUM FULL, REFRESH, SET TABLESPACE and SET LOGGED lock the table for \
as long as they take, and LOCK until the end of the transaction.
MS112 lost-set-local: SET LOCAL ends with its transaction: it is gone where the revision commits.
MS113 required-column: A NOT NULL column without a default cannot be added to a table with rows.
MS114 unbatched-update: An UPDATE of all rows locks them until its end, and leaves as many dead ones behind.
MS115 repeated-object: After a kill the earlier of two safe operations on one object meets what the later one has done.
MS201 unarchived-drop: What is dropped without being archived is gone, whatever the revision says of the way back.
MS202 dropped-extension: DROP EXTENSION takes the columns and indexes of its types along, those of others too.
MS203 renamed-in-use: The release that is still running uses the old name, and fails from the moment of the rename.
MS204 emptied-table: TRUNCATE, and DELETE without WHERE, lose rows that no downgrade brings back.
MS205 unrestored-archive: What one direction archives and the other does not restore never comes back by itself.
MS301 width-in-place: Vectors of another width must be made anew; in place the change fails on the first row.
MS302 using-null: USING NULL destroys every value of the column.
MS303 too-many-dimensions: HNSW and IVFFlat stop at 2,000 dimensions on vector, 4,000 on halfvec, 64,000 on bit.
MS304 other-distance: An index by another distance than queries use is never used.
MS305 other-operator-class: The operator class is of another type than what is indexed: CREATE INDEX fails.
MS401 first-party-import: A revision is frozen, the project's own code is not: it will have moved on when this runs.
MS402 long-id: alembic_version.version_num is varchar(32): a longer id fails when it is stamped, at the end of the run.
MS403 empty-downgrade: A downgrade that does nothing takes back the stamp and leaves the change: the next upgrade fails.
MS404 unknown-level: Who goes back must know beforehand whether data survives it.
MS405 irreversible-without-reason: Who is refused must know why.
MS406 missing-policy: A table of the tenants' rows without a policy shows every tenant all of them.
MS407 missing-test: A revision that no test has run, up and down with rows, is tried out in production.
MS408 several-statements: asyncpg runs one statement at a time: the revision fails there.
MS409 transaction-in-sql: BEGIN and COMMIT in SQL end the transaction that Alembic keeps the stamp in.
MS901 silence-without-reason: A silence that does not say why cannot be judged later.
MS902 useless-silence: A silence that silences nothing hides the next finding.
MS903 unreadable-revision: What cannot be read cannot be judged.
MS904 unrendered-sql: What does not render with --sql was not looked at, nor can it be run by hand.
"""


def _rules() -> dict[str, Rule]:
    found = {}
    for line in _TEXT.strip().splitlines():
        head, _, reason = line.partition(": ")
        code, slug = head.split()
        found[code] = Rule(code, slug, reason)
    return found


RULES: dict[str, Rule] = _rules()
