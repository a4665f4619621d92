"""What can be seen of a store at work: spans of OpenTelemetry where it is installed, nothing where it is not."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from ..errors import MemstoreError
from ..version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from types import TracebackType


class Span(Protocol):
    """What is told of an operation: never what is in a memory or a question."""

    def set_attribute(self, key: str, value: Any) -> object: ...


class Telemetry:
    """The spans of a store: `memstore.search`, `memstore.add`, ... A child of whatever span its caller is in."""

    def __init__(self, system: str) -> None:
        self._attributes = {"db.system.name": system}
        try:
            from opentelemetry import trace
        except ImportError:  # the extra `otel` is not installed: nobody is looking
            self._tracer = None
        else:
            self._tracer = trace.get_tracer("memstore", __version__)

    def span(self, name: str, attributes: dict[str, Any] | None = None) -> AbstractContextManager[Span]:
        """Return the span of an operation, to be entered."""
        return _NOTHING if self._tracer is None else self._span(f"memstore.{name}", attributes or {})

    @contextmanager
    def _span(self, name: str, attributes: dict[str, Any]) -> Iterator[Span]:
        from opentelemetry.trace import SpanKind, StatusCode

        assert self._tracer is not None  # noqa: S101 -- for mypy
        with self._tracer.start_as_current_span(
            name,
            kind=SpanKind.CLIENT,
            attributes=self._attributes | attributes,
            record_exception=False,  # the traceback of a driver's error shows rows
            set_status_on_exception=False,
        ) as span:
            try:
                yield span
            except BaseException as error:
                span.set_attribute(
                    "error.type", error.code if isinstance(error, MemstoreError) else type(error).__name__
                )
                span.set_status(StatusCode.ERROR)
                raise


class _Nothing:
    """A span that nobody sees."""

    def __enter__(self) -> _Nothing:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def set_attribute(self, key: str, value: Any) -> None:
        pass


_NOTHING = _Nothing()
