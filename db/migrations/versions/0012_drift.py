"""Windows of predict traffic."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy import Text
from sqlalchemy.dialects import postgresql

from db.row_security import protect

revision = "0012"
down_revision = "0011"

_JSON = sa.JSON(none_as_null=True).with_variant(
    postgresql.JSONB(none_as_null=True, astext_type=Text()), "postgresql"
)
_OPEN = sa.text("closed_at IS NULL")


def upgrade() -> None:
    op.create_table(
        "drift_window",
        sa.Column(
            "seq",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("tenant_id", sa.String(length=40), nullable=False),
        sa.Column("model_id", sa.String(length=40), nullable=False),
        sa.Column("num_images", sa.BigInteger(), nullable=False),
        sa.Column("sums", _JSON, nullable=False),
        sa.Column("counts", _JSON, nullable=False),
        sa.Column("shift", sa.Double(), nullable=True),
        sa.Column("p_value", sa.Double(), nullable=True),
        sa.Column("drifted", sa.Boolean(), nullable=True),
        sa.Column("started_at", sa.Double(), nullable=False),
        sa.Column("closed_at", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(
            ["model_id"], ["model.id"], name=op.f("fk_drift_window_model_id_model")
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenant.id"], name=op.f("fk_drift_window_tenant_id_tenant")
        ),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_drift_window")),
    )
    op.create_index("ix_drift_window_model_id_seq", "drift_window", ["model_id", "seq"])
    op.create_index(
        "uq_drift_window_open",
        "drift_window",
        ["model_id"],
        unique=True,
        sqlite_where=_OPEN,
        postgresql_where=_OPEN,
    )
    protect("drift_window")


def downgrade() -> None:
    op.drop_table("drift_window")
