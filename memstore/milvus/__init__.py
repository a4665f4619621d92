"""The mirror of memories in Milvus. `import memstore.milvus` does not import pymilvus; opening a connection does."""

from .backup import BackupResult, write_backup
from .client import Milvus, open_milvus
from .comparing import Verification
from .differences import Difference, Problem
from .engine import Capabilities, Engine
from .following import Enabled, disable_mirror, enable_mirror
from .inspecting import CollectionStatus, MirrorStatus, status, verify
from .manifest import BackupProgress
from .moving import Moved, MoveProgress, move, plan
from .outbox import Lag
from .pruning import Pruned, prune
from .relay import Synced, SyncOptions, sync
from .restore import RestoreResult, restore_backup
from .revisions import Chain, MilvusRevision, load_chain
from .scope import MilvusScope, MirrorHit
from .settings import MilvusSettings, VectorIndexChoice
from .state import BuildState
from .steps import Action, MoveStep
from .store import MilvusStore

__all__ = [
    "Action",
    "BackupProgress",
    "BackupResult",
    "BuildState",
    "Capabilities",
    "Chain",
    "CollectionStatus",
    "Difference",
    "Enabled",
    "Engine",
    "Lag",
    "Milvus",
    "MilvusRevision",
    "MilvusScope",
    "MilvusSettings",
    "MilvusStore",
    "MirrorHit",
    "MirrorStatus",
    "MoveProgress",
    "MoveStep",
    "Moved",
    "Problem",
    "Pruned",
    "RestoreResult",
    "SyncOptions",
    "Synced",
    "VectorIndexChoice",
    "Verification",
    "disable_mirror",
    "enable_mirror",
    "load_chain",
    "move",
    "open_milvus",
    "plan",
    "prune",
    "restore_backup",
    "status",
    "sync",
    "verify",
    "write_backup",
]
