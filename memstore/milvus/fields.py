"""What a collection of memories is made of: fields, each with the column of `memory_nodes` that it mirrors."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from ..errors import MilvusStateError

if TYPE_CHECKING:
    from collections.abc import Sequence


class Kind(StrEnum):
    """The types of fields that memstore uses, as Milvus names them."""

    VARCHAR = "VARCHAR"
    INT8 = "INT8"
    INT32 = "INT32"
    INT64 = "INT64"
    FLOAT = "FLOAT"
    BOOL = "BOOL"
    VECTOR = "FLOAT_VECTOR"


class Form(StrEnum):
    """How a value of a column becomes that of a field, and what stands for NULL.

    No value of these is null: servers before 2.5 have no such thing.
    """

    AS_IS = "as_is"
    TEXT = "text"
    """An id or a text; '' for NULL."""
    SECONDS = "seconds"
    """A moment, in whole Unix seconds; 0 for never."""
    IS_SET = "is_set"
    """Whether there is one."""
    ENTITY_ID = "entity_id"
    """`entities.entity_id` of the row."""


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a collection.

    column: of `memory_nodes`; or SQL on its row, which is called m.
    max_length: of a VARCHAR, in bytes of UTF-8.
    indexed: whether it gets an index, where the server has one for its kind.
    """

    name: str
    kind: Kind
    column: str
    form: Form = Form.AS_IS
    max_length: int | None = None
    indexed: bool = False


@dataclass(frozen=True, slots=True)
class CollectionSpec:
    """What a collection is to be: the same for everybody who has the same revision, but for the width of vectors.

    metric: always the cosine, which is how memstore scores.
    """

    fields: tuple[Field, ...]
    dimensions: int | None = None
    primary: str = "id"
    partition_key: str = "org_id"
    vector: str = "embedding"
    shards: int = 2
    metric: str = "COSINE"

    def __post_init__(self) -> None:
        names = [each.name for each in self.fields]
        if len(set(names)) < len(names):
            raise MilvusStateError(f"a field stands twice among {', '.join(names)}. Remove one")

    def field(self, name: str) -> Field:
        """Return the field of that name.

        Raises:
            MilvusStateError: there is none.
        """
        for each in self.fields:
            if each.name == name:
                return each
        raise MilvusStateError(f"the collection has no field {name!r}. It has: {', '.join(self.names)}")

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all fields."""
        return tuple(each.name for each in self.fields)

    def adding(self, *fields: Field) -> CollectionSpec:
        """Return what it is with more fields."""
        return replace(self, fields=(*self.fields, *fields))

    def without(self, *names: str) -> CollectionSpec:
        """Return what it is without some fields.

        Raises:
            MilvusStateError: it has no such field.
        """
        for name in names:
            self.field(name)
        return replace(self, fields=tuple(each for each in self.fields if each.name not in names))

    def of_width(self, dimensions: int) -> CollectionSpec:
        """Return what it is with vectors of a width."""
        return replace(self, dimensions=dimensions)

    def checksum(self) -> str:
        """Return the sha256 of all of it, in hex: what a collection was made of, and is compared by."""
        described = json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(described.encode()).hexdigest()


def text(name: str, column: str, max_length: int, *, indexed: bool = False) -> Field:
    """Return a field of a text or an id, up to so many bytes."""
    return Field(name, Kind.VARCHAR, column, Form.TEXT, max_length, indexed)


def moment(name: str, column: str, *, indexed: bool = False) -> Field:
    """Return a field of a time in whole Unix seconds."""
    return Field(name, Kind.INT64, column, Form.SECONDS, None, indexed)


def columns_of(fields: Sequence[Field]) -> str:
    """Return what is selected for fields, of a table called m, each under the name of its field."""
    return ", ".join(f"{_selected(each)} AS {each.name}" for each in fields)


def _selected(field: Field) -> str:
    column = field.column if "(" in field.column else f"m.{field.column}"
    if field.form is Form.SECONDS:
        # As a float: a moment before Christ or at infinity, which no Python can hold, is refused row by row.
        return f"extract(epoch FROM {column})::float8"
    if field.form is Form.TEXT:
        return f"{column}::text"
    return column
