"""The command as a process: what it exits with, what it prints where, what it imports, what a terminal sees."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy.engine import URL

from memstore import __version__
from memstore.migrations.scripts import revisions
from tests.cli.command import done, fetch, memstore_process
from tests.support import ROOT, raw_dsn
from tests.transfer.corpora import write_corpus

GROUPS = ("db", "tenant", "user", "import", "retention", "search")
LIGHT = """
import sys
from memstore.cli import main
try:
    main()
finally:
    heavy = {"alembic", "asyncpg", "msgspec", "numpy", "pymilvus", "sqlalchemy"} & sys.modules.keys()
    print("imported", heavy or "nothing heavy", file=sys.stderr)
"""


def test_a_process_exits_with_what_became_of_the_command(url: URL) -> None:
    shown = memstore_process("--version")
    assert (shown.returncode, shown.stdout, shown.stderr) == (0, f"{__version__}\n", "")

    shown = memstore_process("db", "status", url=url)
    assert (shown.returncode, shown.stdout.splitlines()[0], shown.stderr) == (0, f"current     {revisions()[-1]}", "")

    shown = memstore_process("tenant", "create", url=url)
    assert (shown.returncode, shown.stdout) == (2, "")
    assert "Missing argument" in shown.stderr

    shown = memstore_process("tenant", "create", "Acme")
    assert (shown.returncode, shown.stdout, len(shown.stderr.splitlines())) == (1, "", 1)
    assert shown.stderr.startswith("memstore: DATABASE_URL environment variable not set. ")


def test_what_nobody_foresaw_is_told_in_the_servers_words(url: URL) -> None:
    fetch(url, "ALTER TABLE memstore.tenants RENAME COLUMN name TO title")
    shown = memstore_process("tenant", "create", "Acme", url=url)
    assert (shown.returncode, shown.stdout, len(shown.stderr.splitlines())) == (1, "", 1)
    assert shown.stderr.startswith("memstore: the database refused it: column ")


@pytest.mark.parametrize("arguments", [["--version"], ["--help"], ["serach"]])
def test_what_needs_no_library_imports_none(arguments: list[str]) -> None:
    command = [sys.executable, "-c", LIGHT, *arguments]
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert shown.stderr.endswith("imported nothing heavy\n"), shown.stderr


def test_each_group_is_listed_with_the_help_it_has() -> None:
    listed = [line.strip(" │").split(maxsplit=1) for line in done("--help").partition("Commands")[2].splitlines()]
    helps = {words[0]: words[1] for words in listed if len(words) == 2 and words[0] in GROUPS}
    assert tuple(helps) == GROUPS
    for group, text in helps.items():
        shown = done(group, "--help")
        assert f" {text} " in shown
        assert "--install-completion" not in shown


def test_a_terminal_sees_how_far_an_import_is(url: URL, tmp_path: Path) -> None:
    tenant = done("tenant", "create", "Acme", url=url).split()[1]
    terminal, process_end = os.openpty()
    importing = subprocess.run(
        [sys.executable, "-m", "memstore", "import", "corpus", write_corpus(tmp_path), "--tenant-id", tenant],
        cwd=ROOT,
        env=os.environ | {"DATABASE_URL": raw_dsn(url), "TERM": "xterm", "COLUMNS": "100"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=process_end,
        text=True,
        check=True,
    )
    os.close(process_end)  # first: to read what was never written would wait for ever
    seen = os.read(terminal, 2**16).decode()
    os.close(terminal)
    assert "check" in seen
    assert "write" in seen
    assert "5/5" in seen
    assert importing.stdout.startswith("5 read, 5 inserted")
