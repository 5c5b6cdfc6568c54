"""The answers of batches."""

import sqlalchemy as sa
from alembic import op

from db.row_security import protect

revision = "0010"
down_revision = "0009"

_TABLES = ("batch_part", "batch_file")


def upgrade() -> None:
    for table in _TABLES:
        is_part = table == "batch_part"
        seq = [sa.Column("seq", sa.Integer(), nullable=False)] if is_part else []
        op.create_table(
            table,
            sa.Column("job_id", sa.String(length=40), nullable=False),
            *seq,
            sa.Column("tenant_id", sa.String(length=40), nullable=False),
            sa.Column("sha256", sa.String(length=64), nullable=False),
            sa.Column("size", sa.BigInteger(), nullable=False),
            sa.Column("num_rows", sa.Integer(), nullable=False),
            sa.Column("num_errors", sa.Integer(), nullable=False),
            sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f(f"fk_{table}_job_id_job")),
            sa.ForeignKeyConstraint(
                ["tenant_id"], ["tenant.id"], name=op.f(f"fk_{table}_tenant_id_tenant")
            ),
            sa.PrimaryKeyConstraint(
                "job_id", *(["seq"] if is_part else []), name=op.f(f"pk_{table}")
            ),
        )
        protect(table)
    op.create_index("ix_batch_part_tenant_id_sha256", "batch_part", ["tenant_id", "sha256"])


def downgrade() -> None:
    for table in _TABLES:
        op.drop_table(table)
