from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy.engine import URL

from tests.migrations.autogenerate.project import Project


@pytest.fixture
def project(tmp_path: Path, empty_url: URL) -> Project:
    project = Project(tmp_path / "project", empty_url)
    project.execute(
        "CREATE EXTENSION vector",
        "CREATE TABLE notes (id integer CONSTRAINT pk PRIMARY KEY, body text, embedding vector(3))",
    )
    return project
