"""Each revision has a file here, and each file takes its revision up, down and up again."""

from __future__ import annotations

from importlib import import_module
from inspect import iscoroutinefunction
from pathlib import Path
from types import ModuleType

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from memstore.migrations import downgrade, upgrade
from memstore.migrations.scripts import revisions
from tests.migrations.revisions.case import EMBEDDING_DIM, Case, contents, run, since

FOLDER = Path(__file__).parent


def module_of(revision: str) -> ModuleType:
    return import_module(f"tests.migrations.revisions.test_{revision}")


def test_every_revision_has_a_file_and_every_file_a_revision() -> None:
    files = sorted(path.stem for path in FOLDER.glob("test_[0-9]*.py"))
    assert files == [f"test_{revision}" for revision in revisions()], "copy the file of another revision"


@pytest.mark.parametrize("revision", revisions())
def test_each_file_walks_its_own_revision_with_rows(revision: str) -> None:
    module = module_of(revision)
    case: Case = module.CASE
    assert case.revision == revision
    assert case.before
    assert case.after
    assert case.answers
    assert all(answer for _, answer in case.answers)
    tests = [value for name, value in vars(module).items() if name.startswith("test_") and iscoroutinefunction(value)]
    assert any({"walk", "CASE"} <= set(test.__code__.co_names) for test in tests)


async def test_the_rows_of_all_revisions_stay_all_the_way(empty_engine: AsyncEngine) -> None:
    cases: list[Case] = [module_of(revision).CASE for revision in revisions()]
    for case in cases:
        await run(empty_engine, *case.before)
        seeded = await contents(empty_engine)
        await upgrade(empty_engine, case.revision, embedding_dim=EMBEDDING_DIM)
        assert since(seeded, await contents(empty_engine)) == seeded
        await run(empty_engine, *case.after)
    complete = await contents(empty_engine)
    for case in reversed(cases):
        await downgrade(empty_engine, case.below)
        left = await contents(empty_engine)
        assert left == since(left, complete)
    assert list(left) == ["theirs"]
