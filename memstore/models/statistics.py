"""What a search knows of a tenant before it looks: how many memories, and how common words are in them."""

from __future__ import annotations

from sqlalchemy import BigInteger, String, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from .base import Base, TenantOwned
from .constraints import json_is, not_negative
from .types import json_object, now


class SearchStatistics(TenantOwned, Base):
    """How much a tenant remembers, as of the last `refresh_search_statistics()`."""

    __tablename__ = "search_statistics"
    __table_args__ = (
        not_negative("memories"),
        not_negative("embedded"),
        json_is("users", "object"),
        {"comment": "what a search knows of a tenant before it looks, written by refresh_search_statistics()"},
    )

    memories: Mapped[int] = mapped_column(BigInteger, comment="how many are not deleted")
    embedded: Mapped[int] = mapped_column(BigInteger, comment="how many of them have a vector")
    users: Mapped[json_object] = mapped_column(comment="users with more than 2000 of them: how many, by id")
    sample: Mapped[list[str]] = mapped_column(
        ARRAY(String(255)),
        server_default=text("'{}'"),
        comment="ids of some of them, evenly chosen, where there are more than 2000",
    )
    refreshed_at: Mapped[now]


class WordStatistics(TenantOwned, Base):
    """In how many of a tenant's memories a word is, for words that are in more than 0.2 % of them."""

    __tablename__ = "word_statistics"
    __table_args__ = (
        not_negative("documents"),
        {"comment": "the common words of tenants with more than 2000 memories"},
    )

    lexeme: Mapped[str] = mapped_column(primary_key=True, comment="as search_vector has it")
    documents: Mapped[int] = mapped_column(BigInteger, comment="in how many memories it is, estimated from a sample")
