"""Alembic inside Alembic: a run of ours inside a run of the host's leaves the host's `alembic.op` as it was.

`alembic.context` and `alembic.op` are modules that stand for the run under way. Alembic has no public way to ask
whether there is one, nor to put it back, so this is the one place that does without.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from alembic import context, op

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from alembic.runtime.migration import MigrationContext


@contextmanager
def kept_proxies() -> Iterator[None]:
    """Put `alembic.context` and `alembic.op` back to the run that they stood for before.

    The end of any run empties them: the rest of a host's revision would find no `op`.
    """
    modules = (context, op)
    outer = [getattr(module, "_proxy", None) for module in modules]
    try:
        yield
    finally:
        for module, proxy in zip(modules, outer, strict=True):
            left_behind = getattr(module, "_proxy", None)  # by a run that failed
            if proxy is not None:
                proxy._install_proxy()
            elif left_behind is not None:
                left_behind._remove_proxy()


def run_under_way() -> MigrationContext | None:
    """Return the context of the run in which a revision is called just now, None outside of any."""
    proxy = getattr(op, "_proxy", None)
    if proxy is None:
        return None
    found: MigrationContext = proxy.get_context()
    # A run that failed has left its proxy behind.
    is_over = not found.as_sql and found.connection is not None and found.connection.closed
    return None if is_over else found


@contextmanager
def nothing_but(names: Collection[str]) -> Iterator[None]:
    """Let `alembic.op` do only what is called so; everything else that a revision calls on it does nothing."""
    operations = getattr(op, "_proxy", None)
    if operations is None:
        raise RuntimeError("alembic.op stands for no run: this is for what a run calls")
    # The functions of the module ask its proxy. What is kept runs on the operations themselves, with all they can do.
    vars(op)["_proxy"] = _NothingBut(operations, names)
    try:
        yield
    finally:
        vars(op)["_proxy"] = operations


class _NothingBut:
    """Stands for operations of which a few are left."""

    def __init__(self, operations: Any, names: Collection[str]) -> None:
        self._operations = operations
        self._names = names

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name == "get_context" or name in self._names:
            return getattr(self._operations, name)
        return _Nothing()

    def _install_proxy(self) -> None:  # by `kept_proxies`, after a run within this one
        self._operations._install_proxy()
        vars(op)["_proxy"] = self


class _Nothing:
    """Stands for an operation that is left out, and for whatever it would return."""

    def __call__(self, *_arguments: Any, **_options: Any) -> _Nothing:
        return self

    def __getattr__(self, name: str) -> _Nothing:
        return self

    def __enter__(self) -> _Nothing:
        return self

    def __exit__(self, *_error: object) -> None:
        return None

    def __iter__(self) -> Iterator[Any]:
        return iter(())
