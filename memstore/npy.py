"""Opening NumPy files that somebody else wrote: an array or a clear error, never a pickle or an open handle."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import VectorError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


def open_npy(path: Path, *, needed: str, mapped: bool = False) -> NDArray[Any]:
    """Return the array in a .npy file, memory-mapped for reading if asked for.

    Raises:
        VectorError: there is no such file, or it holds something else; `needed` completes the message.
    """
    try:
        with path.open("rb") as file:
            magic = file.read(len(np.lib.format.MAGIC_PREFIX))
        if magic != np.lib.format.MAGIC_PREFIX:
            kind = "an archive, not one array" if magic.startswith(b"PK") else "not a NumPy array file"
            raise VectorError(f"{path} is {kind}. Needed: {needed}")
        array: NDArray[Any] = np.load(path, mmap_mode="r" if mapped else None, allow_pickle=False)
    except OSError as error:
        raise VectorError(f"{path}: {error.strerror or error}. Needed: {needed}") from error
    except (ValueError, EOFError) as error:
        raise VectorError(f"{path} is not a NumPy array file: {error}. Needed: {needed}") from error
    return array
