"""Telling whether a default is the same for each row: only then does ADD COLUMN leave the rows as they are."""

from __future__ import annotations

import re

# PostgreSQL's that are immutable or stable, as far as defaults are made of them. Whatever else is called counts as
# volatile, which is what CREATE FUNCTION makes of a function that does not say otherwise.
_STEADY = """
    abs age array_append array_cat array_fill array_prepend array_to_string btrim cardinality ceil char_length chr
    concat concat_ws convert_from convert_to current_catalog current_database current_date current_role current_schema
    current_setting current_time current_timestamp current_user date date_bin date_part date_trunc daterange decode
    digest div encode exp extract floor format halfvec int4range int8range int8 isfinite json_array json_build_array
    json_build_object json_object jsonb_build_array jsonb_build_object jsonb_object jsonb_set jsonb_strip_nulls
    json_strip_nulls left length localtime localtimestamp lower lpad ltrim make_date make_interval make_time
    make_timestamp make_timestamptz md5 mod now numeric numrange overlay position power quote_ident
    quote_literal quote_nullable regexp_replace repeat replace reverse right round row_to_json rpad rtrim session_user
    sha256 sha512 sign split_part sqrt statement_timestamp strpos substr substring text timestamp timestamptz timezone
    to_char to_date to_json to_jsonb to_number to_regclass to_timestamp to_tsquery to_tsvector transaction_timestamp
    translate trim trunc tsrange tstzrange upper user varchar vector
"""
# What stands before parentheses and calls nothing.
_WORDS = """
    and any all array as between by case cast coalesce collate else end exists from greatest ilike in interval is least
    like not null nullif on or row some then values when
"""
_KNOWN = frozenset(f"{_STEADY} {_WORDS}".split())
_CALL = re.compile(r'((?:[\w"$]+\s*\.\s*)*[\w"$]+)\s*\(')
_STRING = re.compile(r"'(?:[^']|'')*'")
_TYPE = re.compile(
    r'(?:::|\bAS\b)\s*(?:[\w"]+\s*\.\s*)?[\w"]+(?:\s+(?:varying|precision))?\s*\(\s*[\d\s,]*\)', re.IGNORECASE
)


def volatile_function(sql: str) -> str | None:
    """Return a function that an expression calls and that is not known to give each row the same; None without one."""
    for found in _CALL.findall(_TYPE.sub(" ", _STRING.sub("''", sql))):
        name = re.sub(r'[\s"]', "", found).lower()
        if name.removeprefix("pg_catalog.") not in _KNOWN:
            return name
    return None
