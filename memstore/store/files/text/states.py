"""The states in which PostgreSQL's default parser reads a text, as a table.

A state has rules, of which the first that fits the next character is followed:

    goto STATE          take the character
    try STATE           take it, and come back to the rule after this one if STATE leads nowhere
    commit STATE        take it, and forget the last place to come back to
    fail                go back
    merge               go back, but stay at this place of the text
    again STATE         in that state, look at the same character again
    emit TOKEN STATE    a token ends before this character; the next one begins in STATE
    emit-1, emit-all    the same, and forget the last place to come back to, or all of them

A test is the name of a class of characters, characters in brackets, or a question with `?`. After `!` comes what else
is to be done. Where no rule fits, `fail`.
"""

from __future__ import annotations

from dataclasses import dataclass

from .characters import mask_of

_TABLE = r"""
base
    [<]         try tag_first
    ?ignoring   goto blank
    ascii       goto ascii_word
    letter      goto word
    digit       goto unsigned
    [-+]        try signed_first
    [&]         try entity_first
    [~]         try file_home
    [/]         try file_first
    [.]         try path_dot
    any         goto blank
blank
    end         emit blank base
    [<]         emit blank base
    ?ignoring   goto blank
    [-+&/]      emit blank base
    other       goto blank
    any         emit blank base

ascii_word
    ascii       goto ascii_word
    [.]         try host_first_domain
    [.]         try file_next
    [-]         try host_first
    [-]         try hyphen_ascii_first
    [_]         try host_first
    [@]         try email
    [:]         try protocol_first
    [/]         try file_first
    digit       try host
    digit       goto number_word
    letter      goto word
    mark        goto word
    any         emit asciiword base
word
    letter      goto word
    mark        goto word
    digit       goto number_word
    [-]         try hyphen_word_first
    any         emit word base
number_word
    alnum       goto number_word
    mark        goto number_word
    [@]         try email
    [/]         try file_first
    [.]         try file_next
    [-]         try hyphen_number_first
    any         emit numword base

unsigned
    digit       goto unsigned
    [.]         try host_first_domain
    [.]         try unsigned_point
    [eE]        try exponent_first
    [-_]        try host_first
    [@]         try email
    ascii       try host
    letter      goto number_word
    mark        goto number_word
    [/]         try file_first
    any         emit uint base
signed_first
    digit       commit signed
signed
    digit       goto signed
    [.]         try signed_point
    [eE]        try exponent_first
    any         emit int base
unsigned_point
    digit       commit unsigned_decimal
unsigned_decimal
    digit       goto unsigned_decimal
    [.]         try version_first
    [eE]        try exponent_first
    any         emit float base
signed_point
    digit       commit signed_decimal
signed_decimal
    digit       goto signed_decimal
    [.]         try signed_version
    [eE]        try exponent_first
    any         emit float base
signed_version
    digit       again version_sign !restart
version_sign
    end         fail
    digit       emit-all blank unsigned
    any         goto version_sign
version_first
    digit       commit version
version
    digit       goto version
    [.]         try version_first
    any         emit version base
exponent_first
    digit       commit exponent
    [-+]        goto exponent_sign
exponent_sign
    digit       commit exponent
exponent
    digit       goto exponent
    any         emit sfloat base

entity_first
    [#]         goto entity_number_first
    ascii       goto entity
    [:_]        goto entity
entity
    alnum       goto entity
    [:_.-]      goto entity
    [;]         goto entity_end
entity_number_first
    [xX]        goto entity_hex_first
    digit       goto entity_number
entity_hex_first
    hex         goto entity_hex
entity_number
    digit       goto entity_number
    [;]         goto entity_end
entity_hex
    hex         goto entity_hex
    [;]         goto entity_end
entity_end
    any         emit-1 entity base

tag_first
    [/]         try tag_close
    [!]         try comment_first
    [?]         try xml_first
    ascii       try tag_name
    [:_]        try tag_name
xml_first
    [x]         goto tag
tag_close
    ascii       goto tag_name
tag_name
    [/]         goto tag_empty
    [>]         goto tag_end !tags
    space       goto tag !tags
    alnum       goto tag_name
    [:_.-]      goto tag_name
tag_empty
    [>]         goto tag_end
tag
    [>]         goto tag_end !tags
    [']         goto tag_quote
    ["]         goto tag_double_quote
    ascii       goto tag
    digit       goto tag
    [=-_#/:.&?%~]  goto tag
    space       goto tag !tags
tag_quote
    end         fail
    [\]         try tag_backslash
    [']         goto tag
    any         goto tag_quote
tag_double_quote
    end         fail
    [\]         try tag_backslash
    ["]         goto tag
    any         goto tag_double_quote
tag_backslash
    end         fail
    any         merge
tag_end
    any         emit-all tag base
comment_first
    [-]         goto comment_second
    [Dd]        goto tag
comment_second
    [-]         goto comment
comment
    end         fail
    [-]         goto comment_dash
    any         goto comment
comment_dash
    end         fail
    [-]         goto comment_dashes
    any         goto comment
comment_dashes
    end         fail
    [-]         goto comment_dashes
    [>]         goto tag_end
    any         goto comment

host_first_domain
    ascii       goto host_domain_second
    digit       goto host
host_domain_second
    ascii       goto host_domain
    digit       try host
    [-_]        try host_first
    [.]         try host_first_domain
    [@]         try email
host_domain
    end         emit-all host base
    ascii       goto host_domain
    digit       try host
    [:]         try port_first
    [-_]        try host_first
    [.]         try host_first_domain
    [@]         try email
    digit       fail
    ?stopping   emit-all host url_path_start
    [/]         try url
    any         emit-all host base
port_first
    digit       goto port
port
    end         emit-all host base
    digit       goto port
    ?stopping   emit-all host url_path_start
    [/]         try url
    any         emit-all host base
host_first
    digit       goto host
    ascii       goto host
host
    digit       goto host
    ascii       goto host
    [@]         try email
    [.]         try host_first_domain
    [-_]        try host_first
email
    ?stopping   fail
    ?host       emit-all email base

file_first
    ascii       goto file
    digit       goto file
    [.]         goto path_first
    [_]         goto file
    [~]         try file_home
file_home
    ascii       goto file
    digit       goto file
    [_]         goto file
    [/]         goto file_first
path_first
    ascii       goto file
    digit       goto file
    [_]         goto file
    [.]         goto path_dots
    [/]         goto file_first
path_dot
    [.]         goto path_dots
    [/]         goto file_first
path_dots
    end         emit-1 file base
    [/]         try file_first
    [/]         emit-1 file base
    space       emit-1 file base
file
    ascii       goto file
    digit       goto file
    [.]         try file_next
    [_-]        goto file
    [/]         try file_first
    any         emit file base
file_next
    ascii       commit file
    digit       commit file
    [_]         commit file

url
    end         fail
    ?path       emit-all url base !host
url_path_first
    url         goto url_path
url_path_start
    any         goto url_path
url_path
    url         goto url_path
    any         emit url_path base

protocol_first
    [/]         goto protocol_second
protocol_second
    [/]         goto protocol_end
protocol_end
    any         emit-all protocol base

hyphen_ascii_first
    ascii       goto hyphen_ascii
    letter      goto hyphen_word
    digit       goto hyphen_digits
hyphen_ascii
    ascii       goto hyphen_ascii
    letter      goto hyphen_word
    mark        goto hyphen_word
    digit       goto hyphen_number
    [-]         try hyphen_ascii_first
    any         emit-all asciihword parts !parts
hyphen_word_first
    letter      goto hyphen_word
    digit       goto hyphen_digits
hyphen_word
    letter      goto hyphen_word
    mark        goto hyphen_word
    digit       goto hyphen_number
    [-]         try hyphen_word_first
    any         emit-all hword parts !parts
hyphen_number_first
    letter      goto hyphen_number
    digit       goto hyphen_digits
hyphen_number
    alnum       goto hyphen_number
    mark        goto hyphen_number
    [-]         try hyphen_number_first
    any         emit-all numhword parts !parts
hyphen_digits
    digit       goto hyphen_digits
    letter      goto hyphen_number
    mark        goto hyphen_number

parts
    ascii       goto ascii_part
    letter      goto word_part
    digit       try part_digits
    [-]         try part_hyphen
    any         again base
part_hyphen
    alnum       emit-1 blank parts
    mark        emit-1 blank parts
ascii_part
    end         emit hword_asciipart base
    ascii       goto ascii_part
    letter      goto word_part
    mark        goto word_part
    digit       goto number_part
    any         emit hword_asciipart parts
word_part
    end         emit hword_part base
    letter      goto word_part
    mark        goto word_part
    digit       goto number_part
    any         emit hword_part parts
number_part
    end         emit hword_numpart base
    alnum       goto number_part
    mark        goto number_part
    any         emit hword_numpart parts
part_digits
    digit       goto part_digits
    letter      commit number_part
    mark        commit number_part
"""


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of the table: `mask` of the characters that it fits, or a `question` that decides."""

    mask: int
    question: str | None
    action: str
    forget: int
    token: str | None
    state: str | None
    also: str | None


_FAIL = Rule(mask_of("any"), None, "fail", 0, None, None, None)


def _rule(line: str) -> Rule:
    test, action, *rest = line.split()
    also = rest.pop()[1:] if rest and rest[-1].startswith("!") else None
    action, _, much = action.partition("-")
    return Rule(
        0 if test.startswith("?") else mask_of(test),
        test[1:] if test.startswith("?") else None,
        action,
        {"": 0, "1": 1, "all": 2}[much] + (action == "commit"),
        rest[0] if action == "emit" else None,
        rest[-1] if rest else None,
        also,
    )


def _states() -> dict[str, tuple[Rule, ...]]:
    rules: dict[str, list[Rule]] = {}
    state = ""
    for line in filter(None, _TABLE.splitlines()):
        if line.startswith(" "):
            rules[state].append(_rule(line))
        else:
            state = line
            rules[state] = []
    return {state: (*rules, _FAIL) for state, rules in rules.items()}


STATES = _states()
