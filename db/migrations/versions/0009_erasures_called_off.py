"""Erasures that were called off: any number of a dataset, beside one other at most."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

_STANDING = sa.text("cancelled_at IS NULL")


def upgrade() -> None:
    with op.batch_alter_table("erasure") as batch_op:
        batch_op.add_column(sa.Column("cancelled_at", sa.Double(), nullable=True))
        batch_op.drop_constraint("uq_erasure_dataset_id", type_="unique")
    op.create_index(
        "uq_erasure_dataset_id",
        "erasure",
        ["dataset_id"],
        unique=True,
        sqlite_where=_STANDING,
        postgresql_where=_STANDING,
    )


def downgrade() -> None:
    op.drop_index("uq_erasure_dataset_id", "erasure")
    op.execute("DELETE FROM erasure WHERE cancelled_at IS NOT NULL")
    with op.batch_alter_table("erasure") as batch_op:
        batch_op.create_unique_constraint("uq_erasure_dataset_id", ["dataset_id"])
        batch_op.drop_column("cancelled_at")
