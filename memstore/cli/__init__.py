"""The command `memstore`. No logic of its own: it reads arguments, calls the library and prints."""

from __future__ import annotations

import sys

from ..errors import MemstoreError, MissingPackageError


def main() -> None:
    """Run the command. Exits 0 when it did what was asked, 2 on wrong arguments, 1 on anything else that went wrong."""
    try:
        try:
            import rich as _rich  # noqa: F401
            import typer as _typer  # noqa: F401
        except ImportError as error:
            raise MissingPackageError("the command memstore", "cli") from error
        from .app import app

        app()
    except MemstoreError as error:
        sys.stderr.write(f"memstore: {error}\n")
        sys.exit(1)
    except Exception as error:
        from .refusal import refusal  # the driver is not imported to print a version

        said = refusal(error)
        if said is None:
            raise
        sys.stderr.write(f"memstore: the database refused it: {said}. Check the server's log\n")
        sys.exit(1)
