"""`${VAR}` and `${VAR:-default}` in the strings of a configuration."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ..errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

_VARIABLE = re.compile(r"\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\}")


def expanded(value: Any, environ: Mapping[str, str], key: str = "") -> Any:
    """Return a value with the variables in all its strings replaced, however deep; `key` names it in an error.

    What a variable holds is not looked into again: a password may hold `${`. One that is empty has its default.

    Raises:
        SettingsError: a variable is not set and has no default.
    """
    if isinstance(value, dict):
        return {name: expanded(item, environ, f"{key}.{name}" if key else str(name)) for name, item in value.items()}
    if isinstance(value, list):
        return [expanded(item, environ, f"{key}[{n}]") for n, item in enumerate(value)]
    if not isinstance(value, str):
        return value

    def replacement(match: re.Match[str]) -> str:
        name, default = match["name"], match["default"]
        found = environ.get(name)
        if default is not None:
            return found or default
        if found is None:
            raise SettingsError(
                f"{key} needs the variable {name}, which is not set. Set it, or write ${{{name}:-default}}"
            )
        return found

    return _VARIABLE.sub(replacement, value)
