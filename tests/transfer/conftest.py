from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy.engine import URL

from tests.support import Server


@pytest.fixture(scope="module")
def shared_url(server: Server) -> Iterator[URL]:
    """One database for all of these tests: each proves that it wrote nothing."""
    url = server.create_database(4)
    yield url
    server.drop_database(url)
