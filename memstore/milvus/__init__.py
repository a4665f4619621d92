"""The mirror of memories in Milvus. `import memstore.milvus` does not import pymilvus; opening a connection does."""

from .client import Milvus, open_milvus
from .engine import Capabilities, Engine
from .settings import MilvusSettings, VectorIndexChoice

__all__ = [
    "Capabilities",
    "Engine",
    "Milvus",
    "MilvusSettings",
    "VectorIndexChoice",
    "open_milvus",
]
