"""Groups of commands whose modules are imported when one of their commands is called.

The version, the list of groups and a mistyped command then need typer alone, not SQLAlchemy, Alembic and numpy.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup
from typer.main import get_command


def lazy(where: str, help_text: str) -> typer.Typer:
    """Return what stands for the Typer at `where`, MODULE:NAME in this package, until it is called.

    Its help is `help_text`, before and after; that Typer needs none, and `add_completion=False`.
    """

    class Lazy(TyperGroup):
        # Called for the group that was typed, and for no other; what it returns runs, or completes, the real one.
        def make_context(self, *args: Any, **options: Any) -> Any:
            module, _, name = where.partition(":")
            command = get_command(getattr(import_module(f".{module}", __package__), name))
            command.help = help_text
            return command.make_context(*args, **options)

    return typer.Typer(cls=Lazy, help=help_text)
