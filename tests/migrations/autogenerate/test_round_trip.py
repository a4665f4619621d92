from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from pgvector.sqlalchemy import BIT, HALFVEC, SPARSEVEC, VECTOR
from sqlalchemy import (
    CheckConstraint,
    Column,
    Computed,
    Enum,
    Index,
    Integer,
    MetaData,
    String,
    Text,
    UniqueConstraint,
    text,
)

from memstore.migrations.autogenerate import Policy, RowLevelSecurity
from tests.migrations.autogenerate.models import KNOWN, MINE, READERS, Part, models, vector_index
from tests.migrations.autogenerate.project import Diff, Project
from tests.support import Server, dump

LATER = (
    "COMMENT ON INDEX ix_loud IS 'why it''s here :x'",
    "COMMENT ON INDEX hnsw_vector_l2 IS 'the one'",
    "COMMENT ON CONSTRAINT ck_items_kind ON items IS 'the kinds'",
    # How the server prints it from the second time on that its own text is read.
    "ALTER TABLE items DROP CONSTRAINT ck_items_mood",
    "ALTER TABLE items ADD CONSTRAINT ck_items_mood CHECK (mood::text = ANY (ARRAY['glad'::varchar::text, "
    "'sad'::varchar::text]))",
    "COMMENT ON POLICY readers ON items IS 'who reads'",
)


@pytest.fixture(scope="module")
def origin(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """The project at its first revision, to be copied."""
    url = server.create_database(None)
    project = Project(tmp_path_factory.mktemp("origin") / "project", url)
    project.execute("CREATE EXTENSION vector")
    assert project.autogenerate(models(), "first")
    project.upgrade(models())
    project.execute(*LATER)
    yield project
    server.drop_database(url)


@pytest.fixture(scope="module")
def before(origin: Project) -> list[str]:
    return _state(origin)


@pytest.fixture
def project(origin: Project, server: Server, tmp_path: Path) -> Iterator[Project]:
    shutil.copytree(origin.folder, tmp_path / "project", ignore=shutil.ignore_patterns("__pycache__"))
    name = f"copy_{abs(hash(tmp_path))}"
    server.execute(f"CREATE DATABASE {name} TEMPLATE {origin.url.database}")
    url = server.url.set(database=name)
    yield Project(tmp_path / "project", url)
    server.drop_database(url)


def changed(kind: str, *names: str) -> list[Diff]:
    return [(f"{each}_{kind}", name) for name in names for each in ("remove", "add")]


def index(name: str, method: str, column: str, opclass: str, **parameters: int) -> dict[str, Part | None]:
    return {name: vector_index(name, method, column, opclass, **parameters)}


def loud(expression: str) -> Part:
    return lambda: Column("loud", Text, Computed(expression, persisted=True), comment="kind, shouted")


def partial(where: str = "kind = 'a' AND score > 0.5", *, include: str = "author_id", distinct: bool = False) -> Part:
    return lambda: Index(
        "ix_partial",
        "tenant",
        unique=True,
        postgresql_where=text(where),
        postgresql_include=[include],
        postgresql_nulls_not_distinct=not distinct,
    )


# What changes in the models, and all that autogenerate is to make of it.
CHANGES: dict[str, tuple[dict[str, Part | None], list[Diff]]] = {
    "another operator class": (
        index("hnsw_vector_l2", "hnsw", "embedding", "vector_cosine_ops"),
        changed("index", "hnsw_vector_l2"),
    ),
    "another method": (
        index("hnsw_vector_l2", "ivfflat", "embedding", "vector_l2_ops"),
        changed("index", "hnsw_vector_l2"),
    ),
    "m": (index("hnsw_vector_l2", "hnsw", "embedding", "vector_l2_ops", m=32), changed("index", "hnsw_vector_l2")),
    "lists": (
        index("ivfflat_bit_hamming", "ivfflat", "bits", "bit_hamming_ops", lists=7),
        changed("index", "ivfflat_bit_hamming"),
    ),
    "parameters dropped": ({"ix_lower": lambda: Index("ix_lower", text("lower(kind) text_pattern_ops"))},
                           changed("index", "ix_lower")),
    "default operator class named": (
        index("ivfflat_vector_l2", "ivfflat", "embedding", "vector_l2_ops"), []
    ),
    "operator class in an expression": (
        {"as_halfvec": lambda: Index("as_halfvec", text("(embedding::halfvec(3)) halfvec_ip_ops"),
                                     postgresql_using="hnsw")},
        changed("index", "as_halfvec"),
    ),
    "expression of a key": (
        {"ix_lower": lambda: Index("ix_lower", text("upper(kind) text_pattern_ops"),
                                   postgresql_with={"fillfactor": 70})},
        changed("index", "ix_lower"),
    ),
    "order of a key": (
        {"ix_plain": lambda: Index("ix_plain", "tenant", text("score DESC"))},
        changed("index", "ix_plain"),
    ),
    "predicate": ({"ix_partial": partial("kind = 'a' AND score > 0.7")}, changed("index", "ix_partial")),
    "predicate said otherwise": ({"ix_partial": partial("(kind IN ('a')) AND (0.5 < score)")},
                                 changed("index", "ix_partial")),
    "predicate with other parentheses": ({"ix_partial": partial("((kind = 'a')) AND (score > 0.5)")}, []),
    "include": ({"ix_partial": partial(include="score")}, changed("index", "ix_partial")),
    "nulls distinct": ({"ix_partial": partial(distinct=True)}, changed("index", "ix_partial")),
    "a vector index dropped": ({"hnsw_sparsevec_l1": None}, [("remove_index", "hnsw_sparsevec_l1")]),
    "an expression index dropped": ({"as_bits": None}, [("remove_index", "as_bits")]),
    "an index added": (index("more", "hnsw", "half", "halfvec_l2_ops", ef_construction=40), [("add_index", "more")]),
    "CHECK text": (
        {"kinds": lambda: CheckConstraint(r"kind IN ('a', 'b', 'it''s \:c 5%')", name="kind")},
        changed("constraint", "ck_items_kind"),
    ),
    "CHECK said otherwise": (
        {"kinds": lambda: CheckConstraint("kind = ANY (ARRAY['a', 'b', 'it''s 5%'])", name="kind")}, []
    ),
    "CHECK dropped": ({"kinds": None}, [("remove_constraint", "ck_items_kind")]),
    "CHECK added": (
        {"more": lambda: CheckConstraint("score <> 0.25", name="more")},
        [("add_constraint", "ck_items_more")],
    ),
    "CHECK of a column": (
        {"Size": lambda: Column("Size", Integer, CheckConstraint('"Size" > 1', name="size"))},
        changed("constraint", "ck_items_size"),
    ),
    "CHECK of a type": (
        {"mood": lambda: Column("mood", Enum("glad", "sad", "odd", name="mood", native_enum=False,
                                             create_constraint=True, length=4))},
        changed("constraint", "ck_items_mood"),
    ),
    "column with a CHECK added": (
        {"taste": lambda: Column("taste", Enum("x", "y", name="taste", native_enum=False, create_constraint=True)),
         "depth": lambda: Column("depth", Integer, CheckConstraint("depth > 0", name="depth"))},
        [("add_column", "taste"), ("add_column", "depth"), ("add_constraint", "ck_items_depth")],
    ),
    "generated expression": (
        {"loud": loud("upper(kind || '!')")},
        [("remove_index", "ix_loud"), ("remove_column", "loud"), ("add_column", "loud"), ("add_index", "ix_loud")],
    ),
    "generated expression, with a CHECK and a UNIQUE": (
        {"loud": loud("upper(tenant)"), "short": lambda: CheckConstraint("length(loud) < 9", name="short"),
         "one": lambda: UniqueConstraint("loud", "id", name="one")},
        [("remove_index", "ix_loud"), ("remove_column", "loud"), ("add_constraint", "one"), ("add_column", "loud"),
         ("add_constraint", "ck_items_short"), ("add_index", "ix_loud")],
    ),
    "type of a column that a generated one uses": (
        {"kind": lambda: Column("kind", String(30), nullable=False)},
        [("remove_policy", "items.readers"), ("remove_index", "ix_loud"), ("remove_column", "loud"),
         ("modify_type", "kind"), ("add_column", "loud"), ("add_index", "ix_loud"), ("add_policy", "items.readers")],
    ),
    "width of a sparsevec": ({"sparse": lambda: Column("sparse", SPARSEVEC(4))}, [("modify_type", "sparse")]),
    "width of a halfvec": ({"half": lambda: Column("half", HALFVEC(4))}, [("modify_type", "half")]),
    "width of bits": ({"bits": lambda: Column("bits", BIT(4))}, [("modify_type", "bits")]),
    "type of a vector, and the classes of its indexes": (
        {
            "embedding": lambda: Column("embedding", VECTOR(4)),
            "sparse": lambda: Column("sparse", VECTOR(3)),
            **{f"hnsw_sparsevec_{each}": None for each in ("ip", "cosine", "l1")},
            **index("hnsw_sparsevec_l2", "hnsw", "sparse", "vector_l2_ops"),
        },
        [("remove_index", f"hnsw_sparsevec_{each}") for each in ("cosine", "ip", "l1", "l2")]
        + [("modify_type", "embedding"), ("modify_type", "sparse"), ("add_index", "hnsw_sparsevec_l2")],
    ),
    "a column with its indexes dropped": (
        {"sparse": None, **{f"hnsw_sparsevec_{each}": None for each in ("ip", "cosine", "l1", "l2")}},
        [("remove_index", f"hnsw_sparsevec_{each}") for each in ("cosine", "ip", "l1", "l2")]
        + [("remove_column", "sparse")],
    ),
}  # fmt: skip

# What has no safe form, and the linter therefore names: MS109 and MS110 rewrite the table, MS201 loses values, MS301
# changes vectors in place.
UNSAFE: dict[str, set[str]] = {
    "generated expression": {"MS109"},
    "generated expression, with a CHECK and a UNIQUE": {"MS109"},
    "type of a column that a generated one uses": {"MS109", "MS110"},
    "width of a sparsevec": {"MS301"},
    "width of a halfvec": {"MS301"},
    "width of bits": {"MS301"},
    "type of a vector, and the classes of its indexes": {"MS301"},
    "a column with its indexes dropped": {"MS201"},
}

# The same for policies: those replaced, added or left out, and whether row level security is on.
POLICY_CHANGES: dict[str, tuple[dict[str, Policy | None], dict[str, bool], list[Diff]]] = {
    "off": ({}, {"enabled": False}, [("remove_row_level_security", "items")]),
    "forced": ({}, {"forced": True}, [("add_forced_row_level_security", "items")]),
    "a policy dropped": ({"readers": None}, {}, [("remove_policy", "items.readers")]),
    "a policy added": ({"odd": Policy("odd", "tenant = ' :x 5%'")}, {}, [("add_policy", "items.odd")]),
    "its text": ({"readers": replace(READERS, using="score > 1")}, {}, changed("policy", "items.readers")),
    "permissive": ({"readers": replace(READERS, permissive=True)}, {}, changed("policy", "items.readers")),
    "its subquery": (
        {"known": replace(KNOWN, using="EXISTS (SELECT 1 FROM authors WHERE authors.id = author_id)")},
        {},
        changed("policy", "items.known"),
    ),
    "its roles": ({"mine": replace(MINE, roles=("pg_monitor",))}, {}, changed("policy", "items.mine")),
    "its command": ({"mine": replace(MINE, command="UPDATE")}, {}, changed("policy", "items.mine")),
    "its check": ({"mine": replace(MINE, check=None)}, {}, changed("policy", "items.mine")),
    "said otherwise": ({"readers": replace(READERS, using="(score > 0) AND kind = ANY (ARRAY['a', 'b'])")}, {}, []),
}


def rounds(touched: dict[str, set[str]]) -> list[list[str]]:
    """Put changes that touch nothing in common into one revision: each is still seen by itself."""
    found: list[tuple[set[str], list[str]]] = []
    for name, objects in touched.items():
        home = next((each for each in found if each[0].isdisjoint(objects)), None)
        if home is None:
            home = (set(), [])
            found.append(home)
        home[0].update(objects)
        home[1].append(name)
    return [names for _, names in found]


CHANGE_ROUNDS = rounds({name: {*parts, *(each for _, each in diffs)} for name, (parts, diffs) in CHANGES.items()})
POLICY_ROUNDS = rounds({name: {*policies, *flags} for name, (policies, flags, _) in POLICY_CHANGES.items()})


def test_what_was_written_is_what_the_models_say(origin: Project) -> None:
    assert origin.autogenerate(models(), "nothing") == []
    assert origin.lint("first") == set()


@pytest.mark.parametrize("names", CHANGE_ROUNDS, ids=", ".join)
def test_changes_of_the_models(project: Project, before: list[str], names: list[str]) -> None:
    parts = {name: part for change in names for name, part in CHANGES[change][0].items()}
    _round_trip(project, before, models(parts), [diff for change in names for diff in CHANGES[change][1]])
    assert project.lint("second") == set().union(*(UNSAFE.get(change, set()) for change in names))


@pytest.mark.parametrize("names", POLICY_ROUNDS, ids=", ".join)
def test_changes_of_row_level_security(project: Project, before: list[str], names: list[str]) -> None:
    policies: dict[str, Policy | None] = {policy.name: policy for policy in (MINE, READERS, KNOWN)}
    flags: dict[str, bool] = {}
    for change in names:
        policies |= POLICY_CHANGES[change][0]
        flags |= POLICY_CHANGES[change][1]
    declared = tuple(policy for policy in policies.values() if policy is not None)
    after = models(security=RowLevelSecurity(declared, **flags))
    _round_trip(project, before, after, [diff for change in names for diff in POLICY_CHANGES[change][2]])
    assert project.lint("second") == set()


def test_policies_that_are_not_declared_are_not_looked_at(origin: Project) -> None:
    assert origin.autogenerate(models(security=None), "nothing") == []


def test_a_dropped_table_comes_back_with_everything(project: Project, before: list[str]) -> None:
    empty = models()
    empty.remove(empty.tables["items"])
    assert ("remove_table", "items") in project.autogenerate(empty, "second")
    project.upgrade(empty)
    assert project.autogenerate(empty, "third") == []
    project.downgrade(empty)
    assert _state(project) == before


def _round_trip(project: Project, before: list[str], after: MetaData, expected: list[Diff]) -> None:
    assert sorted(project.autogenerate(after, "second")) == sorted(expected)
    if not expected:
        return
    project.upgrade(after)
    assert project.autogenerate(after, "third") == []
    project.downgrade(after)
    assert _state(project) == before


def _state(project: Project) -> list[str]:
    # A column that was dropped and added is the last one from then on.
    return sorted({line.rstrip(",") for line in dump(project.url)})
