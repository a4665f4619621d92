"""What columns mean, said once: a model then reads as English."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

from pgvector.sqlalchemy import VECTOR
from sqlalchemy import Dialect, LargeBinary, Numeric, SmallInteger, String, Text, text
from sqlalchemy.dialects.postgresql import BIT, JSONB, REAL, TSVECTOR
from sqlalchemy.ext.mutable import MutableDict, MutableList
from sqlalchemy.orm import mapped_column
from sqlalchemy.types import TypeDecorator

if TYPE_CHECKING:
    _TextDecorator = TypeDecorator[StrEnum]
    _BitsDecorator = TypeDecorator[str]
else:
    _TextDecorator = _BitsDecorator = TypeDecorator


class Vocabulary(_TextDecorator):
    """A closed vocabulary stored as text; the CHECK beside it is made by `constraints.one_of`."""

    impl = Text
    cache_ok = True

    def __init__(self, words: type[StrEnum]) -> None:
        super().__init__()
        self.words = words

    @property
    def python_type(self) -> type[StrEnum]:
        return self.words

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        return None if value is None else self.words(value).value

    def process_result_value(self, value: str | None, dialect: Dialect) -> StrEnum | None:  # noqa: ARG002
        return None if value is None else self.words(value)


class EmbeddingVector(VECTOR):
    """`vector(N)` where N is the width that this database was installed with (`memstore.settings`)."""

    cache_ok = True


class EmbeddingBits(_BitsDecorator):
    """`bit(N)` beside an `EmbeddingVector`: its `binary_quantize`, for ranking a tenant's rows by Hamming distance."""

    impl = BIT
    cache_ok = True

    def process_result_value(self, value: Any, dialect: Dialect) -> str | None:  # noqa: ARG002
        # Up to SQLAlchemy 2.0 asyncpg's own BitString comes through.
        return value if value is None or isinstance(value, str) else str(value.as_string())


uuid_key = Annotated[UUID, mapped_column(primary_key=True, server_default=text("gen_random_uuid()"))]
str_50 = Annotated[str, mapped_column(String(50))]
str_100 = Annotated[str, mapped_column(String(100))]
str_255 = Annotated[str, mapped_column(String(255))]
str_320 = Annotated[str, mapped_column(String(320))]  # the longest email address: RFC 5321, 64 + 1 + 255
bool_false = Annotated[bool, mapped_column(server_default=text("false"))]
bool_true = Annotated[bool, mapped_column(server_default=text("true"))]
count = Annotated[int, mapped_column(server_default=text("0"))]
small = Annotated[int, mapped_column(SmallInteger)]
real = Annotated[float, mapped_column(REAL)]
temperature = Annotated[Decimal, mapped_column(Numeric(3, 2))]
money = Annotated[Decimal, mapped_column(Numeric(10, 6))]
unit_score = Annotated[Decimal, mapped_column(Numeric(5, 4))]  # 0 to 1
sha256 = Annotated[bytes, mapped_column(LargeBinary)]
now = Annotated[datetime, mapped_column(server_default=text("now()"))]
json_object = Annotated[
    dict[str, Any], mapped_column(MutableDict.as_mutable(JSONB), server_default=text("'{}'::jsonb"))
]
json_list = Annotated[list[Any], mapped_column(MutableList.as_mutable(JSONB), server_default=text("'[]'::jsonb"))]
json_value = Annotated[Any, mapped_column(JSONB)]
json_any = Annotated[Any, mapped_column(JSONB, server_default=text("'{}'::jsonb"))]
words = Annotated[str, mapped_column(TSVECTOR)]
