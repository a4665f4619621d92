"""What this installation is: its parameters, and how its schema came to be."""

from __future__ import annotations

from sqlalchemy import Identity, text
from sqlalchemy.orm import Mapped, mapped_column

from .base import Base
from .constraints import not_empty, not_negative, one_of
from .types import json_value, now, str_50, str_255
from .vocabulary import MigrationDirection, RevisionProblem


class Setting(Base):
    """A parameter chosen when memstore was installed in this database, such as the width of embeddings."""

    __tablename__ = "settings"
    __table_args__ = ({"comment": "parameters chosen at installation, such as embedding_dim"},)

    key: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[json_value]


class LedgerEntry(Base):
    """A step that the migration environment took in this database. Append-only."""

    __tablename__ = "migration_ledger"
    __table_args__ = (
        one_of("direction", MigrationDirection),
        not_negative("duration_ms"),
        {"comment": "every migration step taken in this database, written by the migration environment"},
    )

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    revision: Mapped[str_255]
    direction: Mapped[MigrationDirection]
    checksum: Mapped[str | None] = mapped_column(comment="sha256 of the revision file, hex, over its text with LF")
    package_version: Mapped[str_50]
    applied_by: Mapped[str] = mapped_column(server_default=text("session_user"))
    applied_at: Mapped[now]
    duration_ms: Mapped[int] = mapped_column(comment="how long the step took, milliseconds")


class MigrationRepair(Base):
    """Something wrong with a revision that somebody has accepted in this database, and why. Append-only."""

    __tablename__ = "migration_repairs"
    __table_args__ = (
        not_empty("reason"),
        one_of("problem", RevisionProblem),
        {"comment": "what `memstore db verify` found and somebody accepted, written by `memstore db repair`"},
    )

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    revision: Mapped[str_255]
    problem: Mapped[RevisionProblem]
    checksum: Mapped[str | None] = mapped_column(comment="sha256 of the content accepted, hex; null: there is none")
    reason: Mapped[str]
    repaired_by: Mapped[str] = mapped_column(server_default=text("session_user"))
    repaired_at: Mapped[now]
    package_version: Mapped[str_50]
