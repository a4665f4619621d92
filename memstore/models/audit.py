"""Who did what with which memory, and how searches went."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import Index, text
from sqlalchemy.orm import Mapped, mapped_column

from .base import Base, Created, TenantOwned, UserOwned
from .constraints import finite, json_is, not_negative, one_of, tenant_foreign_key
from .relations import parent
from .tenancy import User
from .types import json_object, now, real, str_255, uuid_key
from .vocabulary import AccessType, SearchType


class MemoryAccess(TenantOwned, UserOwned, Base):
    """That somebody read, wrote or searched memories. The trail outlives the memory and, without a name, the user."""

    __tablename__ = "memory_access_log"
    __table_args__ = (
        tenant_foreign_key("user_id", User, ondelete="SET NULL (user_id)"),
        one_of("access_type", AccessType),
        not_negative("results_count"),
        finite("processing_time_ms"),
        json_is("metadata", "object"),
        Index(
            "ix_memory_access_log_tenant_id_memory_id_accessed_at",
            "tenant_id",
            "memory_id",
            text("accessed_at DESC"),
            postgresql_where=text("memory_id IS NOT NULL"),
        ),
        Index(None, "tenant_id", "user_id", postgresql_where=text("user_id IS NOT NULL")),
        {"comment": "who did what with which memory; rows outlive the memory and the user"},
    )

    id: Mapped[uuid_key]
    user_id: Mapped[UUID | None] = mapped_column(sort_order=-1, comment="who; null: nobody in particular, or gone")
    memory_id: Mapped[str_255 | None] = mapped_column(comment="no foreign key: the trail survives a hard delete")
    access_type: Mapped[AccessType]
    correlation_id: Mapped[str_255 | None] = mapped_column(comment="the application's id of the request")
    query_text: Mapped[str | None] = mapped_column(comment="what was searched for")
    results_count: Mapped[int | None]
    processing_time_ms: Mapped[real | None] = mapped_column(comment="milliseconds")
    metadata_: Mapped[json_object] = mapped_column("metadata", comment="free-form")
    accessed_at: Mapped[now]

    user: Mapped[User | None] = parent("MemoryAccess.user_id", "User", reverse="accesses")


class SearchMetric(TenantOwned, Created, Base):
    """How one search went."""

    __tablename__ = "search_metrics"
    __table_args__ = (
        one_of("search_type", SearchType),
        not_negative("result_count"),
        finite("execution_time_ms"),
        json_is("metadata", "object"),
        {"comment": "how searches went"},
    )

    id: Mapped[uuid_key]
    search_type: Mapped[SearchType]
    result_count: Mapped[int]
    execution_time_ms: Mapped[real] = mapped_column(comment="milliseconds")
    metadata_: Mapped[json_object] = mapped_column("metadata", comment="free-form")
