from __future__ import annotations

import pytest

from memstore.errors import MilvusStateError, SettingsError
from memstore.milvus import load_chain
from memstore.milvus.expressions import Conditions, ids_filter, literal

SPEC = load_chain().spec("0001_unified_memory", 4)


def test_literals() -> None:
    assert literal(True) == "true"
    assert literal(-3) == "-3"
    assert literal('a"b\\c\nd') == '"a\\"b\\\\c\\nd"'
    assert literal("é🙂{}%") == '"é🙂{}%"'


@pytest.mark.parametrize("value", [1.5, None, b"x", "\ud800"])
def test_what_cannot_be_written_is_refused(value: object) -> None:
    with pytest.raises(SettingsError, match="a filter of Milvus holds"):
        literal(value)  # type: ignore[arg-type]


def test_conditions_are_joined() -> None:
    found = Conditions(SPEC).equals("org_id", "x").equals("is_deleted", False).never_or_from("expires_at", 5)
    found.one_of("memory_type", ["fact", "insight"]).at_least("importance", 2).at_most("importance", 9)
    assert str(found) == (
        'org_id == "x" and is_deleted == false and (expires_at == 0 or expires_at >= 5) and '
        'memory_type in ["fact", "insight"] and importance >= 2 and importance <= 9'
    )


def test_none_of_no_values_is_meant() -> None:
    assert str(Conditions(SPEC).one_of("memory_type", [])) == 'id == ""'
    assert ids_filter([]) == 'id == ""'


def test_a_field_that_nobody_has_is_refused() -> None:
    with pytest.raises(MilvusStateError, match="no field 'org_idd'. It has: id, org_id"):
        Conditions(SPEC).equals("org_idd", "x")


@pytest.mark.parametrize(
    ("field", "value"), [("importance", "5"), ("importance", True), ("is_deleted", 1), ("org_id", 1)]
)
def test_a_value_of_another_type_is_refused(field: str, value: str | int) -> None:
    with pytest.raises(SettingsError, match=f"the field {field} of Milvus"):
        Conditions(SPEC).equals(field, value)
