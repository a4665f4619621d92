"""Seal the revisions that are to be released: `python -m memstore.migrations.sums`, run by `make seal`.

With --check, run by `make build`, see that all are.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from ...errors import MemstoreError
from ..scripts import script_location
from .seal import check_sealed, seal

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] = ()) -> None:
    """Append what is not sealed yet to versions.sum, and say what that was. Exits 1 where a sealed line is in doubt.

    With --check nothing is written, and it exits 1 where anything is not sealed as it is.
    """
    parser = argparse.ArgumentParser(prog="python -m memstore.migrations.sums", description=main.__doc__)
    parser.add_argument("--check", action="store_true", help="only see that all revisions are sealed as they are")
    check = parser.parse_args(arguments).check
    try:
        if check:
            check_sealed(script_location())
            return
        new = seal(script_location())
    except MemstoreError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(1)
    sys.stdout.write(f"{len(new)} revisions sealed: {', '.join(new) or 'none'}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
