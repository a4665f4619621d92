from __future__ import annotations

import pytest

from memstore.migrations import include_name


@pytest.mark.parametrize(
    ("name", "kind", "included"),
    [
        ("memstore", "schema", False),
        ("memstore_archive", "schema", False),
        ("app", "schema", True),
        (None, "schema", True),
        ("memstore", "table", True),
        ("memstore", "column", True),
    ],
)
def test_only_the_schemas_of_memstore_are_left_out(name: str | None, kind: str, included: bool) -> None:
    assert include_name(name, kind, {"schema_name": None}) is included
