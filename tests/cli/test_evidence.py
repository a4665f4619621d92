from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy.engine import URL

from tests.cli.command import done, fetch, memstore, misused, refused
from tests.migrations.sums.released import FOURTH, LAST, NEW, REVISIONS, Released, released_in

COUNT = len(REVISIONS)


@pytest.fixture
def released(tmp_path: Path) -> Iterator[Released]:
    with released_in(tmp_path) as released:
        yield released


@pytest.mark.usefixtures("released")
def test_what_is_as_it_was_released_is_counted(url: URL, empty_url: URL) -> None:
    assert done("db", "verify", url=url) == f"{COUNT} revisions verified, {COUNT} applied in {url.database}\n"
    assert done("db", "verify", url=empty_url) == f"{COUNT} revisions verified, 0 applied in {empty_url.database}\n"
    without = f"{COUNT} revisions verified, no database was asked: DATABASE_URL is not set\n"
    assert done("db", "verify") == without
    found = json.loads(done("db", "verify", "--json", url=url))
    assert found == {"revisions": COUNT, "database": url.database, "applied": COUNT, "findings": []}


def test_a_finding_says_what_was_found_needed_and_what_to_type(released: Released, url: URL) -> None:
    sealed = released.checksum(FOURTH)
    released.change(FOURTH)
    released.add(NEW, LAST)
    finished = memstore("db", "verify", url=url)
    assert (finished.returncode, finished.stderr) == (1, "")
    lines = finished.stdout.splitlines()
    assert lines[:4] == [
        f"{FOURTH}: changed",
        f"    {released.file(FOURTH)}",
        f"    found sha256 {released.checksum(FOURTH)}",
        f"    needed sha256 {sealed}, as in versions.sum",
    ]
    assert lines[4].startswith("  > ")
    assert "memstore db repair --reason" in lines[4]
    assert lines[5] == f"{NEW}: unknown"
    assert "make seal" in lines[9]
    assert lines[10:] == [f"{COUNT - 1} revisions verified, {COUNT} applied in {url.database}"]
    found = json.loads(memstore("db", "verify", "--json", url=url).stdout)["findings"]
    assert [(each["problem"], each["revision"], each["accepted"]) for each in found] == [
        ("changed", FOURTH, None),
        ("unknown", NEW, None),
    ]


def test_what_is_accepted_is_shown_with_who_when_and_why(released: Released, url: URL) -> None:
    released.change(FOURTH)
    why = "a [comment] was corrected"
    assert done("db", "repair", "--reason", why, url=url).startswith(f"accepted  {FOURTH}: changed (")
    (row,) = fetch(url, "SELECT * FROM memstore.migration_repairs")
    shown = done("db", "verify", url=url).splitlines()
    when = row["repaired_at"].strftime("%Y-%m-%d %H:%M:%S")
    assert shown[4] == f"    accepted by {url.username} at {when} UTC: {why}"
    assert shown[5].startswith(f"{COUNT - 1} revisions verified")
    assert done("db", "upgrade", url=url) == "nothing to do\n"
    assert done("db", "repair", "--reason", why, url=url) == "nothing to repair\n"
    assert json.loads(done("db", "repair", "--reason", why, "--json", url=url)) == []
    assert len(fetch(url, "SELECT FROM memstore.migration_repairs")) == 1


def test_a_repair_needs_a_reason(released: Released, url: URL) -> None:
    released.change(FOURTH)
    assert "--reason" in misused("db", "repair")
    assert "found an empty reason" in refused("db", "repair", "--reason", " ", url=url)
    assert fetch(url, "SELECT FROM memstore.migration_repairs") == []


def test_sums_that_cannot_be_read_are_no_traceback(released: Released) -> None:
    released.edit_sums(released.line(FOURTH), "garbage\n")
    assert "versions.sum, line 6: found 'garbage'" in refused("db", "verify")
