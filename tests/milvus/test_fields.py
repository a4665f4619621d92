"""The table of fields and the model of memories, held together: neither can change alone."""

from __future__ import annotations

import re
from enum import StrEnum

from sqlalchemy import Boolean, Float, Integer, SmallInteger, String, Text, Uuid

from memstore.milvus import load_chain
from memstore.milvus.fields import CollectionSpec, Field, Form, Kind
from memstore.models import MemoryNode
from memstore.store import DECAY_PER_DAY

COLUMNS = MemoryNode.__table__.columns
# Columns that a reader by vector is not served with: they are in PostgreSQL, where results are read from.
NOT_MIRRORED = {
    *("agent_id", "sequence_index", "key", "human_content", "assistant_content", "content", "search_vector", "source"),
    *("intent_type", "complexity", "technical_depth", "emotional_valence", "urgency", "conversation_mode"),
    *("action_required", "has_code", "has_error", "tags", "cluster_id", "cluster_label", "cluster_confidence"),
    *("expires_at", "metadata", "embedding_model", "embedding_bits"),
}
UNIFIED = (
    *("id", "user_id", "org_id", "embedding", "importance", "decay_tier", "memory_type", "neuro_type", "ui_source"),
    *("created_at", "updated_at", "last_accessed", "expires_at", "access_count", "importance_decay", "decay_lambda"),
    *("session_id", "conversation_id", "ai_generated", "user_confirmed", "is_deleted", "version", "node_id"),
)


def spec() -> CollectionSpec:
    chain = load_chain()
    return chain.spec(chain.head, 4)


def columns_of(field: Field) -> set[str]:
    return set(re.findall(r"m\.(\w+)", field.column)) if "(" in field.column else {field.column}


def test_the_first_version_has_the_fields_of_the_unified_collection() -> None:
    first = load_chain().spec("0001_unified_memory", 4)
    assert sorted(first.names) == sorted(UNIFIED)
    assert (first.primary, first.partition_key, first.shards, first.metric) == ("id", "org_id", 2, "COSINE")


def test_every_column_is_mirrored_or_left_out_on_purpose() -> None:
    mirrored = set().union(*(columns_of(each) for each in spec().fields))
    assert mirrored <= set(COLUMNS.keys())
    assert mirrored & NOT_MIRRORED == set()
    assert set(COLUMNS.keys()) - mirrored == NOT_MIRRORED


def test_every_field_holds_whatever_its_column_can() -> None:
    ranges = {Kind.INT8: SmallInteger, Kind.INT32: Integer}
    for field in spec().fields:
        if "(" in field.column:
            continue
        column = COLUMNS[field.column].type
        match field.form:
            case Form.TEXT if isinstance(column, String) and column.length is not None:
                assert field.max_length is not None, field
                assert field.max_length >= 4 * column.length, field  # a character has up to four bytes
            case Form.TEXT if isinstance(column, Uuid):
                assert field.max_length == 36, field
            case Form.TEXT:
                assert issubclass(column.python_type, StrEnum), field
                words = max(len(word.value) for word in column.python_type)
                assert field.max_length is not None, field
                assert words <= field.max_length, field
            case Form.SECONDS:
                assert getattr(column, "timezone", False), field
            case Form.AS_IS if field.kind in ranges:
                assert isinstance(column, ranges[field.kind]), field
            case Form.AS_IS if field.kind is Kind.BOOL:
                assert isinstance(column, Boolean), field
            case Form.AS_IS if field.kind is Kind.FLOAT:
                assert isinstance(column, Float), field
            case Form.AS_IS:
                assert field.kind is Kind.VECTOR, field
    assert not isinstance(COLUMNS["importance"].type, Text)


def test_what_is_written_as_it_is_cannot_be_null() -> None:
    plain = [each for each in spec().fields if each.form is Form.AS_IS and each.kind is not Kind.VECTOR]
    assert [each.name for each in plain if "(" not in each.column and COLUMNS[each.column].nullable] == []


def test_the_rate_of_decay_is_that_of_the_decay_score() -> None:
    rates = {float(each) for each in re.findall(r"\d\.\d+", spec().field("decay_lambda").column)}
    assert rates == set(DECAY_PER_DAY.values())
    for neuro_type, rate in DECAY_PER_DAY.items():
        stated = f"WHEN '{neuro_type}' THEN {rate}" in spec().field("decay_lambda").column
        assert stated or f"ELSE {rate}" in spec().field("decay_lambda").column


def test_another_field_width_or_length_has_another_checksum() -> None:
    one = spec()
    others = [
        one.of_width(8),
        one.without("version"),
        one.adding(Field("agent_id", Kind.VARCHAR, "agent_id", Form.TEXT, 36)),
    ]
    assert len({each.checksum() for each in [one, *others]}) == 4
    assert one.checksum() == spec().checksum()
