"""What leads from how the mirror stands to a version of the collection: steps, decided before any is taken."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from ..errors import MilvusStateError
from .naming import adopted_name
from .state import BuildState, schema_differences

if TYPE_CHECKING:
    from .fields import CollectionSpec
    from .revisions import Chain
    from .state import MirrorState


class Action(StrEnum):
    """What a step does."""

    FORGET = "forget"
    """Record that a collection of the ledger is lost."""
    DISCARD = "discard"
    """Drop a half-built collection of memstore's that is not what it should be."""
    CREATE = "create"
    INDEX = "index"
    FILL = "fill"
    VERIFY = "verify"
    RENAME = "rename"
    SWITCH = "switch"
    REMOVE_ALIAS = "remove alias"


@dataclass(frozen=True, slots=True)
class MoveStep:
    """One step: what is done to which collection, and why."""

    action: Action
    physical: str
    revision: str | None
    detail: str

    def __str__(self) -> str:
        return f"{self.action} {self.physical}: {self.detail}"


def plan_move(
    state: MirrorState, chain: Chain, revision: str | None, dimensions: int, *, is_server: bool, rebuild: bool = False
) -> tuple[MoveStep, ...]:
    """Return the steps that lead readers to a version, None for none; empty where they are there already.

    Raises:
        MilvusStateError: a collection is in the way that memstore did not make, or that is not what it says.
    """
    lost = [name for name in state.ledger.kept if name not in state.physicals] if rebuild else []
    steps = [
        MoveStep(Action.FORGET, name, state.ledger.kept[name].revision, "the ledger has it, Milvus does not")
        for name in lost
    ]
    if revision is None:
        return (*steps, *_to_nothing(state))
    version = chain.get(revision)
    spec = chain.spec(revision, dimensions)
    found = state.physicals.get(version.physical)
    if found is not None and found.state is BuildState.COMPLETE and found.name == state.target:
        _check_made_of(state, version.physical, spec)
        if state.ledger.active == version.physical:
            return tuple(steps)
        if state.ledger.activating == version.physical:
            switched = MoveStep(Action.SWITCH, version.physical, revision, "the ledger is still to say that it is done")
            return (*steps, switched)
    return (
        *steps,
        *_building(state, version.physical, revision, spec, is_server),
        *_switching(state, version.physical, revision),
    )


def _building(
    state: MirrorState, physical: str, revision: str, spec: CollectionSpec, is_server: bool
) -> list[MoveStep]:
    found = state.physicals.get(physical)
    filled = [
        MoveStep(Action.INDEX, physical, revision, "what it lacks of its indexes, and load it"),
        MoveStep(Action.FILL, physical, revision, "from PostgreSQL, while everybody goes on"),
        MoveStep(Action.VERIFY, physical, revision, "every id and version, a sample to the bit"),
    ]
    create = MoveStep(Action.CREATE, physical, revision, f"{len(spec.fields)} fields, {spec.dimensions} dimensions")
    if found is None:
        return [create, *filled]
    if found.state is BuildState.FOREIGN:
        raise MilvusStateError(
            f"there is a collection {physical} that memstore did not make. Rename it, or drop it, and run this again"
        )
    if found.state is BuildState.RESTORING:
        raise MilvusStateError(
            f"{physical} is what a restore has not finished. Run it again: memstore milvus restore DIR. Or drop it"
        )
    if found.state is BuildState.COMPLETE:
        _check_made_of(state, physical, spec)
        # What the ledger does not have nobody has kept up to date.
        return [filled[0], filled[2]] if physical in state.ledger.kept else filled
    differences = schema_differences(found.found, spec, counts_shards=is_server)
    if differences or found.checksum != spec.checksum():
        why = differences[0] if differences else "it was begun with another content of this version"
        return [MoveStep(Action.DISCARD, physical, revision, f"half built, and {why}"), create, *filled]
    return filled


def _switching(state: MirrorState, physical: str, revision: str) -> list[MoveStep]:
    switch = MoveStep(Action.SWITCH, physical, revision, f"{state.alias} leads there, in one step")
    if not state.plain:
        return [switch]
    renamed = adopted_name(list(state.names), state.alias)
    rename = MoveStep(Action.RENAME, state.alias, None, f"it is in the way, and stays, as {renamed}")
    return [rename, switch]


def _to_nothing(state: MirrorState) -> list[MoveStep]:
    if state.target is None and state.ledger.active is None:
        return []
    name = state.target or state.ledger.active or ""
    revision = state.ledger.kept[name].revision if name in state.ledger.kept else None
    return [MoveStep(Action.REMOVE_ALIAS, name, revision, f"{state.alias} leads nowhere; the collection stays")]


def _check_made_of(state: MirrorState, physical: str, spec: CollectionSpec) -> None:
    found = state.physicals[physical]
    if found.checksum != spec.checksum():
        raise MilvusStateError(
            f"{physical} was made of another content of {found.revision}: checksum {(found.checksum or '')[:12]}, "
            f"this memstore has {spec.checksum()[:12]}. What was released does not change: write a new version, or run "
            "memstore milvus down base --rebuild, memstore milvus prune --rebuild and memstore milvus up"
        )
    if differences := schema_differences(found.found, spec, counts_shards=False):
        raise MilvusStateError(f"{physical} is not what it says that it is: {'; '.join(differences)}")
