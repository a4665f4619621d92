"""What the revisions of a project name, so that nothing which they made is taken for somebody else's."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from alembic.script import Script

if TYPE_CHECKING:
    from alembic.autogenerate.api import AutogenContext

_texts: WeakKeyDictionary[AutogenContext, str] = WeakKeyDictionary()


def is_named_in_revisions(context: AutogenContext, name: str) -> bool:
    """Tell whether the text of a revision names an object; never where there is no script directory at hand."""
    if context not in _texts:
        _texts[context] = _read(context)
    return re.search(rf"(?<!\w){re.escape(name)}(?!\w)", _texts[context]) is not None


def _read(context: AutogenContext) -> str:
    environment = context.migration_context.environment_context
    if environment is None:
        return ""
    scripts = (each for each in environment.script.walk_revisions() if isinstance(each, Script))
    return "\n".join(Path(script.path).read_text(encoding="utf-8") for script in scripts)
