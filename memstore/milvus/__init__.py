"""The mirror of memories in Milvus. `import memstore.milvus` does not import pymilvus; opening a connection does."""

from .client import Milvus, open_milvus
from .comparing import Difference, Problem, Verification
from .engine import Capabilities, Engine
from .following import Enabled, disable_mirror, enable_mirror
from .inspecting import CollectionStatus, MirrorStatus, status, verify
from .moving import Moved, MoveProgress, move, plan
from .outbox import Lag
from .pruning import Pruned, prune
from .relay import Synced, SyncOptions, sync
from .revisions import Chain, MilvusRevision, load_chain
from .scope import MilvusScope, MirrorHit
from .settings import MilvusSettings, VectorIndexChoice
from .state import BuildState
from .steps import Action, MoveStep
from .store import MilvusStore

__all__ = [
    "Action",
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
    "status",
    "sync",
    "verify",
]
