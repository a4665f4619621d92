"""Versions of the collection that come after memstore's own, for tests."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from memstore.milvus.revisions import VERSIONS, Chain, load_chain

ADDS_AGENT = '''
"""An agent, for tests."""
from memstore.milvus.fields import text
revision = "0002_agent"
down_revision = "0001_unified_memory"
def upgrade(before):
    return before.adding(text("agent_id", "agent_id", 36, indexed=True))
def downgrade(after):
    return after.without("agent_id")
'''


def write_versions(folder: Path, *texts: str) -> Chain:
    """Write memstore's first version and these into a folder, and read the chain."""
    first = "0001_unified_memory.py"
    shutil.copy(VERSIONS / first, folder / first)
    for text in texts:
        name = re.search(r'^revision = "(\w+)"', text, re.MULTILINE)
        assert name is not None
        (folder / f"{name[1]}.py").write_text(text)
    return load_chain(folder)
