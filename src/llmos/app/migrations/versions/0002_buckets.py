"""Buckets: storage without history."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def _id() -> sa.types.TypeEngine[int]:
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "buckets",
        sa.Column("id", _id(), autoincrement=True, nullable=False),
        sa.Column("object_id", sa.String(length=24), nullable=False),
        sa.Column("namespace_id", _id(), nullable=False),
        sa.Column("name", sa.String(length=96), nullable=False),
        sa.Column("name_key", sa.String(length=96), nullable=False),
        sa.Column("visibility", sa.String(length=10), nullable=False),
        sa.Column("created_by_id", _id(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("file_count", _id(), nullable=False),
        sa.Column("size_bytes", _id(), nullable=False),
        sa.ForeignKeyConstraint(
            ["created_by_id"], ["users.id"], name=op.f("fk_buckets_created_by_id"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(["namespace_id"], ["namespaces.id"], name=op.f("fk_buckets_namespace_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_buckets")),
        sa.UniqueConstraint("namespace_id", "name_key", name=op.f("uq_buckets_namespace_id_name_key")),
        sa.UniqueConstraint("object_id", name=op.f("uq_buckets_object_id")),
    )
    op.create_table(
        "bucket_files",
        sa.Column("bucket_id", _id(), nullable=False),
        sa.Column(
            "path",
            sa.String(length=1024).with_variant(sa.String(length=1024, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column("xet_hash", sa.String(length=64), nullable=False),
        sa.Column("size_bytes", _id(), nullable=False),
        sa.Column("mtime", sa.DateTime(timezone=True), nullable=True),
        sa.Column("content_type", sa.String(length=200), nullable=True),
        sa.Column("uploaded_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["bucket_id"], ["buckets.id"], name=op.f("fk_bucket_files_bucket_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["xet_hash"], ["xet_files.file_hash"], name=op.f("fk_bucket_files_xet_hash")),
        sa.PrimaryKeyConstraint("bucket_id", "path", name=op.f("pk_bucket_files")),
    )
    op.create_index("ix_bucket_files_xet_hash", "bucket_files", ["xet_hash"], unique=False)
    op.create_table(
        "bucket_uploads",
        sa.Column("bucket_id", _id(), nullable=False),
        sa.Column("xet_hash", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["bucket_id"], ["buckets.id"], name=op.f("fk_bucket_uploads_bucket_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["xet_hash"],
            ["xet_files.file_hash"],
            name=op.f("fk_bucket_uploads_xet_hash"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("bucket_id", "xet_hash", name=op.f("pk_bucket_uploads")),
    )
    op.create_index("ix_bucket_uploads_xet_hash", "bucket_uploads", ["xet_hash"], unique=False)


def downgrade() -> None:
    op.drop_table("bucket_uploads")
    op.drop_table("bucket_files")
    op.drop_table("buckets")
