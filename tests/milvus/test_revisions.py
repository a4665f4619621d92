from __future__ import annotations

from pathlib import Path

import pytest

from memstore.errors import MilvusStateError
from memstore.milvus import load_chain
from memstore.milvus.revisions import Chain
from tests.milvus.versions import ADDS_AGENT, write_versions

BROKEN = """
from memstore.milvus.fields import text
revision = "0002_broken"
down_revision = "0001_unified_memory"
def upgrade(before):
    return before.adding(text("agent_id", "agent_id", 36))
def downgrade(after):
    return after.without("version")
"""


@pytest.fixture
def chain(tmp_path: Path) -> Chain:
    return write_versions(tmp_path, ADDS_AGENT)


def test_targets_are_named_as_everywhere(chain: Chain) -> None:
    assert chain.resolve("head") == "0002_agent"
    assert chain.resolve("base") is None
    assert chain.resolve("0001") == "0001_unified_memory"
    assert chain.before("0002_agent") == "0001_unified_memory"
    assert chain.before("0001_unified_memory") is None
    for unknown in ("", "000", "0003"):
        with pytest.raises(MilvusStateError, match="It has: 0001_unified_memory, 0002_agent"):
            chain.resolve(unknown)


def test_a_version_is_made_of_those_before_it(chain: Chain) -> None:
    first, second = chain.spec("0001_unified_memory", 4), chain.spec("0002_agent", 4)
    assert set(second.names) - set(first.names) == {"agent_id"}
    assert chain.get("0002_agent").physical == "memories_unified__0002"


def test_a_downgrade_that_does_not_lead_back_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MilvusStateError, match="0002_broken: its downgrade does not lead back"):
        write_versions(tmp_path, BROKEN).spec("0002_broken", 4)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (ADDS_AGENT.replace("0001_unified_memory", "0000_lost"), "no chain: 0002_agent"),
        (ADDS_AGENT.replace('"0001_unified_memory"', "None"), "both follow nothing"),
        (ADDS_AGENT.replace("0002_agent", "0001_agent"), "two versions .* begin with one number"),
    ],
)
def test_what_is_no_chain_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(MilvusStateError, match=message):
        write_versions(tmp_path, text)


def test_ours_is_a_chain() -> None:
    chain = load_chain()
    for each in chain.revisions:
        assert each.title.endswith(".")
        assert len(each.revision) <= 32
        assert chain.spec(each.revision, 4).names
