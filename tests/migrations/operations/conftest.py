from __future__ import annotations

import pytest
from sqlalchemy.engine import URL

from tests.migrations.operations.revision import Project

NOTES = """
    CREATE TABLE notes (id int PRIMARY KEY GENERATED ALWAYS AS IDENTITY, author text, body text, length int)
"""
ROWS = "INSERT INTO notes (author, body) SELECT 'author ' || n % 10, repeat('x', n) FROM generate_series(1, 300) AS n"


@pytest.fixture
def project(empty_url: URL) -> Project:
    """A database of somebody's own, with a table of 300 notes."""
    project = Project(empty_url)
    project.run("CREATE EXTENSION vector", NOTES, ROWS)
    return project
