from __future__ import annotations

import hashlib
import re

import pytest

from memstore.errors import TamperError
from memstore.migrations import scripts
from memstore.migrations.sums.__main__ import main
from memstore.migrations.sums.compare import compare_files
from memstore.migrations.sums.files import revision_files
from memstore.migrations.sums.seal import seal
from memstore.migrations.sums.sealed import read_sums
from tests.migrations.sums.released import FOURTH, LAST, NEW, REVISIONS, Released
from tests.support import ROOT

# The last line of alembic/versions.sum. Whoever changes a released revision would have to change this too.
PINNED = ("0031_mirror_ledger", "0f072c14c8d485b047aae791658b8eeb830f3ac6a0dce71d54cf3b11f1febafb")


def test_released_revisions_stay_as_they_are() -> None:
    location = scripts.script_location()
    sealed = read_sums(location)
    last = (sealed[-1].revision, sealed[-1].running) if sealed else None
    assert last == PINNED, "pin what `make seal` has added"
    assert [each for each in compare_files(revision_files(location), sealed) if each.blocks] == []


def test_each_line_is_bound_to_those_before(released: Released) -> None:
    running = ""
    for line, revision in zip(released.sums.read_text().splitlines()[2:], REVISIONS, strict=True):
        running = hashlib.sha256(f"{running} {revision} {released.checksum(revision)}".encode()).hexdigest()
        assert line == f"{revision} {released.checksum(revision)} {running}"


def test_sealing_appends_what_is_new_in_order_and_nothing_twice(released: Released) -> None:
    before = released.sums.read_text()
    assert seal(released.location) == []
    assert released.sums.read_text() == before
    released.add(NEW, "0098_more")
    released.add("0098_more", LAST)
    assert seal(released.location) == ["0098_more", NEW]
    assert released.sums.read_text().startswith(before)
    assert compare_files(revision_files(released.location), read_sums(released.location)) == []


def test_a_last_line_without_its_end_keeps_its_own(released: Released) -> None:
    before = released.sums.read_text()
    released.sums.write_text(before.removesuffix("\n"))
    released.add(NEW, LAST)
    assert seal(released.location) == [NEW]
    assert released.sums.read_text().startswith(f"{before}{NEW} ")
    assert compare_files(revision_files(released.location), read_sums(released.location)) == []
    assert list(released.location.glob("versions.sum*")) == [released.sums]


def test_what_is_not_sealed_as_it_is_is_not_built(released: Released, capsys: pytest.CaptureFixture[str]) -> None:
    before = released.sums.read_text()
    main(["--check"])
    released.add(NEW, LAST)
    with pytest.raises(SystemExit, match="1"):
        main(["--check"])
    assert f"make seal\n  {NEW}: unknown" in capsys.readouterr().err
    released.file(NEW).unlink()
    released.change(FOURTH)
    with pytest.raises(SystemExit, match="1"):
        main(["--check"])
    assert f"make seal\n  {FOURTH}: changed" in capsys.readouterr().err
    assert released.sums.read_text() == before
    (build,) = re.findall(r"^build:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert [line.rpartition("/")[2] for line in build.splitlines()] == [
        "python -m memstore.migrations.sums --check",
        "python -m hatchling build",
    ]


def test_two_files_of_one_are_not_sealed(released: Released) -> None:
    before = released.sums.read_text()
    released.add(NEW, LAST).copy(NEW)
    with pytest.raises(TamperError, match=f"{NEW}: inserted .*found a second file of this revision"):
        seal(released.location)
    assert released.sums.read_text() == before


def test_a_sealed_line_is_not_written_again(released: Released, capsys: pytest.CaptureFixture[str]) -> None:
    released.change(FOURTH)
    released.add(NEW, LAST)
    before = released.sums.read_text()
    with pytest.raises(SystemExit, match="1"):
        main()
    assert released.sums.read_text() == before
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("nothing was sealed")
    assert f"{FOURTH}: changed" in printed.err


def test_two_after_the_same_are_not_sealed(released: Released) -> None:
    released.add(NEW, LAST)
    released.add("0098_more", LAST)
    before = released.sums.read_text()
    with pytest.raises(TamperError, match="0099_new.py follows .* one chain. Needed: down_revision = '0098_more'"):
        seal(released.location)
    assert released.sums.read_text() == before


def test_what_was_sealed_is_said(released: Released, capsys: pytest.CaptureFixture[str]) -> None:
    released.add(NEW, LAST)
    main()
    main()
    assert capsys.readouterr().out == f"1 revisions sealed: {NEW}\n0 revisions sealed: none\n"
