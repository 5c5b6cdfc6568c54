"""Erasures, and the rows of datasets that are deleted."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy import Text
from sqlalchemy.dialects import postgresql

from db.row_security import protect

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.create_table(
        "erasure",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("tenant_id", sa.String(length=40), nullable=False),
        sa.Column("dataset_id", sa.String(length=40), nullable=False),
        sa.Column("dataset_name", sa.String(length=200), nullable=False),
        sa.Column("models", sa.String(length=10), nullable=False),
        sa.Column("job_id", sa.String(length=40), nullable=False),
        sa.Column("actor", sa.String(length=40), nullable=True),
        sa.Column(
            "deleted",
            sa.JSON(none_as_null=True).with_variant(
                postgresql.JSONB(none_as_null=True, astext_type=Text()), "postgresql"
            ),
            nullable=False,
        ),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("finished_at", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(
            ["dataset_id"], ["dataset.id"], name=op.f("fk_erasure_dataset_id_dataset")
        ),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("fk_erasure_job_id_job")),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenant.id"], name=op.f("fk_erasure_tenant_id_tenant")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_erasure")),
        sa.UniqueConstraint("dataset_id", name=op.f("uq_erasure_dataset_id")),
    )
    op.create_index("ix_erasure_tenant_id_id", "erasure", ["tenant_id", "id"])
    op.create_index("ix_erasure_finished_at", "erasure", ["finished_at"])
    protect("erasure")
    op.add_column("dataset", sa.Column("deleted_at", sa.Double(), nullable=True))


def downgrade() -> None:
    # Not in a batch: SQLite would build `dataset` anew, which other tables refer to.
    op.drop_column("dataset", "deleted_at")
    op.drop_table("erasure")
