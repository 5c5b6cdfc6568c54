"""Versions of datasets, what is seen in an image, and its thumbnail."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0013"
down_revision = "0012"

_COLUMNS: dict[str, dict[str, sa.types.TypeEngine[Any]]] = {
    "dataset": {
        "first_id": sa.String(length=40),
        "changes": sa.JSON(none_as_null=True).with_variant(
            postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), "postgresql"
        ),
    },
    "image": {
        "thumbnail_sha256": sa.String(length=64),
        "content": sa.String(length=64),
    },
    "upload": {"num_classes": sa.Integer()},
}
_VERSION = "ix_dataset_first_id_version"
_THUMBNAIL = "ix_image_tenant_id_thumbnail_sha256"


def upgrade() -> None:
    for table, columns in _COLUMNS.items():
        for name, kind in columns.items():
            op.add_column(table, sa.Column(name, kind, nullable=True))
    op.create_index(_VERSION, "dataset", ["first_id", "version"], unique=True)
    op.create_index(_THUMBNAIL, "image", ["tenant_id", "thumbnail_sha256"])


def downgrade() -> None:
    op.drop_index(_THUMBNAIL, table_name="image")
    op.drop_index(_VERSION, table_name="dataset")
    for table, columns in _COLUMNS.items():
        with op.batch_alter_table(table, schema=None) as batch_op:
            for name in columns:
                batch_op.drop_column(name)
