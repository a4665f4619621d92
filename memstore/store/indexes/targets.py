"""What can have a vector index, and how such an index is named and defined: search finds it by its name."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from enum import StrEnum

from ...migrations import WantedIndex
from ...models import SCHEMA
from .graph import PLAIN, Graph

MAX_VECTOR_DIMENSIONS = 2_000
MAX_HALFVEC_DIMENSIONS = 4_000

# What a killed run leaves beside an index: memstore's own, and those of REINDEX CONCURRENTLY.
_LEFT_BESIDE = re.compile(r"(?P<name>.+?)(_new|_old|_ccnew\d*|_ccold\d*)")


class IndexedTable(StrEnum):
    """A table that vectors of are searched."""

    MEMORY_NODES = "memory_nodes"
    EPISODIC_MEMORIES = "episodic_memories"
    EMBEDDINGS = "embeddings"


class IndexMethod(StrEnum):
    """How a vector index is made; `auto` decides by the rows and the memory, `none` is no index."""

    AUTO = "auto"
    HNSW = "hnsw"
    IVFFLAT = "ivfflat"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class IndexForm:
    """What an index is: its method (`hnsw` or `ivfflat`), and whether it holds half precision.

    lists: how many IVFFlat has, None for HNSW.
    graph: how carefully that of HNSW is built.
    """

    method: IndexMethod
    halfvec: bool
    lists: int | None = None
    graph: Graph = PLAIN

    def __str__(self) -> str:
        return f"{self.method.value}{' halfvec' if self.halfvec else ''}"


@dataclass(frozen=True, slots=True)
class IndexTarget:
    """Vectors of one width that one index is for: those of a table, or in `embeddings` those of a model."""

    table: IndexedTable
    dimensions: int
    model: str | None = None

    def __str__(self) -> str:
        return self.table.value if self.model is None else f"{self.table.value} of {self.model}"

    @property
    def rows(self) -> str:
        """Which rows of the table it is for, as an SQL condition."""
        return "embedding IS NOT NULL" if self.model is None else f"model = {_literal(self.model)}"

    def name(self, form: IndexForm) -> str:
        """Return the name of its index of that form."""
        kind = f"{form.method.value}{'_halfvec' if form.halfvec else ''}"
        if self.model is None:
            return f"ix_{self.table.value}_embedding_{kind}"
        return f"ix_{self.table.value}_{kind}_{hashlib.sha256(self.model.encode()).hexdigest()[:12]}"

    def form_of(self, name: str) -> IndexForm | None:
        """Return which of its indexes has that name, None where none has."""
        return next((form for form in _FORMS if self.name(form) == name), None)

    def leftover_of(self, name: str) -> bool:
        """Tell whether this is the name of what a killed run leaves beside one of its indexes."""
        found = _LEFT_BESIDE.fullmatch(name)
        return found is not None and self.form_of(found["name"]) is not None

    def index(self, form: IndexForm, vector_schema: str) -> WantedIndex:
        """Return the definition of its index of that form; `vector_schema` is where pgvector is, as SQL takes it."""
        kind = "halfvec" if form.halfvec else "vector"
        # The column of `embeddings` has no width of its own, which an index needs.
        plain = self.model is None and not form.halfvec
        key = "embedding" if plain else f"(embedding::{vector_schema}.{kind}({self.dimensions}))"
        options = {"m": form.graph.m, "ef_construction": form.graph.ef_construction}
        if form.method is IndexMethod.IVFFLAT:
            options = {"lists": form.lists or 1}
        return WantedIndex(
            name=self.name(form),
            table=self.table.value,
            schema=SCHEMA,
            keys=f"{key} {vector_schema}.{kind}_cosine_ops",
            method=form.method.value,
            options=options,
            where=None if self.model is None else self.rows,
        )


_FORMS = [IndexForm(method, halfvec) for method in (IndexMethod.HNSW, IndexMethod.IVFFLAT) for halfvec in (False, True)]


def _literal(value: str) -> str:
    doubled = value.replace("'", "''")
    return f"'{doubled}'"
