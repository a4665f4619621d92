"""How env.py turns the plugin on."""

from __future__ import annotations

import warnings
from functools import cache
from typing import Any

from alembic.runtime.plugins import Plugin

from .. import operations as safe
from . import comparators, operations, safe_operations
from .chain import write_safely
from .types import render_item

PLUGIN = "memstore.migrations.autogenerate"


def setup() -> None:
    """Make the plugin known to Alembic, and `op.*` what it writes. Call it in env.py, as often as you like.

    Nothing else registers it: an entry point would make `import alembic` fail on Alembic 1.18.0 to 1.20.0.
    """
    # Alembic's own comparison, which goes first, cannot see past an operator class in an expression.
    warnings.filterwarnings("ignore", r"Expression #\d+ .* detected to include an operator clause", UserWarning)
    _register()


@cache
def _register() -> None:
    safe.register()
    operations.register()
    safe_operations.register()
    Plugin.setup_plugin_from_module(comparators, PLUGIN)


def options() -> dict[str, Any]:
    """Return what `context.configure` needs to use the plugin, beside Alembic's own.

    A project with its own `render_item`, `process_revision_directives` or `autogenerate_plugins` passes them instead,
    has the first call `autogenerate.render_item`, the second `autogenerate.write_safely`, and the third name
    `autogenerate.PLUGIN`.
    """
    setup()
    return {
        "autogenerate_plugins": ["alembic.autogenerate.*", PLUGIN],
        "render_item": render_item,
        "process_revision_directives": write_safely,
    }
