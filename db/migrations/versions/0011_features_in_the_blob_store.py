"""Feature packs in the blob store, and the images they hold."""

import sqlalchemy as sa
from alembic import op

from db.row_security import protect

revision = "0011"
down_revision = "0010"

_Sequence = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "feature_pack",
        sa.Column("id", _Sequence, autoincrement=True, nullable=False),
        sa.Column("tenant_id", sa.String(length=40), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("backbone", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("num_images", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("used_at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenant.id"], name=op.f("fk_feature_pack_tenant_id_tenant")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_feature_pack")),
        sa.UniqueConstraint(
            "tenant_id", "key", "name", name=op.f("uq_feature_pack_tenant_id_key_name")
        ),
    )
    op.create_index("ix_feature_pack_tenant_id_sha256", "feature_pack", ["tenant_id", "sha256"])
    op.create_table(
        "feature_image",
        sa.Column("tenant_id", sa.String(length=40), nullable=False),
        sa.Column("image_sha256", sa.String(length=64), nullable=False),
        sa.Column("pack_id", _Sequence, nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenant.id"], name=op.f("fk_feature_image_tenant_id_tenant")
        ),
        sa.ForeignKeyConstraint(
            ["pack_id"], ["feature_pack.id"], name=op.f("fk_feature_image_pack_id_feature_pack")
        ),
        sa.PrimaryKeyConstraint(
            "tenant_id", "image_sha256", "pack_id", name=op.f("pk_feature_image")
        ),
    )
    op.create_index("ix_feature_image_pack_id", "feature_image", ["pack_id"])
    for table in ("feature_pack", "feature_image"):
        protect(table)


def downgrade() -> None:
    op.drop_table("feature_image")
    op.drop_table("feature_pack")
