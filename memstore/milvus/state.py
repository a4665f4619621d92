"""How the mirror stands: what Milvus has, what PostgreSQL's ledger says, and whether the two agree."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from ..errors import MilvusRefusedError, MilvusStateError
from . import collections
from .ledger import Ledger, read_ledger
from .naming import ALIAS, is_physical

if TYPE_CHECKING:
    from .client import Milvus
    from .collections import FoundCollection
    from .engine import VectorIndex
    from .fields import CollectionSpec
    from .source import Source

REVISION, CHECKSUM, STATE, INDEX = (f"memstore.{each}" for each in ("revision", "checksum", "state", "vector_index"))
_REBUILD = "If it was lost, or is another Milvus on purpose: memstore milvus up --rebuild fills this one anew"

_LOOKS = 5


class BuildState(StrEnum):
    """How far a collection is, as its own properties say."""

    BUILDING = "building"
    COMPLETE = "complete"
    RESTORING = "restoring"
    """A restore has not finished it: the next one replaces it."""
    FOREIGN = "foreign"
    """Not made by memstore."""


RESTORING = BuildState.RESTORING.value


@dataclass(frozen=True, slots=True)
class Physical:
    """A collection that is called as memstore's are."""

    found: FoundCollection

    @property
    def name(self) -> str:
        """Its physical name."""
        return self.found.name

    @property
    def revision(self) -> str | None:
        """Which version it is of, as it says."""
        return self.found.properties.get(REVISION)

    @property
    def checksum(self) -> str | None:
        """What it was made of, as it says."""
        return self.found.properties.get(CHECKSUM)

    @property
    def state(self) -> BuildState:
        """How far it is, as it says."""
        said = self.found.properties.get(STATE)
        if self.revision is None or said is None or said not in list(BuildState):
            return BuildState.FOREIGN
        return BuildState(said)


@dataclass(frozen=True, slots=True)
class MirrorState:
    """How the mirror stands.

    target: what the alias leads to; None: there is no alias.
    plain: whether there is a collection under the name of the alias, which nobody can give that alias then.
    physicals: those that are called as memstore's are, by name.
    names: all collections.
    """

    alias: str
    target: str | None
    plain: bool
    physicals: dict[str, Physical]
    names: tuple[str, ...]
    ledger: Ledger

    @property
    def active(self) -> Physical | None:
        """What readers are led to, if it is memstore's."""
        return None if self.target is None else self.physicals.get(self.target)


async def read_state(source: Source, milvus: Milvus, alias: str = ALIAS) -> MirrorState:
    """Ask Milvus and PostgreSQL how the mirror stands; changes nothing.

    While another run changes it the two are of different moments: it is asked again until the ledger stayed as it was.
    """
    for looks in range(1, _LOOKS + 1):
        ledger = await read_ledger(source.connection, alias)
        try:
            state = await _look(milvus, ledger, alias)
        except MilvusRefusedError:  # a collection was dropped in between, if that is it
            if looks == _LOOKS or ledger == await read_ledger(source.connection, alias):
                raise
            continue
        if ledger == await read_ledger(source.connection, alias):
            return state
    raise MilvusStateError("another run keeps changing collections. Wait for it to end, and run this again")


async def _look(milvus: Milvus, ledger: Ledger, alias: str) -> MirrorState:
    names = await collections.names(milvus)
    plain = alias in names
    target = None if plain else await collections.target_of(milvus, alias)
    found = [await collections.describe(milvus, name) for name in names if is_physical(name, alias)]
    return MirrorState(alias, target, plain, {each.name: Physical(each) for each in found}, tuple(names), ledger)


def disagreements(state: MirrorState) -> list[str]:
    """Say where Milvus and PostgreSQL's ledger do not agree, one line each; an interrupted run is none."""
    ledger, found = state.ledger, []
    allowed = {ledger.active, ledger.activating or ledger.active, ledger.retiring or ledger.active}
    if state.target not in allowed:
        found.append(
            f"PostgreSQL's ledger says that {state.alias} leads to {ledger.active or 'nothing'}, in Milvus it leads to "
            f"{state.target or 'nothing'}"
        )
    for name, recorded in ledger.kept.items():
        physical = state.physicals.get(name)
        if physical is None:
            found.append(f"PostgreSQL's ledger has {name} ({recorded.event}), Milvus has no such collection")
        elif physical.state is BuildState.FOREIGN:
            found.append(f"PostgreSQL's ledger has {name}, the collection of that name in Milvus is not memstore's")
        elif (physical.revision, physical.checksum) != (recorded.revision, recorded.checksum):
            found.append(
                f"PostgreSQL's ledger has {name} as {recorded.revision}, checksum {recorded.checksum[:12]}, Milvus as "
                f"{physical.revision}, checksum {(physical.checksum or 'none')[:12]}"
            )
    return found


def check_agreement(state: MirrorState) -> None:
    """Check that Milvus and PostgreSQL's ledger agree.

    Raises:
        MilvusStateError: they do not; it says which says what.
    """
    if found := disagreements(state):
        raise MilvusStateError("\n".join([*found, _REBUILD]))


def schema_differences(found: FoundCollection, spec: CollectionSpec, *, counts_shards: bool) -> list[str]:
    """Say in what a collection is not what it is to be, one line each. Milvus Lite keeps no number of shards."""
    differences = []
    there = {each.name: each for each in found.fields}
    for field in spec.fields:
        has = there.pop(field.name, None)
        if has is None:
            differences.append(f"the field {field.name} is missing")
            continue
        length = spec.dimensions if field.name == spec.vector else field.max_length
        if (has.kind, has.length) != (field.kind.value, length):
            differences.append(f"the field {field.name} is {has.kind} {has.length}, wanted is {field.kind} {length}")
        if has.is_primary != (field.name == spec.primary):
            differences.append(f"the primary key is not {spec.primary}")
        if has.is_partition_key != (field.name == spec.partition_key):
            differences.append(f"the partition key is not {spec.partition_key}")
    differences += [f"the field {name} is not memstore's" for name in there]
    if not found.dynamic:
        differences.append("it takes no dynamic fields")
    if counts_shards and found.shards != spec.shards:
        differences.append(f"it has {found.shards} shards, wanted are {spec.shards}")
    return differences


def properties_of(revision: str, spec: CollectionSpec, index: VectorIndex, state: BuildState) -> dict[str, str]:
    """Return what a collection says of itself."""
    return {REVISION: revision, CHECKSUM: spec.checksum(), INDEX: index.type, STATE: state.value}
