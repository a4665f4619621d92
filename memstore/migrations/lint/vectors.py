"""Rules about vectors, which other linters know nothing of."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from .changes import Change, ColumnType, Kind, parse_type
from .context import DISTANCES
from .problems import known, problem, shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..autogenerate.sql import Key
    from .context import LintContext
    from .finding import Problem
    from .revision import Revision

_LIMITS = {"vector": 2_000, "halfvec": 4_000, "bit": 64_000}
_NARROWER = {"vector": "halfvec", "halfvec": "bit"}
_OPCLASS = re.compile(r"^(?P<type>vector|halfvec|sparsevec|bit)_(?P<distance>cosine|l2|ip|l1|hamming|jaccard)_ops$")
_SHORT = {"inner_product": "ip"}
_CAST = re.compile(r"::\s*(?P<type>[\w.\"]+\s*(?:\(\s*\d*\s*\))?)\s*\)*\s*$")


def vectors(revision: Revision, context: LintContext) -> Iterator[Problem]:
    """Yield what pgvector would refuse, leave unused or destroy."""
    for placed in revision.placed(Kind.SET_TYPE):
        change, kind = placed.change, placed.change.columns[0].type
        if re.match(r"\s*\(?\s*NULL\b", change.using or "", re.IGNORECASE):
            what = f"USING NULL destroys every value of {change.table or '?'}.{change.name or '?'}"
            yield problem("MS302", change, what, _rewidth(change, kind))
        elif known(placed) and kind is not None and kind.is_vector and kind != change.old_type:
            what = f"{change.table}.{change.name} becomes {kind} in place"
            yield problem("MS301", change, what, _rewidth(change, kind))
    distance = revision.constant("distance") or context.distance
    for placed in revision.placed(Kind.CREATE_INDEX):
        change = placed.change
        if change.index is None or change.index.method not in ("hnsw", "ivfflat"):
            continue
        for key in change.index.keys:
            kind = _type_of(key, change, revision, context)
            if kind is not None:
                yield from _dimensions(change, change.index.method, key, kind)
            yield from _operator_class(
                change, key, kind, change.index.method, distance if distance in DISTANCES else None
            )


def _rewidth(change: Change, kind: ColumnType | None) -> str:
    width = kind.numbers[0] if kind is not None and kind.numbers else "..."
    return f"op.change_embedding_width({shown(change.table)}, {shown(change.name)}, {width}, backfill=...)"


def _type_of(key: Key, change: Change, revision: Revision, context: LintContext) -> ColumnType | None:
    if found := _CAST.search(key.expression):
        return parse_type(found["type"])
    column = key.expression.strip().strip('"')
    if not re.fullmatch(r"\w+", column) or change.table is None:
        return None
    place = (change.table, column)
    return revision.types.get(place) or context.types.get(place)


def _dimensions(change: Change, method: str, key: Key, kind: ColumnType) -> Iterator[Problem]:
    limit = _LIMITS.get(kind.name)
    if limit is None or not kind.numbers or kind.numbers[0] <= limit:
        return
    width = kind.numbers[0]
    what = f"{method} on {key.expression}, {width:,} dimensions: on {kind.name} it takes {limit:,} at most"
    narrower = _NARROWER.get(kind.name)
    if narrower is None or width > _LIMITS[narrower]:
        narrower = "bit"
    column = key.expression.partition("::")[0].strip("( ")
    cast = f"({column}::halfvec({width})) halfvec_..._ops" if narrower == "halfvec" else (
        f"(binary_quantize({column})::bit({width})) bit_hamming_ops"
    )  # fmt: skip
    yield problem("MS303", change, what, f"the index on sa.text('{cast}'), and queries with the same expression")


def _operator_class(
    change: Change, key: Key, kind: ColumnType | None, method: str, distance: str | None
) -> Iterator[Problem]:
    # IVFFlat has a default operator class, for l2; HNSW has none, and refuses.
    named = key.opclass or ("vector_l2_ops" if method == "ivfflat" else "")
    found = _OPCLASS.match(named.rpartition(".")[2])
    if found is None:
        return
    if kind is not None and kind.is_vector and kind.name != found["type"]:
        wanted = f"{kind.name}_{found['distance']}_ops"
        what = f"{named} on {key.expression}, which is {kind}"
        yield problem("MS305", change, what, f"{wanted}, or the index on ({key.expression})::{found['type']}(...)")
    elif distance is not None and found["type"] != "bit":
        wanted = f"{found['type']}_{_SHORT.get(distance, distance)}_ops"
        if named.rpartition(".")[2] != wanted:
            what = f"{named} on {key.expression}, whose distance is {distance}: no query would use the index"
            yield problem("MS304", change, what, f"{wanted}")
