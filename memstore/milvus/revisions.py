"""The versions of the collection: small modules, each of which says what it changes, up and down."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import MilvusStateError
from .naming import physical_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from .fields import CollectionSpec

VERSIONS = Path(__file__).parent / "versions"
BASE, HEAD = "base", "head"


@dataclass(frozen=True, slots=True)
class MilvusRevision:
    """A version of the collection.

    upgrade: what the collection is to be, from what it was before (None: there was none).
    downgrade: what it was before, from what it is.
    """

    revision: str
    down_revision: str | None
    title: str
    upgrade: Callable[[CollectionSpec | None], CollectionSpec]
    downgrade: Callable[[CollectionSpec], CollectionSpec | None]

    @property
    def physical(self) -> str:
        """The name of its collection."""
        return physical_name(self.revision)


@dataclass(frozen=True, slots=True)
class Chain:
    """All versions, the first one first."""

    revisions: tuple[MilvusRevision, ...]

    @property
    def head(self) -> str:
        """The newest version."""
        return self.revisions[-1].revision

    def get(self, revision: str) -> MilvusRevision:
        """Return a version by its id.

        Raises:
            MilvusStateError: this memstore has no such version.
        """
        for each in self.revisions:
            if each.revision == revision:
                return each
        raise MilvusStateError(
            f"this memstore has no version {revision!r} of the collection. It has: "
            f"{', '.join(each.revision for each in self.revisions)}"
        )

    def resolve(self, target: str) -> str | None:
        """Return the id that is meant by `head`, `base` (None), an id, or the beginning of just one.

        Raises:
            MilvusStateError: there is none, or more than one.
        """
        if target == HEAD:
            return self.head
        if target == BASE:
            return None
        found = [each.revision for each in self.revisions if target and each.revision.startswith(target)]
        return found[0] if len(found) == 1 else self.get(target).revision

    def place(self, revision: str | None) -> int:
        """Return how far up a version is; 0 for none."""
        if revision is None:
            return 0
        return 1 + self.revisions.index(self.get(revision))

    def before(self, revision: str) -> str | None:
        """Return the version before one."""
        return self.get(revision).down_revision

    def spec(self, revision: str, dimensions: int) -> CollectionSpec:
        """Return what the collection of a version is to be.

        Raises:
            MilvusStateError: the versions up to it do not agree on the way down.
        """
        found: CollectionSpec | None = None
        for each in self.revisions[: self.place(revision)]:
            before, found = found, each.upgrade(found)
            if each.downgrade(found) != before:
                raise MilvusStateError(f"{each.revision}: its downgrade does not lead back to what it was before")
        assert found is not None  # noqa: S101 -- place() has found it
        return found.of_width(dimensions)


@cache
def load_chain(folder: Path = VERSIONS) -> Chain:
    """Read the versions in a folder.

    Raises:
        MilvusStateError: they are no chain, or two of them would have a collection of one name.
    """
    found = {each.revision: each for each in map(_load, sorted(folder.glob("[0-9]*.py")))}
    ordered: list[MilvusRevision] = []
    last: str | None = None
    while following := [each for each in found.values() if each.down_revision == last]:
        if len(following) > 1:
            names = " and ".join(each.revision for each in following)
            raise MilvusStateError(f"{names} both follow {last or 'nothing'}. Let one follow the other")
        ordered.append(following[0])
        last = following[0].revision
    if len(ordered) < len(found) or not ordered:
        lost = sorted(set(found) - {each.revision for each in ordered})
        raise MilvusStateError(f"the versions in {folder} are no chain: {', '.join(lost) or 'there are none'}")
    if len({each.physical for each in ordered}) < len(ordered):
        raise MilvusStateError(f"two versions in {folder} begin with one number")
    return Chain(tuple(ordered))


def _load(path: Path) -> MilvusRevision:
    spec = importlib.util.spec_from_file_location(f"memstore.milvus.versions.{path.stem}", path)
    if spec is None or spec.loader is None:
        raise MilvusStateError(f"{path} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    title = (module.__doc__ or "").strip().splitlines()[0:1]
    return MilvusRevision(
        module.revision, module.down_revision, title[0] if title else "", module.upgrade, module.downgrade
    )
