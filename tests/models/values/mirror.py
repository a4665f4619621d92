"""The mirror of memories in Milvus."""

from __future__ import annotations

from memstore import models
from memstore.models import MirrorLedgerEntry, MirrorOutboxEntry, MirrorRejection

from .common import CREATED, MEMORY, MINE, TENANT, UPDATED, Values

VALUES: Values = {
    MirrorOutboxEntry: {"tenant_id": TENANT, "node_id": MEMORY, "enqueued_at": CREATED},
    MirrorRejection: {
        "tenant_id": TENANT,
        "node_id": MEMORY,
        "reason": "the vector is zero",
        "version": 7,
        "rejected_at": UPDATED,
    },
    MirrorLedgerEntry: {
        "collection": "memories_unified",
        "physical": "memories_unified__0001",
        "revision": "0001_unified_memory",
        "checksum": "ab" * 32,
        "event": models.MirrorEvent.ADOPTED,
        "package_version": "1.2.3",
        "recorded_by": "somebody",
        "recorded_at": CREATED,
    },
}

REQUIRED: Values = {
    MirrorOutboxEntry: MINE | {"node_id": "bare"},
    MirrorRejection: MINE | {"node_id": "bare", "reason": "x"},
    MirrorLedgerEntry: {
        "collection": "memories",
        "physical": "memories__0002",
        "revision": "0002",
        "checksum": "cd",
        "event": models.MirrorEvent.BUILDING,
        "package_version": "1",
    },
}
