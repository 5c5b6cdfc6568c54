"""Row-level security on every tenant's table."""

from db import row_security

revision = "0005"
down_revision = "0004"

_TABLES = (
    *("api_key", "audit_entry", "dataset", "device_use", "fair_share", "file_segment"),
    *("idempotency", "image", "job", "job_checkpoint", "job_event", "job_metric", "job_result"),
    *("model", "model_alias", "model_file"),
)
_COLUMNS = {
    **dict.fromkeys(_TABLES, "tenant_id"),
    **dict.fromkeys(("blob", "blob_chunk"), "scope"),
    "tenant": "id",
}
_BLOBS = ("blob", "blob_chunk")
_QUEUE = ("job", "fair_share", "tenant")


def upgrade() -> None:
    for table, column in _COLUMNS.items():
        row_security.protect(table, column)
    for table in _BLOBS:
        row_security.let_see(table, "shared", "scope = 'shared'")
    for table in _QUEUE:
        row_security.let_see_queue(table)


def downgrade() -> None:
    for table in _QUEUE:
        row_security.drop_policy(table, "queue")
    for table in _BLOBS:
        row_security.drop_policy(table, "shared")
    for table in _COLUMNS:
        row_security.unprotect(table)
