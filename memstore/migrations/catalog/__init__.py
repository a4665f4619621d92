"""What is in a schema: read from a database, shipped with memstore, compared."""

from .compare import Change, Difference, Problem, compare_catalogs
from .objects import Catalog, DbObject
from .reader import read_catalog
from .shipped import shipped_catalog

__all__ = [
    "Catalog",
    "Change",
    "DbObject",
    "Difference",
    "Problem",
    "compare_catalogs",
    "read_catalog",
    "shipped_catalog",
]
