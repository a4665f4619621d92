from __future__ import annotations

from tests.models.constraints.common import (
    NEW,
    NOBODY,
    OTHER_TENANT,
    TAKEN,
    TENANT,
    Row,
    sha256_of,
)

EMBEDDED: Row = {
    "tenant_id": TENANT,
    "source_type": "document",
    "model": "mini",
    "content_hash": sha256_of(32),
    "embedding": "[1, 0, 0, 0]",
}

PARENTS: list[tuple[str, Row]] = [
    ("embedding_models", {"name": "mini", "dimensions": 4}),
    ("embedding_models", {"name": "thin", "dimensions": 1}),
    ("embedding_models", {"name": "wide", "dimensions": 16_000}),
    ("embedding_models", {"name": "😀" * 100, "dimensions": 4}),
    ("embeddings", EMBEDDED | {"id": TAKEN, "source_id": "1"}),
]

VALID: dict[str, Row] = {
    "embedding_models": {"name": "new", "dimensions": 4},
    "embeddings": EMBEDDED | {"id": NEW, "source_id": "2"},
}

REFUSED: list[tuple[str, str, Row]] = [
    ("embedding_models", "ck_embedding_models_dimensions_range", {"dimensions": 0}),
    ("embedding_models", "ck_embedding_models_dimensions_range", {"dimensions": 16_001}),
    ("embedding_models", "ck_embedding_models_distance", {"distance": "odd"}),
    ("embedding_models", "ck_embedding_models_name_not_empty", {"name": ""}),
    ("embedding_models", "pk_embedding_models", {"name": "mini", "dimensions": 5}),
    ("embedding_models", "uq_embedding_models_name_dimensions", {"name": "mini"}),
    ("embeddings", "ck_embeddings_chunk_index_not_negative", {"chunk_index": -1}),
    ("embeddings", "ck_embeddings_content_hash_is_sha256", {"content_hash": sha256_of(0)}),
    ("embeddings", "ck_embeddings_content_hash_is_sha256", {"content_hash": sha256_of(31)}),
    ("embeddings", "ck_embeddings_content_hash_is_sha256", {"content_hash": sha256_of(33)}),
    ("embeddings", "ck_embeddings_embedding_has_cosine", {"embedding": "[0, 0, 0, 0]"}),
    ("embeddings", "ck_embeddings_embedding_has_cosine", {"embedding": "[1e-30, 1e-30, 0, 0]"}),
    ("embeddings", "ck_embeddings_embedding_has_cosine", {"embedding": "[3e38, 3e38, 0, 0]"}),
    ("embeddings", "ck_embeddings_metadata_is_object", {"metadata": []}),
    ("embeddings", "ck_embeddings_source_id_not_empty", {"source_id": ""}),
    ("embeddings", "ck_embeddings_source_type_not_empty", {"source_type": ""}),
    ("embeddings", "fk_embeddings_model_dimensions_embedding_models", {"embedding": "[1, 0, 0]"}),
    ("embeddings", "fk_embeddings_model_dimensions_embedding_models", {"embedding": "[1, 0, 0, 0, 0]"}),
    ("embeddings", "fk_embeddings_model_dimensions_embedding_models", {"embedding": "[1]"}),
    ("embeddings", "fk_embeddings_model_dimensions_embedding_models", {"model": "thin"}),
    ("embeddings", "fk_embeddings_model_dimensions_embedding_models", {"model": "not registered"}),
    ("embeddings", "fk_embeddings_tenant_id_tenants", {"tenant_id": NOBODY}),
    ("embeddings", "pk_embeddings", {"id": TAKEN}),
    ("embeddings", "uq_embeddings_tenant_id_source_type_source_id_model_chunk_index", {"source_id": "1"}),
]

ACCEPTED: dict[str, list[Row]] = {
    "embedding_models": [
        {"dimensions": 1},
        {"dimensions": 16_000},
        {"name": "x"},
        {"name": "Mini"},
    ],
    "embeddings": [
        {"content": None},
        {"embedding": "[0, 0, 0, 1e-18]"},
        {"embedding": "[-1e18, 0, 0, 0]"},
        {"model": "thin", "embedding": "[1]"},
        {"model": "wide", "embedding": str([1] * 16_000)},
        {"source_id": "x"},
        {"source_type": "x"},
        {"source_id": "1", "chunk_index": 1},
        {"source_id": "1", "model": "thin", "embedding": "[1]"},
        {"source_id": "1", "source_type": "memory"},
        {"source_id": "1", "tenant_id": OTHER_TENANT, "id": TAKEN},
        {"source_type": "😀" * 100, "source_id": "😀" * 255, "model": "😀" * 100},
    ],
}
