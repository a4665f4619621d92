from __future__ import annotations

from hashlib import sha256

from tests.models.constraints.common import (
    DOCUMENT,
    NEW,
    NOBODY,
    OTHER_DOCUMENT,
    OTHER_TENANT,
    TENANT,
    TWIN,
    Row,
    sha256_of,
)

HANDBOOK, THEIR_HANDBOOK = "https://acme.test/handbook", "https://initech.test/handbook"

# 2048 bytes that do not compress: so much must fit into the unique index.
LONGEST_URI = "".join(sha256(bytes([number])).hexdigest() for number in range(32))

PARENTS: list[tuple[str, Row]] = [
    ("documents", {"tenant_id": TENANT, "id": DOCUMENT, "title": "Handbook", "source_uri": HANDBOOK}),
    ("documents", {"tenant_id": OTHER_TENANT, "id": OTHER_DOCUMENT, "title": "Handbook", "source_uri": THEIR_HANDBOOK}),
    ("documents", {"tenant_id": TENANT, "id": TWIN, "title": "From nowhere"}),
    ("documents", {"tenant_id": OTHER_TENANT, "id": TWIN, "title": "From nowhere"}),
    ("document_chunks", {"tenant_id": TENANT, "document_id": TWIN, "chunk_index": 0, "content": "Be kind."}),
]

VALID: dict[str, Row] = {
    "documents": {"tenant_id": TENANT, "id": NEW, "title": "Menu"},
    "document_chunks": {"tenant_id": TENANT, "document_id": DOCUMENT, "chunk_index": 0, "content": "Be kind."},
}

REFUSED: list[tuple[str, str, Row]] = [
    ("documents", "ck_documents_content_hash_is_sha256", {"content_hash": sha256_of(0)}),
    ("documents", "ck_documents_content_hash_is_sha256", {"content_hash": sha256_of(31)}),
    ("documents", "ck_documents_content_hash_is_sha256", {"content_hash": sha256_of(33)}),
    ("documents", "ck_documents_metadata_is_object", {"metadata": []}),
    ("documents", "ck_documents_source_uri_length", {"source_uri": ""}),
    ("documents", "ck_documents_source_uri_length", {"source_uri": "x" * 2049}),
    ("documents", "ck_documents_source_uri_length", {"source_uri": "é" * 1025}),
    ("documents", "ck_documents_title_not_empty", {"title": ""}),
    ("documents", "fk_documents_tenant_id_tenants", {"tenant_id": NOBODY}),
    ("documents", "pk_documents", {"id": DOCUMENT}),
    ("documents", "uq_documents_tenant_id_source_uri", {"source_uri": HANDBOOK}),
    ("document_chunks", "ck_document_chunks_chunk_index_not_negative", {"chunk_index": -1}),
    ("document_chunks", "ck_document_chunks_token_count_not_negative", {"token_count": -1}),
    ("document_chunks", "fk_document_chunks_tenant_id_document_id_documents", {"document_id": NOBODY}),
    ("document_chunks", "fk_document_chunks_tenant_id_document_id_documents", {"document_id": OTHER_DOCUMENT}),
    ("document_chunks", "fk_document_chunks_tenant_id_tenants", {"tenant_id": NOBODY}),
    ("document_chunks", "pk_document_chunks", {"document_id": TWIN}),
]

ACCEPTED: dict[str, list[Row]] = {
    "documents": [
        {"content_hash": sha256_of(32)},
        {"content_hash": None},
        {"source_uri": None},
        {"source_uri": "x"},
        {"source_uri": LONGEST_URI},
        {"source_uri": "é" * 1024},
        {"source_uri": HANDBOOK.upper()},
        {"source_uri": THEIR_HANDBOOK},
        {"tenant_id": OTHER_TENANT, "id": DOCUMENT, "source_uri": HANDBOOK},
        {"title": "x"},
        {"title": "Handbook"},
    ],
    "document_chunks": [
        {"document_id": TWIN, "chunk_index": 1},
        {"tenant_id": OTHER_TENANT, "document_id": TWIN},
        {"token_count": 0},
        {"token_count": None},
    ],
}
