"""What PostgreSQL's text search takes a character for, in a UTF-8 database whose ctype is C.UTF-8.

Marks that are letters of their scripts stand at the beginning of words, others only within them.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from unicodedata import category

END, ANY, ASCII_LETTER, LETTER, DIGIT, ALNUM, OTHER, MARK, SPACE, HEX, URL = (1 << n for n in range(11))
CLASSES = {
    "end": END,
    "any": ANY,
    "ascii": ASCII_LETTER,
    "letter": LETTER,
    "digit": DIGIT,
    "alnum": ALNUM,
    "other": OTHER,
    "mark": MARK,
    "space": SPACE,
    "hex": HEX,
    "url": URL,
}
_LITERALS = {character: 1 << (11 + n) for n, character in enumerate("<>-+&~/.@:_eExXDd#;!?'\"\\=%")}

# Nonspacing marks that are letters; ranges end at the last one before a mark that is not.
_LETTER_MARKS = [
    (int(first, 16), int(last or first, 16))
    for first, last in re.findall(
        r"(\w+)-?(\w*)",
        """
        345 5b0-657 659-6dc 6e1-6e8 6ed-73f 7a6-7b0 816-817 81b-82c 8d4-8df 8e3-8e9 8f0-93a 941-948 955-981 9c1-9c4
        9e2-9e3 a01-a02 a41-a4c a51-a82 ac1-ac8 ae2-afc b01 b3f-b44 b56-bc0 c00 c3e-c4c c55-c81 cbf-ccc ce2-d01 d41-d44
        d62-d81 dd2-e3a e4d eb1-eb9 ebb-ebc ecd f71-f81 f8d-fbc 102d-1036 103d-109d 1712-1713 1732-1773 17b7-17c6
        1885-1932 1a17-1a5e 1a62-1a74 1abf-1ac0 1acc-1b03 1b36-1b42 1b80-1ba9 1bac-1bad 1be8-1c36 1de7-1df4 2de0-2dff
        a674-a67b a69e-a69f a802 a80b-a826 a8c5 a8ff-a92a a947-a982 a9b6-aabe aaec-aaed abe5-abe8 fb1e 10376-10a0f
        10d24-10eac 11001-11045 11073-11074 110b3-110b6 110c2-11132 11180-111be 111cf-11234 11237-112e8 11300-11301
        11340 11438-1143f 11443-11444 114b3-114c0 115b2-115bd 115dc-1163d 11640-116b5 1171d-1172a 1182f-11837
        1193b-1193c 119d4-119db 11a01-11a0a 11a35-11a3e 11a51-11a96 11c30-11c3d 11c92-11d41 11d43 11d47-11d95
        11ef3-11ef4 16f4f-16f92 1bc9e 1e000-1e02a 1e947
        """,
    )
]
_SPACING_MARKS = frozenset("\u0f3e\u0f3f\u1b44\u1baa\ua953")  # of those that are no letters, the ones within words
_NOT_LETTERS = frozenset(
    "\u1715\u1734\u1bf2\u1bf3\u1ce1\u1cf7\u302e\u302f\ua9c0\uabec\U000111c0\U00011235\U0001134d\U000116b6\U0001193d"
    "\U0001d165\U0001d166\U0001d16d\U0001d16e\U0001d16f\U0001d170\U0001d171\U0001d172"
)
_CIRCLED = ((0x24B6, 0x24E9), (0x1F130, 0x1F149), (0x1F150, 0x1F169), (0x1F170, 0x1F189))
_NO_BREAK = frozenset("\u00a0\u2007\u202f")
_NOT_IN_URLS = frozenset('"<>\\^`{|}')


class _Masks(dict[str, int]):
    """The classes of each character as bits, worked out when it is first met."""

    def __missing__(self, character: str) -> int:
        mask = self[character] = ANY | _mask(character)
        return mask


def _mask(character: str) -> int:
    if character.isascii():
        return _ascii_mask(character) | _LITERALS.get(character, 0)
    mask = LETTER | ALNUM if _is_letter(character) else OTHER
    if _is_mark(character):
        mask |= MARK
    if category(character) in ("Zs", "Zl", "Zp") and character not in _NO_BREAK:
        mask |= SPACE
    return mask


def _ascii_mask(character: str) -> int:
    mask = OTHER
    if character.isalpha():
        mask = ASCII_LETTER | LETTER | ALNUM
    elif character.isdigit():
        mask = DIGIT | ALNUM
    if character in "0123456789abcdefABCDEF":
        mask |= HEX
    if character in " \t\n\v\f\r":
        mask |= SPACE
    if " " < character < "\x7f" and character not in _NOT_IN_URLS:
        mask |= URL
    return mask


def _is_letter(character: str) -> bool:
    kind = category(character)
    if kind == "Mn":
        place = bisect_right(_LETTER_MARKS, (ord(character), 0x110000)) - 1
        return place >= 0 and ord(character) <= _LETTER_MARKS[place][1]
    if kind == "Mc":
        return character not in _NOT_LETTERS and character not in _SPACING_MARKS
    if kind == "So":
        return any(first <= ord(character) <= last for first, last in _CIRCLED)
    return kind in ("Lu", "Ll", "Lt", "Lm", "Lo", "Nl", "Nd")


def _is_mark(character: str) -> bool:
    return category(character) in ("Mn", "Me", "Cf") or character in _SPACING_MARKS


MASKS = _Masks()


def mask_of(test: str) -> int:
    """Return the bits of a class by its name, or of the characters between `[` and `]`."""
    if not test.startswith("["):
        return CLASSES[test]
    mask = 0
    for character in test[1:-1]:
        mask |= _LITERALS[character]
    return mask


def lowered(text: str) -> str:
    """Return a text in lower case, each character by itself: PostgreSQL makes one character out of one."""
    if text.isascii():
        return text.lower()
    return "".join(map(_lowered, text))


def _lowered(character: str) -> str:
    if character == "\u0130":
        return "i"
    lower = character.lower()
    return lower if len(lower) == 1 else character
