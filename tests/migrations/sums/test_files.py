from __future__ import annotations

from collections.abc import Callable

import pytest

from memstore.errors import TamperError
from memstore.migrations import scripts, verify
from memstore.migrations.sums.files import revision_files
from tests.migrations.sums.released import FIFTH, FOURTH, LAST, NEW, REVISIONS, Released

Tamper = Callable[[Released], object]
Found = set[tuple[str, str]]


def copy_with_a_change(released: Released) -> None:
    released.file("copy").write_text(released.file(FOURTH).read_text() + "# more\n")


def edit_file_and_sum(released: Released) -> None:
    before = released.checksum(FOURTH)
    released.change(FOURTH)
    released.edit_sums(before, released.checksum(FOURTH))


def swap_lines(released: Released) -> None:
    fourth, fifth = released.line(FOURTH), released.line(FIFTH)
    released.edit_sums(fourth + fifth, fifth + fourth)


def forge_the_last_line(released: Released) -> None:
    line = released.line(LAST)
    released.edit_sums(line, line[:-65] + "0" * 64 + "\n")


def new_file(name: str, text: str) -> Tamper:
    return lambda released: released.file(name).write_text(text)


TAMPERED: dict[str, tuple[Tamper, Found]] = {
    "a comment more": (lambda r: r.change(FOURTH), {("changed", FOURTH)}),
    "a blank line more": (lambda r: r.change(FOURTH, ""), {("changed", FOURTH)}),
    "the last one changed": (lambda r: r.change(LAST), {("changed", LAST)}),
    "no Python any more": (lambda r: r.change(FOURTH, "def :"), {("changed", FOURTH)}),
    "two changed": (lambda r: r.change(FOURTH).change(LAST), {("changed", FOURTH), ("changed", LAST)}),
    "one gone": (lambda r: r.file(FOURTH).unlink(), {("missing", FOURTH)}),
    "the last one gone": (lambda r: r.file(LAST).unlink(), {("missing", LAST)}),
    "the first one gone": (lambda r: r.file(REVISIONS[0]).unlink(), {("missing", REVISIONS[0])}),
    "one called otherwise": (
        lambda r: r.edit(FOURTH, f'\nrevision = "{FOURTH}"', f'\nrevision = "{NEW}"'),
        {("missing", FOURTH), ("inserted", NEW)},
    ),
    "one after the last": (lambda r: r.add(NEW, LAST), {("unknown", NEW)}),
    "two after the last": (
        lambda r: r.add("0098_more", NEW).add(NEW, LAST),
        {("unknown", NEW), ("unknown", "0098_more")},
    ),
    "two heads after the last": (
        lambda r: r.add("0098_more", LAST).add(NEW, LAST),
        {("unknown", NEW), ("unknown", "0098_more")},
    ),
    "a branch beside": (lambda r: r.add(NEW, FOURTH), {("inserted", NEW)}),
    "a branch beside, two long": (
        lambda r: r.add(NEW, FOURTH).add("0098_more", NEW),
        {("inserted", NEW), ("inserted", "0098_more")},
    ),
    "a branch that joins the last": (lambda r: r.add(NEW, (FOURTH, LAST)), {("inserted", NEW)}),
    "one between two": (lambda r: r.insert(NEW, FIFTH), {("inserted", NEW), ("changed", FIFTH)}),
    "another first one": (lambda r: r.add(NEW, None), {("inserted", NEW)}),
    "one after nothing that is there": (lambda r: r.add(NEW, "0042_gone"), {("inserted", NEW)}),
    "a second file of one": (copy_with_a_change, {("inserted", FOURTH)}),
    "the same file twice": (lambda r: r.copy(FOURTH), {("inserted", FOURTH)}),
    "a new one twice": (lambda r: r.add(NEW, LAST).copy(NEW), {("unknown", NEW), ("inserted", NEW)}),
    "a file that does not say what it is": (new_file("stray", "x = 1\n"), {("inserted", "stray")}),
    "a file that computes what it is": (new_file("stray", "revision = str(1)\n"), {("inserted", "stray")}),
    "a file and its sum": (edit_file_and_sum, {("sums_edited", FOURTH)}),
    "a sum alone": (
        lambda r: r.edit_sums(r.checksum(FOURTH), "0" * 64),
        {("sums_edited", FOURTH), ("changed", FOURTH)},
    ),
    "the running sum of the last": (forge_the_last_line, {("sums_edited", LAST)}),
    "a line gone": (lambda r: r.edit_sums(r.line(FOURTH), ""), {("sums_edited", FIFTH), ("inserted", FOURTH)}),
    "two lines swapped": (
        swap_lines,
        {("sums_edited", FIFTH), ("sums_edited", FOURTH), ("sums_edited", REVISIONS[5])},
    ),
}


@pytest.mark.parametrize("case", TAMPERED)
async def test_each_way_to_tamper_is_told_apart(released: Released, case: str) -> None:
    tamper, needed = TAMPERED[case]
    tamper(released)
    found = await verify()
    assert {(each.problem, each.revision) for each in found.findings} == needed
    assert len(found.findings) == len(needed)
    assert found.refused == found.findings
    assert found.revisions == len(set(REVISIONS) - {revision for _, revision in needed})
    assert {each.problem for each in found.findings if not each.blocks} == {"unknown"} & dict(needed).keys()


@pytest.mark.usefixtures("released")
async def test_what_was_released_is_verified() -> None:
    found = await verify()
    assert (found.revisions, found.database, found.applied, found.findings) == (len(REVISIONS), None, 0, ())


@pytest.mark.parametrize("end", ["\r\n", "\r"])
async def test_line_endings_do_not_matter(released: Released, end: str) -> None:
    for path in (released.sums, *(released.file(revision) for revision in REVISIONS)):
        path.write_text(path.read_text(), newline=end)
    assert (await verify()).findings == ()


async def test_neither_does_the_name_of_a_file(released: Released) -> None:
    released.file(FOURTH).rename(released.file("renamed"))
    assert (await verify()).findings == ()


def test_the_sum_of_a_file_is_that_of_the_ledger(released: Released) -> None:
    path = released.file(FOURTH)
    path.write_text(path.read_text() + "# \u00e9\u2028\x0c\n", encoding="utf-8", newline="\r\n")
    script = scripts.script_directory().get_revision(FOURTH)
    (file,) = (each for each in revision_files(released.location) if each.revision == FOURTH)
    assert file.checksum == scripts.checksum(script)


@pytest.mark.parametrize("annotated", ['revision: str = "0099_new"', 'revision = rev = "0099_new"'])
async def test_a_revision_may_be_annotated(released: Released, annotated: str) -> None:
    released.file(NEW).write_text(f'{annotated}\ndown_revision: str | None = "{LAST}"\n')
    assert [(each.problem, each.revision) for each in (await verify()).findings] == [("unknown", NEW)]


LINE = f"{NEW} {'a' * 64} {'b' * 64}"
UNREADABLE = {
    "two words": (f"{NEW} {'a' * 64}", f"found '{NEW} {'a' * 64}'. Needed: REVISION SHA256 RUNNING_SHA256"),
    "four words": (f"{LINE} x", "Needed: REVISION SHA256"),
    "two spaces": (LINE.replace(" ", "  "), "Needed: REVISION SHA256"),
    "capitals": (LINE.replace("a", "A"), "Needed: REVISION SHA256"),
    "too short": (LINE[:-1], "Needed: REVISION SHA256"),
    "no words": ("\x00", "Needed: REVISION SHA256"),
    "a revision twice": (LINE.replace(NEW, FOURTH), f"{FOURTH} stands there for the second time"),
}


@pytest.mark.parametrize("case", UNREADABLE)
async def test_a_line_that_cannot_be_read_is_named(released: Released, case: str) -> None:
    line, why = UNREADABLE[case]
    number = len(released.sums.read_text().splitlines()) + 1
    with released.sums.open("a") as sums:
        sums.write(f"{line}\n")
    with pytest.raises(TamperError) as refused:
        await verify()
    assert f"versions.sum, line {number}: " in str(refused.value)
    assert why in str(refused.value)


async def test_sums_that_are_not_there_are_missed(released: Released) -> None:
    released.sums.unlink()
    with pytest.raises(TamperError, match=r"versions\.sum is missing.*pip install --force-reinstall"):
        await verify()
