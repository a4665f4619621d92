"""The mirror of memories in Milvus: what it has not caught up with, what it cannot take, and what became of it."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import BigInteger, Identity, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column

from .base import Base, TenantOwned, tenant_isolation
from .constraints import not_empty, one_of
from .types import now, str_50, str_255
from .vocabulary import MirrorEvent

# The triggers on memory_nodes that fill the outbox. They are made turned off, and an operator may turn them on.
MIRROR_TRIGGERS = ("mirror_insert", "mirror_update", "mirror_delete", "mirror_truncate")


class MirrorOutboxEntry(Base):
    """That a memory was written or deleted, for the relay to look at: what the row says now counts, not this.

    Written by the triggers of memory_nodes alone. It outlives the memory and its tenant, until the mirror has followed.
    """

    __tablename__ = "mirror_outbox"
    __table_args__ = (
        Index("ix_mirror_outbox_shard_seq", text("memstore.mirror_shard(tenant_id)"), "seq"),
        {"comment": "memories that the mirror has still to look at, in order", "info": tenant_isolation()},
    )

    seq: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    tenant_id: Mapped[UUID] = mapped_column(comment="no foreign key: it may be gone by now")
    node_id: Mapped[str_255] = mapped_column(comment="no foreign key: it may be gone by now")
    enqueued_at: Mapped[now]


class MirrorRejection(TenantOwned, Base):
    """A memory that the mirror does not hold, because Milvus cannot take it as it is. Written by the relay."""

    __tablename__ = "mirror_rejections"
    __table_args__ = (
        not_empty("reason"),
        {"comment": "memories that Milvus cannot take as they are, set aside by the relay"},
    )

    node_id: Mapped[str_255] = mapped_column(primary_key=True, comment="no foreign key: it may be gone by now")
    reason: Mapped[str]
    version: Mapped[int | None] = mapped_column(comment="that of the memory that was refused")
    rejected_at: Mapped[now]


class MirrorLedgerEntry(Base):
    """What became of a physical collection in Milvus. Append-only: the last event says where it stands."""

    __tablename__ = "mirror_ledger"
    __table_args__ = (
        one_of("event", MirrorEvent),
        Index("ix_mirror_ledger_collection_physical_id", "collection", "physical", text("id DESC")),
        {"comment": "every step of a collection in Milvus, written by `memstore milvus`"},
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    collection: Mapped[str_255] = mapped_column(comment="the alias that readers use, such as memories_unified")
    physical: Mapped[str_255] = mapped_column(comment="the collection behind it, such as memories_unified__0001")
    revision: Mapped[str] = mapped_column(String(32), comment="what it is built by")
    checksum: Mapped[str] = mapped_column(String(64), comment="sha256 of what it is made of, hex")
    event: Mapped[MirrorEvent]
    package_version: Mapped[str_50]
    recorded_by: Mapped[str] = mapped_column(server_default=text("session_user"))
    recorded_at: Mapped[now]
