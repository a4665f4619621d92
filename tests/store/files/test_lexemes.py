from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memstore.store.files.text import lexemes
from tests.support import Server, raw_dsn, run_python

# PostgreSQL 18 has a later stemmer than the majors before it, and is the one to be like.
newest = pytest.mark.parametrize("server", [18], ids=["pg18"], indirect=True, scope="session")

AWKWARD = [
    "",
    " ",
    "the and of it's don't I'll",
    "Adding, added, offing and egged on; the inning of the herring",
    "running RUNNER ran-ran run-of-the-mill x-ray X-1 a1-b2 1-2-3 F-16s",
    "foo_bar __init__ snake_case_1 kebab-case-2",
    "mail.me@example.com, a_b@c.de? x@y <me@example.org>",
    "http://example.com/a/b?c=d#e https://x.io www.example.com/ ftp://h:21/x example.co.uk:8080/path,",
    "a@b@c.com a@b.c.d/e/f user@host:80/x",
    "/usr/bin/env ~/x ./y ../z ../../a.b/c.txt C:\\x /a//b /.hidden //x ~ . .. ...",
    "1 -1 +1 1.5 -1.5 1e5 1.5e-10 -1e+5 1.2.3 -1.2.3 1. .5 12e 0x1F 007 1,000 3rd 50% $5 1.2.3.4 1.2.3.4:80",
    '<b>bold</b> <br/> <a href=\'x>y\' title="\\"q">z</a> a<b 1<2 <!-- no -->x<!--open <?xml v?> <!DOCTYPE html>',
    "<a b='\\x\\' c>one' d>two <a b=\"\\\\\" c>three\" d>four",
    "<script>alert(1)</script>seen <style>p{}</style>too <script>never closed words",
    "&amp; &#38; &#x26; &lt;x&gt; &unfinished & alone AT&T",
    "naïve café ÉCOLE Straße İstanbul ΣΊΣΥΦΟΣ ﬁne Ǆ ß",
    "Привет мир, 漢字かな交じり文, 한국어 نص عربي हिन्दी ไทย",
    "e\u0301 \u0301e soft\u00adhyphen zero\u200bwidth joi\u200dner \ufeffbom nb\u00a0sp ideographic\u3000space",
    "👍👍🏽 👩‍👩‍👧 🏳️‍🌈 ok👌ok ☃ ①② Ⅷ x² ½ ٣٤ \uff11\uff12",
    "don\u2019t “quoted” em—dash en\u2013dash dots… a/b a\\b a|b a=b key:value 10:30 C++ C# .NET node.js v1.2-rc1",
    "word" * 300,
    "é" * 600,
    "x" * 2046 + " " + "y" * 2047,
    "é" * 1023 + " " + "é" * 1024,
    "it 's -- -a- --b a- -b- a--b a-b- 1-a a-1 é-a a-é é-1-b",
    "".join(map(chr, range(1, 256))),
    "tail " * 19_999 + "cut1 cutoff",
]
PIECES = [
    *"abzeExXDth0159-_./@:<>&;#!?'\"\\=~+%,() \t\n",
    *"éßİΣ中文ก²٣Ⅷ👍\u2019\u0301\u200d\u0903\u093e\u00a0\u3000\ufe0f",
    *("http://", "www.", ".com", "foo", "Running", "the", "<b>", "</b>", "<script>", "</script>", "<!--", "-->"),
    *("&amp;", "1.5", "-1", "e5", "/a/b", "~/", "../", "_x", "'s", "x@y.zz", "a.b", "1.2.3"),
]
# Unicode grows: what a character is that one of the two does not know yet is not for them to agree on.
assigned = st.characters(exclude_characters="\0", exclude_categories=("Cs", "Cn", "Co"))
texts = st.one_of(
    st.lists(st.sampled_from(PIECES), max_size=30).map("".join),
    st.text(st.one_of(st.sampled_from("ab1 -./@:<"), assigned), max_size=20),
)


@pytest.fixture(scope="module")
def connection(server: Server) -> Iterator[psycopg.Connection]:
    with psycopg.connect(raw_dsn(server.url), autocommit=True) as connection:
        connection.execute("SET client_min_messages = error")
        yield connection


def assert_same(connection: psycopg.Connection, written: Iterable[str]) -> None:
    asked = list(written)
    rows = connection.execute(
        "SELECT tsvector_to_array(to_tsvector('english', left(t, 100000))) "
        "FROM unnest(%s::text[]) WITH ORDINALITY AS u (t, n) ORDER BY n",
        (asked,),
    )
    for text, (expected,) in zip(asked, rows, strict=True):
        assert lexemes(text) == set(expected), text[:300]


@newest
@pytest.mark.parametrize("text", AWKWARD, ids=lambda text: ascii(text[:20]))
def test_awkward_texts_have_the_lexemes_that_postgresql_finds(connection: psycopg.Connection, text: str) -> None:
    assert_same(connection, [text.replace("\0", "")])


@newest
def test_real_conversations_have_the_lexemes_that_postgresql_finds(
    connection: psycopg.Connection, locomo: Path
) -> None:
    nodes = json.loads((locomo / "corpus" / "nodes.json").read_text())
    questions = json.loads((locomo / "queries.json").read_text())
    assert_same(connection, (f"{node['human_content']} {node['assistant_content'] or ''} " for node in nodes))
    assert_same(connection, (question["question"] for question in questions))


@newest
@pytest.mark.parametrize(
    "characters",
    [[*range(1, 0x2000), *range(0x2000, 0x20000, 97)], pytest.param(range(1, 0x110000), marks=pytest.mark.soak)],
    ids=["some", "all"],
)
def test_each_character_is_what_postgresql_takes_it_for(
    connection: psycopg.Connection, characters: Iterable[int]
) -> None:
    known = [each for each in map(chr, characters) if unicodedata.category(each) not in ("Cs", "Cn", "Co")]
    assert_same(connection, (f"{each} é{each}é <a{each}b> x{each}" for each in known))


@newest
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(texts, min_size=20, max_size=60))
def test_generated_texts_have_the_lexemes_that_postgresql_finds(
    connection: psycopg.Connection, written: list[str]
) -> None:
    assert_same(connection, written)


def test_without_the_stemmer_it_is_said_what_to_install() -> None:
    without = "import sys; sys.modules['snowballstemmer'] = None; sys.modules['snowballstemmer.english_stemmer'] = None"
    done = run_python(
        "-c", f"{without}; from memstore.store.files.text import lexemes; lexemes('1 2'); lexemes('words')"
    )
    assert done.returncode == 1
    assert "searching files by words needs the extra 'file'. Run: pip install 'memstore[file]'" in done.stderr
