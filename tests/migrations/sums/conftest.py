from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.migrations.sums.released import Released, released_in


@pytest.fixture
def released(tmp_path: Path) -> Iterator[Released]:
    with released_in(tmp_path) as released:
        yield released


@pytest.fixture
def installed(tmp_path: Path) -> Iterator[Released]:
    with released_in(tmp_path, installed=True) as released:
        yield released
