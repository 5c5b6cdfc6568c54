"""Quotas of each tenant, and what each used of the devices in a month."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_QUOTAS = {
    "max_queued": sa.Integer(),
    "max_stored_bytes": sa.BigInteger(),
    "max_device_minutes": sa.Integer(),
}


def upgrade() -> None:
    op.create_table(
        "device_use",
        sa.Column("tenant_id", sa.String(length=40), nullable=False),
        sa.Column("month", sa.String(length=7), nullable=False),
        sa.Column("device_class", sa.String(length=20), nullable=False),
        sa.Column("device_seconds", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenant.id"], name=op.f("fk_device_use_tenant_id_tenant")
        ),
        sa.PrimaryKeyConstraint("tenant_id", "month", "device_class", name=op.f("pk_device_use")),
    )
    with op.batch_alter_table("tenant", schema=None) as batch_op:
        for name, kind in _QUOTAS.items():
            batch_op.add_column(sa.Column(name, kind, nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("tenant", schema=None) as batch_op:
        for name in reversed(_QUOTAS):
            batch_op.drop_column(name)
    op.drop_table("device_use")
