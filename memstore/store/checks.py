"""What is checked before the database is asked: texts, vectors, ages and batches that it could not take."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from ..errors import SettingsError, VectorError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

MAX_DIMENSIONS = 16_000
MAX_BATCH_SIZE = 100_000
MAX_AGE = timedelta(days=365 * 100)
_STORABLE = re.compile(r"[^\0\ud800-\udfff]*")


def is_storable(text: str) -> bool:
    """Tell whether PostgreSQL can hold a text: no NUL, and no half of a UTF-16 pair."""
    return _STORABLE.fullmatch(text) is not None


def check_text(what: str, value: str, longest: int | None = None) -> None:
    """Raise `SettingsError` unless a value is text that PostgreSQL can hold: 1 to `longest` characters, if that is set.

    Without a `longest` it may be empty.
    """
    if not is_storable(value):
        raise SettingsError(f"{what} holds a NUL or half of a UTF-16 pair. Remove it: PostgreSQL cannot store it")
    if longest is not None and not 1 <= len(value) <= longest:
        raise SettingsError(f"{what} is {value[:60]!r}. Needed: 1 to {longest} characters of text")


def check_age(what: str, age: timedelta) -> None:
    """Raise `SettingsError` unless an age is zero to 100 years."""
    if not timedelta(0) <= age <= MAX_AGE:
        raise SettingsError(f"{what} are to be kept for {age}. Needed: zero to 100 years")


def check_batch(size: int) -> None:
    """Raise `SettingsError` unless a batch is of 1 to 100,000 rows."""
    if not 1 <= size <= MAX_BATCH_SIZE:
        raise SettingsError(f"the batch size is {size}. Needed: 1 to {MAX_BATCH_SIZE:,}")


def checked_array(vector: ArrayLike) -> NDArray[Any]:
    """Return a vector of shape (D,) or (1, D) as an array of shape (D,), float32.

    Raises:
        VectorError: it has another shape, is not finite, or has no cosine.
    """
    import numpy as np  # takes a tenth of a second, which only those who have a vector should pay

    try:
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            given = np.asarray(vector)
            if given.dtype.kind not in "fiu" and given.size:
                raise VectorError(f"the vector holds {given.dtype.name}. Needed: numbers")
            array = given.astype(np.float32, copy=False)
    except (TypeError, ValueError, OverflowError) as error:
        raise VectorError(f"the vector cannot be read as numbers: {error}. Needed: shape (D,)") from error
    if array.ndim == 2 and len(array) == 1:
        array = array[0]
    if array.ndim != 1 or not array.size:
        raise VectorError(f"the vector has shape {array.shape}. Needed: (D,) or (1, D), one vector")
    if array.size > MAX_DIMENSIONS:
        raise VectorError(f"the vector has {array.size} dimensions. Needed: at most {MAX_DIMENSIONS:,}")
    if not np.isfinite(array).all():
        raise VectorError("the vector holds NaN or infinity. Needed: finite numbers")
    with np.errstate(over="ignore", under="ignore"):
        square = float(np.dot(array, array))
    if not 0 < square < float("inf"):
        raise VectorError("the vector has no cosine: its length is zero or out of range. Normalise it")
    return array


def checked_vector(vector: ArrayLike) -> list[float]:
    """Return a vector of shape (D,) or (1, D) as float32 numbers.

    Raises:
        VectorError: it has another shape, is not finite, or has no cosine.
    """
    result: list[float] = checked_array(vector).tolist()
    return result
