"""The lexemes of a text, those that PostgreSQL 18's to_tsvector('english', ...) makes of it."""

from __future__ import annotations

from functools import cache, lru_cache
from threading import Lock
from typing import TYPE_CHECKING

from ....errors import MissingPackageError
from .characters import lowered
from .parser import Parser
from .stopwords import STOP_WORDS

if TYPE_CHECKING:
    from snowballstemmer.english_stemmer import EnglishStemmer

MAX_TEXT = 100_000  # characters, as the column search_vector takes them
_MAX_TOKEN = 2_046  # bytes; what is longer is no word of any index
_MAX_STEMMED = 1_000  # bytes
_DROPPED = frozenset(("blank", "tag", "protocol", "entity"))
_STEMMED = frozenset(("asciiword", "word", "asciihword", "hword", "hword_asciipart", "hword_part"))
_stemming = Lock()


def lexemes(text: str) -> frozenset[str]:
    """Return the lexemes of a text, without their places. What is beyond the first 100,000 characters is not read.

    Raises:
        MissingPackageError: the extra `file` is not installed.
    """
    found = set()
    for token, word in Parser(text[:MAX_TEXT]).tokens():
        if token in _DROPPED or _bytes(word) > _MAX_TOKEN:
            continue
        if lexeme := _stemmed(word) if token in _STEMMED else lowered(word):
            found.add(lexeme)
    return frozenset(found)


@lru_cache(maxsize=100_000)
def _stemmed(word: str) -> str:
    """Return the stem of a word, or nothing of a stop word."""
    lower = lowered(word)
    if _bytes(word) > _MAX_STEMMED:
        return lower
    if lower in STOP_WORDS:
        return ""
    stemmer = _stemmer()
    with _stemming:  # it keeps the word that it works on
        stem: str = stemmer.stemWord(lower)
    # PostgreSQL 18 has a later Snowball than 2.2: "adding" and "added" are "add", no longer "ad", as are the like.
    if len(stem) == 2 and stem[0] in "aeo" and lower[:3] == stem + stem[1]:
        return lower[:3]
    return stem


@cache
def _stemmer() -> EnglishStemmer:
    try:
        # Not snowballstemmer.stemmer("english"): that is PyStemmer's where it is installed, of whichever version.
        from snowballstemmer.english_stemmer import EnglishStemmer
    except ImportError as error:
        raise MissingPackageError("searching files by words", "file") from error
    return EnglishStemmer()


def _bytes(word: str) -> int:
    return len(word) if word.isascii() else len(word.encode())
