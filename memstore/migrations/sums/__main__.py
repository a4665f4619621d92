"""Seal the revisions that are to be released: `python -m memstore.migrations.sums`, run by `make seal`."""

from __future__ import annotations

import sys

from ...errors import MemstoreError
from ..scripts import script_location
from .seal import seal


def main() -> None:
    """Append what is not sealed yet to versions.sum, and say what that was. Exits 1 where a sealed line is in doubt."""
    try:
        new = seal(script_location())
    except MemstoreError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(1)
    sys.stdout.write(f"{len(new)} revisions sealed: {', '.join(new) or 'none'}\n")


if __name__ == "__main__":
    main()
