"""`python -m memstore` is the command `memstore`."""

from .cli import main

main()
