"""The index manager: which vector index is right, and building it while the tables are in use."""

from .decision import Choice, Memory, Volume, choose
from .loading import IndexHandling, LoadedIndex, after_load, before_load
from .manage import build_indexes, drop_indexes, rebuild_indexes
from .plan import IndexAction
from .request import IndexOptions, IndexResult, IndexRun, IndexSelection
from .status import IndexReport, IndexState, IndexStatus, index_status
from .targets import IndexedTable, IndexForm, IndexMethod, IndexTarget

__all__ = [
    "Choice",
    "IndexAction",
    "IndexForm",
    "IndexHandling",
    "IndexMethod",
    "IndexOptions",
    "IndexReport",
    "IndexResult",
    "IndexRun",
    "IndexSelection",
    "IndexState",
    "IndexStatus",
    "IndexTarget",
    "IndexedTable",
    "LoadedIndex",
    "Memory",
    "Volume",
    "after_load",
    "before_load",
    "build_indexes",
    "choose",
    "drop_indexes",
    "index_status",
    "rebuild_indexes",
]
