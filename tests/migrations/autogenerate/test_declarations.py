from __future__ import annotations

from collections.abc import Callable

import pytest

from memstore.migrations.autogenerate import Policy, row_level_security


@pytest.mark.parametrize(
    ("declare", "said"),
    [
        (
            lambda: Policy("mine", "true", roles=("public", "pg_monitor")),
            "'mine' is for public, .* and for pg_monitor;",
        ),
        (lambda: Policy("mine", "true", roles=("a", "PUBLIC", "b")), "and for a, b;"),
        (lambda: Policy("mine", "true", roles=("CURRENT_USER",)), "is for CURRENT_USER: .*Name the role"),
        (lambda: Policy("mine", "true", roles=("a", "session_user")), "is for session_user"),
        (lambda: Policy("mine", "true", roles=("current_role",)), "is for current_role"),
        (lambda: Policy("mine", "true", roles="public"), r"roles 'public', .*roles=\('public',\)"),  # type: ignore[arg-type]
        (lambda: Policy("mine", "true", roles=()), "a tuple of names is needed"),
        (lambda: Policy("mine", "true", command="MERGE"), "for 'MERGE', one of these is needed: ALL, SELECT"),
        (lambda: row_level_security(Policy("a"), Policy("b"), Policy("a")), "declared twice: a. Rename"),
    ],
)
def test_a_declaration_that_the_server_would_not_keep_is_refused(declare: Callable[[], object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        declare()


def test_a_declaration_is_spelt_as_the_server_keeps_it() -> None:
    assert Policy("mine", roles=("PUBLIC",), command="select") == Policy("mine", roles=("public",), command="SELECT")
    assert Policy("mine", roles=("b", "a", "b")).roles == ("b", "a")
