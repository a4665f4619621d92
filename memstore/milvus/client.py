"""A connection to a Milvus: opened late, closed for good, each call bounded in time and its errors explained."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import uuid4

from ..errors import MemstoreError, MilvusRefusedError, MilvusUnreachableError, MissingPackageError
from .engine import Capabilities, Engine
from .settings import MilvusSettings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from pymilvus import MilvusClient

T = TypeVar("T")

CALLS_AT_ONCE = 16
# How many connections of this process there are to the Milvus Lite of a folder: the last one lets go of its lock.
_open_folders: dict[Path, int] = {}
_folders_lock = threading.Lock()
_importing = threading.Lock()
_READ_BY_PYMILVUS = ("MILVUS_URI", "MILVUS_DEFAULT_CONNECTION")
_UNREACHABLE = frozenset({"UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED"})


class Milvus:
    """A connection; get one from `open_milvus`, and close it at the end.

    pymilvus is not asynchronous where memstore needs it to be: calls run in threads. One that is cancelled is waited
    for all the same, at most as long as a call may take, so that nothing is written after its caller has gone.
    """

    def __init__(self, client: MilvusClient, settings: MilvusSettings, capabilities: Capabilities) -> None:
        self.settings = settings
        self.capabilities = capabilities
        self.timeout = settings.timeout_s
        self._client = client
        self._is_closed = False
        # Of its own: searches must not wait for what else an application does in threads.
        self._threads = ThreadPoolExecutor(CALLS_AT_ONCE, thread_name_prefix="memstore-milvus")
        # Milvus Lite does not take two writers at once.
        self._writing = asyncio.Lock() if capabilities.engine is Engine.LITE else None

    async def read(self, work: Callable[[MilvusClient], T]) -> T:
        """Run a call that changes nothing.

        Raises:
            MilvusUnreachableError, MilvusRefusedError: see their descriptions.
        """
        return await self._run(work)

    async def write(self, work: Callable[[MilvusClient], T]) -> T:
        """Run a call that changes something. Raises as `read`."""
        if self._writing is None:
            return await self._run(work)
        async with self._writing:
            return await self._run(work)

    async def close(self) -> None:
        """Let go of the connection, and of the folder of a Milvus Lite."""
        if not self._is_closed:
            self._is_closed = True
            await asyncio.to_thread(_close, self._client, self.settings)
            self._threads.shutdown(wait=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _run(self, work: Callable[[MilvusClient], T]) -> T:
        loop = asyncio.get_running_loop()
        call = loop.run_in_executor(self._threads, _explained, work, self._client, self.settings)
        try:
            return await asyncio.shield(call)
        except asyncio.CancelledError:
            await asyncio.wait([call])
            if not call.cancelled():
                call.exception()  # it is the caller that is cancelled, whatever became of the call
            raise


async def open_milvus(settings: MilvusSettings | None = None) -> Milvus:
    """Connect to a Milvus, by default to the one that the environment names.

    The folder of a Milvus Lite is made where it is missing, and can be entered by its owner only.

    Raises:
        MissingPackageError: it is a Milvus Lite, and the extra `embedded` is not installed.
        MilvusUnreachableError: nobody answers, or another process has the folder.
        SettingsError: the address cannot be used, or the Milvus is too old.
    """
    wanted = MilvusSettings.from_env() if settings is None else settings
    return await asyncio.to_thread(_open, wanted)


def _open(settings: MilvusSettings) -> Milvus:
    if settings.is_lite:
        _prepare_folder(settings)
    _import_pymilvus()
    from pymilvus import MilvusClient, MilvusException

    where = str(settings.folder) if settings.is_lite else settings.uri
    # Of several that open or close the same folder at once each would find it used by another.
    with _folders_lock if settings.is_lite else nullcontext():
        try:
            # By a name of its own: pymilvus 2.6.1 shares the one of an address, and closes it for all.
            client = MilvusClient(
                uri=where, token=settings.token, timeout=settings.timeout_s, alias=f"memstore-{uuid4()}"
            )
        except MilvusException as error:
            raise _no_connection(error, settings) from error
        if settings.is_lite:
            _open_folders[settings.folder] = _open_folders.get(settings.folder, 0) + 1
    try:
        said = _explained(lambda c: c.get_server_version(timeout=settings.timeout_s), client, settings)
        return Milvus(client, settings, Capabilities.of(str(said)))
    except BaseException:
        _close(client, settings)
        raise


def _import_pymilvus() -> None:
    """Import pymilvus, which takes half a second and 115 MB, without its own look at the environment.

    It reads MILVUS_URI too when it is imported, and raises where that is the folder of a Milvus Lite.
    """
    with _importing:
        if "pymilvus" in sys.modules:
            return
        before = {name: os.environ.get(name) for name in _READ_BY_PYMILVUS}
        os.environ.update(dict.fromkeys(_READ_BY_PYMILVUS, ""))
        try:
            import pymilvus  # noqa: F401
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value


def _close(client: MilvusClient, settings: MilvusSettings) -> None:
    if not settings.is_lite:
        client.close()
        return
    from milvus_lite.server_manager import server_manager_instance

    with _folders_lock:
        left = _open_folders[settings.folder] - 1
        _open_folders[settings.folder] = left
        try:
            client.close()
        finally:
            if not left:
                # close() keeps the lock of the folder until the process ends.
                server_manager_instance.release_server(str(settings.folder))


def _prepare_folder(settings: MilvusSettings) -> None:
    try:
        import milvus_lite  # noqa: F401
    except ImportError as error:
        raise MissingPackageError("Milvus Lite", "embedded") from error
    folder = settings.folder
    if folder.is_file():
        raise MilvusUnreachableError(
            f"{folder} is a file; Milvus Lite needs a folder of that name, and cannot read what an older one left. "
            "Name another: export MILVUS_URI=PATH.db; memstore milvus up fills it from PostgreSQL"
        )
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
    except OSError as error:
        raise MilvusUnreachableError(
            f"the folder of Milvus Lite cannot be used: {error.strerror}: {folder}. Name another: export "
            "MILVUS_URI=PATH.db"
        ) from error


def _explained(work: Callable[[MilvusClient], T], client: MilvusClient, settings: MilvusSettings) -> T:
    import grpc
    from pymilvus import MilvusException

    try:
        return work(client)
    except (MilvusException, grpc.RpcError) as error:
        raise explain(error, settings) from error


def explain(error: Exception, settings: MilvusSettings) -> MemstoreError:
    """Return the `MemstoreError` for a `MilvusException` or, as newer calls raise it, a `grpc.RpcError`."""
    code, what = _code_of(error), _message_of(error)
    name = code.name if hasattr(code, "name") else None
    # pymilvus wraps what gRPC says of a server that went away, and keeps only its words.
    if name in _UNREACHABLE or any(f"StatusCode.{each}" in what or f"<{each}" in what for each in _UNREACHABLE):
        return MilvusUnreachableError(
            f"Milvus at {settings.uri} does not answer: {what[:300]}. Start it, or correct MILVUS_URI"
        )
    if "connect" in what.lower() and ("fail" in what.lower() or "timeout" in what.lower()):
        return _no_connection(error, settings)
    number = code if isinstance(code, int) else name
    # Where Milvus Lite is a server, its folder is not ours to clear: see `clear_remains`.
    advice = ". A Milvus Lite that was killed left it: remove that folder" if "File exists" in what else ""
    return MilvusRefusedError(f"Milvus at {settings.uri} refused it: {what[:600]}{advice}", milvus_code=number)


def _no_connection(error: Exception, settings: MilvusSettings) -> MilvusUnreachableError:
    if settings.is_lite:
        return MilvusUnreachableError(
            f"Milvus Lite in {settings.folder} cannot be opened: another process uses it, or it is not a folder of "
            f"Milvus Lite. End that process, or let several share it: milvus-lite server --data-dir {settings.folder} "
            f"--host 127.0.0.1 --port 19530, and export MILVUS_URI=http://127.0.0.1:19530"
        )
    what = _message_of(error)[:300]
    return MilvusUnreachableError(f"no Milvus answers at {settings.uri}: {what}. Start it, or correct MILVUS_URI")


def _code_of(error: Exception) -> Any:
    code = getattr(error, "code", None)
    return code() if callable(code) else code


def _message_of(error: Exception) -> str:
    details = getattr(error, "details", None)
    said = details() if callable(details) else getattr(error, "message", None)
    return " ".join(str(said or error).split())
