from __future__ import annotations

import re
from collections import defaultdict

import pytest

from memstore.migrations.lint import CODES, RULES, Finding, lint_revisions
from tests.migrations.lint.project import DOCS, Example, examples, write_project

EXAMPLES = examples()
UNREADABLE = "MS903-bad"  # Alembic could not load it


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Finding]]:
    """What is found in each example, by its name: all of them are one project, linted once."""
    folder = tmp_path_factory.mktemp("examples")
    linted = [each for each in EXAMPLES if each.name != UNREADABLE]
    ids = list(write_project(folder, *(each.text for each in linted), tests=True))
    names = dict(zip(ids, (each.name for each in linted), strict=True))
    untested = next(revision for revision, name in names.items() if name == "MS407-bad")
    (folder / "tests" / f"test_{untested}.py").unlink()
    (folder / "pyproject.toml").write_text('[tool.memstore.lint]\ndistance = "cosine"\ntests = "tests"\n')
    by_name: dict[str, list[Finding]] = defaultdict(list)
    for finding in lint_revisions(config=folder / "alembic.ini").findings:
        by_name[names[str(finding.revision)]].append(finding)
    broken = folder / "broken.py"
    broken.write_text(next(each.text for each in EXAMPLES if each.name == UNREADABLE))
    by_name[UNREADABLE] = list(lint_revisions([str(broken)]).findings)
    return by_name


def test_every_rule_is_in_the_docs_with_its_name_and_its_reason() -> None:
    assert sorted(each.code for each in EXAMPLES) == sorted([*CODES, *CODES])
    headings = re.findall(r"^### (.*)$", DOCS, re.MULTILINE)
    flat = " ".join(DOCS.split())
    for rule in RULES.values():
        assert f"{rule.code} {rule.slug}" in headings
        assert rule.reason in flat


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_a_bad_revision_has_that_finding_alone_and_a_good_one_has_none(
    example: Example, found: dict[str, list[Finding]]
) -> None:
    assert {each.code for each in found[example.name]} == (set() if example.good else {example.code}), found[
        example.name
    ]
    assert all(each.fix and each.reason and each.line > 0 for each in found[example.name])
