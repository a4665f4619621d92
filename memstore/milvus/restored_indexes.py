"""Which indexes a restored collection gets on this Milvus, and what is said of those that are not as they were."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import collections
from .engine import Capabilities, Engine
from .revisions import load_chain
from .saved_indexes import SavedIndex, adapted
from .state import CHECKSUM, REVISION

if TYPE_CHECKING:
    from .client import Milvus
    from .fields import CollectionSpec
    from .manifest import Manifest


def indexes_here(milvus: Milvus, manifest: Manifest) -> tuple[tuple[SavedIndex, ...], tuple[str, ...]]:
    """Return the indexes to make for those of a backup, and a sentence for each that is another here."""
    there, here = Capabilities.of(manifest.server), milvus.capabilities
    made, changes = [], []
    for index in manifest.collection.indexes:
        wanted = adapted(index, manifest.collection.kind_of(index.field), there, here)
        if wanted is not None:
            made.append(wanted)
        if wanted != index:
            now = "has none" if wanted is None else f"is {wanted}"
            changes.append(f"the index on {index.field} {now} on Milvus {here.said}; it was {index}")
    spec = _own_spec(manifest)
    if spec is not None and there.engine is Engine.LITE and here.engine is Engine.SERVER:
        have = {each.field for each in made}
        for field, kind in collections.wanted_indexes(milvus, spec, here.default_index).items():
            if field not in have:
                made.append(SavedIndex(field, kind, None, {}))
                changes.append(
                    f"the field {field} has an index {kind} on Milvus {here.said}; it had none on {there.said}"
                )
    return tuple(made), tuple(changes)


def _own_spec(manifest: Manifest) -> CollectionSpec | None:
    """Return what memstore makes of the version that the collection says it is of; None where it is not memstore's."""
    chain, said = load_chain(), manifest.collection.properties
    if said.get(REVISION) not in [each.revision for each in chain.revisions]:
        return None
    spec = chain.spec(said[REVISION], manifest.collection.width)
    return spec if spec.checksum() == said.get(CHECKSUM) else None
