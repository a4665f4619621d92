"""The models of another project, in parts that a test can replace one by one."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pgvector.sqlalchemy import BIT, HALFVEC, SPARSEVEC, VECTOR
from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    Computed,
    Double,
    Enum,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    cast,
    func,
    literal_column,
    text,
)
from sqlalchemy.schema import SchemaItem

from memstore.migrations.autogenerate import Policy, RowLevelSecurity, row_level_security

Part = Callable[[], SchemaItem]

CONVENTION = {"ck": "ck_%(table_name)s_%(constraint_name)s", "pk": "pk_%(table_name)s"}

MINE = Policy("mine", using="tenant = current_setting('app.tenant', true)", check="tenant <> ''")
READERS = Policy("readers", using="score > 0 AND kind IN ('a', 'b')", command="SELECT", permissive=False)
KNOWN = Policy("known", using="EXISTS (SELECT 1 FROM authors WHERE authors.id = author_id AND authors.name <> '')")

GUARDED = RowLevelSecurity((MINE, READERS, KNOWN))


def vector_index(name: str, method: str, column: str, opclass: str, **parameters: int) -> Part:
    return lambda: Index(
        name, column, postgresql_using=method, postgresql_ops={column: opclass}, postgresql_with=parameters
    )


VECTOR_INDEXES: dict[str, Part] = {
    f"{method}_{opclass.removesuffix('_ops')}": vector_index(f"{method}_{opclass.removesuffix('_ops')}", method, *both)
    for method, kinds in {
        "hnsw": {
            "embedding": ("vector", ("l2", "ip", "cosine", "l1")),
            "half": ("halfvec", ("l2", "ip", "cosine", "l1")),
            "bits": ("bit", ("hamming", "jaccard")),
            "sparse": ("sparsevec", ("l2", "ip", "cosine", "l1")),
        },
        "ivfflat": {
            "embedding": ("vector", ("l2", "ip", "cosine")),
            "half": ("halfvec", ("l2", "ip", "cosine")),
            "bits": ("bit", ("hamming",)),
        },
    }.items()
    for column, (type_, distances) in kinds.items()
    for distance in distances
    for opclass in [f"{type_}_{distance}_ops"]
    for both in [(column, opclass)]
}

PARTS: dict[str, Part] = {
    "id": lambda: Column("id", Integer, primary_key=True),
    "tenant": lambda: Column("tenant", Text, nullable=False, comment="whose it is"),
    "kind": lambda: Column("kind", Text, nullable=False),
    "score": lambda: Column("score", Double),
    "Size": lambda: Column("Size", Integer, CheckConstraint('"Size" > 0', name="size")),
    "author_id": lambda: Column("author_id", ForeignKey("authors.id")),
    "mood": lambda: Column("mood", Enum("glad", "sad", name="mood", native_enum=False, create_constraint=True)),
    "seen": lambda: Column("seen", Boolean(create_constraint=True, name="seen")),
    "embedding": lambda: Column("embedding", VECTOR(3)),
    "half": lambda: Column("half", HALFVEC(3)),
    "bits": lambda: Column("bits", BIT(3)),
    "sparse": lambda: Column("sparse", SPARSEVEC(3)),
    "loud": lambda: Column("loud", Text, Computed("upper(kind)", persisted=True), comment="kind, shouted"),
    "kinds": lambda: CheckConstraint("kind IN ('a', 'b', 'it''s 5%')", name="kind"),
    "range": lambda: CheckConstraint("score BETWEEN 0 AND 1 OR score IS NULL", name="score_range"),
    "ix_plain": lambda: Index("ix_plain", "tenant", text("score DESC NULLS LAST")),
    "ix_partial": lambda: Index(
        "ix_partial", "tenant", unique=True, postgresql_where=text("kind = 'a' AND score > 0.5"),
        postgresql_include=["author_id"], postgresql_nulls_not_distinct=True,
    ),
    "ix_lower": lambda: Index("ix_lower", text("lower(kind) text_pattern_ops"), postgresql_with={"fillfactor": 70}),
    "ix_loud": lambda: Index("ix_loud", "loud"),
    "as_halfvec": lambda: Index(
        "as_halfvec", text("(embedding::halfvec(3)) halfvec_cosine_ops"), postgresql_using="hnsw"
    ),
    "as_halfvec_cast": lambda: Index(
        "as_halfvec_cast",
        cast(literal_column("embedding"), HALFVEC(3)).label("e"),
        postgresql_using="hnsw",
        postgresql_ops={"e": "halfvec_l2_ops"},
        postgresql_with={"m": 8, "ef_construction": 32},
    ),
    "as_bits": lambda: Index(
        "as_bits",
        cast(func.binary_quantize(literal_column("embedding")), BIT(3)).label("b"),
        postgresql_using="hnsw",
        postgresql_ops={"b": "bit_hamming_ops"},
        postgresql_where=text("tenant = 'big'"),
    ),
    **VECTOR_INDEXES,
}  # fmt: skip


def models(
    changes: Mapping[str, Part | None] | None = None,
    security: RowLevelSecurity | None = GUARDED,
) -> MetaData:
    """Return the models with some parts replaced, added or, where a change is None, left out."""
    metadata = MetaData(naming_convention=CONVENTION)
    Table("authors", metadata, Column("id", Integer, primary_key=True), Column("name", Text))
    parts = {name: part for name, part in {**PARTS, **(changes or {})}.items() if part is not None}
    info = {} if security is None else row_level_security(
        *security.policies, enabled=security.enabled, forced=security.forced
    )  # fmt: skip
    Table("items", metadata, *(part() for part in parts.values()), info=dict(info), comment="things")
    return metadata
