"""A checkout with revisions after head that change tables in use, by safe operations or as plain Alembic does."""

from __future__ import annotations

import shutil
from pathlib import Path

from memstore.migrations.scripts import revisions
from tests.support import ROOT

CHAIN = Path(__file__).parent / "chain"
LAST = "load_7_width"

# What `alembic init` writes, without what is not needed here.
PLAIN_ENV = """
import os

from alembic import context
from sqlalchemy import create_engine, pool

from memstore.migrations.operations import register

register()
engine = create_engine(os.environ["PLAIN_URL"], poolclass=pool.NullPool)
with engine.connect() as connection:
    context.configure(connection=connection, version_table_schema="memstore", transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()
"""


def checkout_with_chain(folder: Path, *, plain: bool = False) -> Path:
    """Copy alembic.ini and alembic/ into `folder`, with the revisions on top; run `alembic` there."""
    shutil.copy(ROOT / "alembic.ini", folder)
    scripts = folder / "alembic"
    shutil.copytree(ROOT / "alembic", scripts, ignore=shutil.ignore_patterns("__pycache__"))
    chain = {path.name: path for path in (CHAIN / "safe").glob("*.py")}
    if plain:  # what is the same either way is written once
        chain |= {path.name: path for path in (CHAIN / "plain").glob("*.py")}
    for path in chain.values():
        text = path.read_text(encoding="utf-8").replace('"HEAD"', f'"{revisions()[-1]}"')
        (scripts / "versions" / path.name).write_text(text, encoding="utf-8")
    if plain:
        (scripts / "env.py").write_text(PLAIN_ENV, encoding="utf-8")
    return folder
