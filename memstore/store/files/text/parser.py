"""PostgreSQL's default text search parser: what are words, numbers, hosts and so on in a text."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .characters import ANY, END, MASKS
from .states import STATES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .states import Rule

# What nearly all of a text is, and the machine below would read one character at a time: a word of ASCII letters that
# nothing follows which could make it part of something else, and what stands between such words.
_WORD = re.compile(
    r"[A-Za-z]++(?:(?![0-9_@/.:\-\x80-\U0010ffff])|(?=[\u2018\u2019\u201c\u201d\u2013\u2014\u2026])|\.(?=[^A-Za-z0-9_])|\.\Z|:(?!/)|-(?=[\x00-,.-/:-@\[-`{-\x7f]))"
)
_BETWEEN = re.compile(
    r"(?:[^A-Za-z0-9<\-+&~/.\x80-\U0010ffff]|[\u2018\u2019\u201c\u201d\u2013\u2014\u2026]|\.(?=[^./]))"
    r"(?:[^A-Za-z0-9<\-+&/\x80-\U0010ffff]|[\u2018\u2019\u201c\u201d\u2013\u2014\u2026])*+(?=[\x00-\x7f]|\Z)"
)
_LETTERS = re.compile(r"[A-Za-z]+")


@dataclass(slots=True)
class _Place:
    """How far the parser has read, and by which rule it tried what it reads."""

    at: int
    length: int
    state: str
    rule: int = -1


class Parser:
    """Reads the tokens of a text one after the other."""

    def __init__(self, text: str, at: int = 0, state: str = "base") -> None:
        self._text = text
        self._place = _Place(at, 0, state)
        self._tried: list[_Place] = []
        self._start = at
        self._stop_at_host = False
        self._ignoring = False
        self.token = ""
        self.length = 0

    def tokens(self) -> Iterator[tuple[str, str]]:
        """Yield the type and the text of each token but blanks."""
        while True:
            place = self._place
            if place.state == "base" and not self._ignoring:
                if between := _BETWEEN.match(self._text, place.at):
                    place.at = between.end()
                if _WORD.match(self._text, place.at) and (word := _LETTERS.match(self._text, place.at)):
                    place.at = word.end()
                    yield "asciiword", word[0]
                    continue
            if not self.advance():
                return
            if self.token != "blank":  # noqa: S105 -- a type of token
                yield self.token, self._text[self._start : self._start + self.length]

    def advance(self) -> bool:
        """Read the next token into `token` and `length`; return False at the end of the text."""
        text, end = self._text, len(self._text)
        if self._place.at >= end:
            return False
        self._start = self._place.at
        self._place.rule = -1
        while True:
            place = self._place
            mask = MASKS[text[place.at]] if place.at < end else END | ANY
            place.rule, rule = self._rule_for(place, mask)
            if rule.also is not None:
                self._also(rule.also, place)
            if rule.action == "emit":
                assert rule.token is not None  # noqa: S101
                self.token, self.length, place.length = rule.token, place.length, 0
            place = self._moved(place, rule)
            if rule.action == "emit":
                return True
            if place.at >= end and rule.action != "again":
                return False
            if rule.action not in ("again", "fail"):
                place.at += 1
                place.length += 1

    def _rule_for(self, place: _Place, mask: int) -> tuple[int, Rule]:
        rules = STATES[place.state]
        for n in range(place.rule + 1, len(rules)):
            rule = rules[n]
            if rule.mask & mask or (rule.question is not None and self._answer(rule.question, place)):
                return n, rule
        raise AssertionError(place)

    def _moved(self, place: _Place, rule: Rule) -> _Place:
        if rule.action == "fail":
            self._place = self._tried.pop()
            return self._place
        if rule.action == "try":
            self._tried.append(place)
            place = self._place = _Place(place.at, place.length, place.state)
        elif rule.action == "merge":
            back = self._tried.pop()
            back.at, back.length = place.at, place.length
            self._place = back  # still at the rule by which it was tried: the next character is looked at after that
            return back
        elif rule.forget:
            del self._tried[-1 if rule.forget == 1 else 0 :]
        if rule.state is not None:
            place.state = rule.state
        place.rule = -1
        return place

    def _answer(self, question: str, place: _Place) -> bool:
        if question == "ignoring":
            return self._ignoring
        if question == "stopping":
            stopping, self._stop_at_host = self._stop_at_host, False
            return stopping
        if question == "host":
            ahead = Parser(self._text, place.at)
            ahead._stop_at_host = True
        else:
            ahead = Parser(self._text, place.at, "url_path_first")
            ahead._tried.append(_Place(place.at, 0, "base"))
        if not (ahead.advance() and ahead.token == {"host": "host", "path": "url_path"}[question]):
            return False
        place.at += ahead.length
        place.length += ahead.length
        return True

    def _also(self, what: str, place: _Place) -> None:
        if what == "tags":
            tag = self._text[self._start : self._start + place.length].lower()
            if tag in ("<script", "<style"):
                self._ignoring = True
            elif tag in ("</script", "</style"):
                self._ignoring = False
            return
        place.at -= place.length  # what was found is read again, in its parts
        if what == "restart":
            place.length = 0
        elif what == "host":
            self._stop_at_host = True
