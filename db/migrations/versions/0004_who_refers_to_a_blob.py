"""Indexes that answer who refers to a blob, for the sweep."""

from alembic import op

revision = "0004"
down_revision = "0003"

_INDEXES = {
    "ix_dataset_tenant_id_source_sha256": ("dataset", ["tenant_id", "source_sha256"]),
    "ix_image_tenant_id_sha256": ("image", ["tenant_id", "sha256"]),
}


def upgrade() -> None:
    for name, (table, columns) in _INDEXES.items():
        op.create_index(name, table, columns)


def downgrade() -> None:
    for name, (table, _) in _INDEXES.items():
        op.drop_index(name, table_name=table)
