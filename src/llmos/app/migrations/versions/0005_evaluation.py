"""Benchmarks, results and the transparency log."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "eval_scores",
        sa.Column("record_id", sa.String(length=32), nullable=False),
        sa.Column("rows_sha256", sa.String(length=64), nullable=False),
        sa.Column("scores", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("record_id", name=op.f("pk_eval_scores")),
    )
    op.create_table(
        "eval_instances",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("url", sa.String(length=400), nullable=False),
        sa.Column("public_key", sa.Text(), nullable=False),
        sa.Column("keyid", sa.String(length=64), nullable=False),
        sa.Column("added_by_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("added_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["added_by_id"], ["users.id"], name=op.f("fk_eval_instances_added_by_id"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_eval_instances")),
        sa.UniqueConstraint("keyid", name=op.f("uq_eval_instances_keyid")),
        sa.UniqueConstraint("name", name=op.f("uq_eval_instances_name")),
    )
    op.create_table(
        "eval_notes",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("record_id", sa.String(length=32), nullable=False),
        sa.Column("kind", sa.String(length=10), nullable=False),
        sa.Column("thread_num", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("actor_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["actor_id"], ["users.id"], name=op.f("fk_eval_notes_actor_id"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_eval_notes")),
    )
    with op.batch_alter_table("eval_notes", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_eval_notes_record_id"), ["record_id"], unique=False)

    op.create_table(
        "eval_benchmarks",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("repo_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("task_id", sa.String(length=120), nullable=False),
        sa.Column("position", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("title", sa.String(length=200), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("framework", sa.String(length=40), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("language", sa.String(length=20), nullable=False),
        sa.Column("split", sa.String(length=120), nullable=False),
        sa.Column("config", sa.String(length=120), nullable=False),
        sa.Column("metric", sa.String(length=80), nullable=False),
        sa.Column("higher_is_better", sa.Boolean(), nullable=False),
        sa.Column("chance", sa.Double(), nullable=True),
        sa.Column("ceiling", sa.Double(), nullable=True),
        sa.Column("revision", sa.String(length=40), nullable=True),
        sa.Column("model_count", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("tokens", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["repo_id"], ["repos.id"], name=op.f("fk_eval_benchmarks_repo_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_eval_benchmarks")),
        sa.UniqueConstraint("repo_id", "task_id", name=op.f("uq_eval_benchmarks_repo_id_task_id")),
    )
    with op.batch_alter_table("eval_benchmarks", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_eval_benchmarks_kind"), ["kind"], unique=False)
        batch_op.create_index(batch_op.f("ix_eval_benchmarks_language"), ["language"], unique=False)

    op.create_table(
        "eval_log",
        sa.Column(
            "leaf_index",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=False,
            nullable=False,
        ),
        sa.Column("record_id", sa.String(length=32), nullable=False),
        sa.Column("leaf_hash", sa.String(length=64), nullable=False),
        sa.Column("payload_sha256", sa.String(length=64), nullable=False),
        sa.Column("keyid", sa.String(length=64), nullable=False),
        sa.Column("signer_name", sa.String(length=100), nullable=False),
        sa.Column("envelope", sa.Text(), nullable=False),
        sa.Column("repo_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("job_object_id", sa.String(length=24), nullable=False),
        sa.Column("party", sa.String(length=100), nullable=False),
        sa.Column("bundle_path", sa.String(length=400), nullable=False),
        sa.Column("commit_oid", sa.String(length=40), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["repo_id"], ["repos.id"], name=op.f("fk_eval_log_repo_id"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("leaf_index", name=op.f("pk_eval_log")),
        sa.UniqueConstraint("record_id", name=op.f("uq_eval_log_record_id")),
    )
    with op.batch_alter_table("eval_log", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_eval_log_repo_id"), ["repo_id"], unique=False)

    op.create_table(
        "eval_results",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("repo_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("dataset_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("dataset_key", sa.String(length=200), nullable=False),
        sa.Column("task_id", sa.String(length=120), nullable=False),
        sa.Column("record_id", sa.String(length=32), nullable=False),
        sa.Column("evidence", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("is_shown", sa.Boolean(), nullable=False),
        sa.Column("is_hidden", sa.Boolean(), nullable=False),
        sa.Column("order_value", sa.Double(), nullable=False),
        sa.Column("skill", sa.Double(), nullable=True),
        sa.Column("metric", sa.String(length=80), nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.Column("low", sa.Double(), nullable=True),
        sa.Column("high", sa.Double(), nullable=True),
        sa.Column("n", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column(
            "metrics",
            sa.JSON().with_variant(postgresql.JSONB(astext_type=sa.Text()), "postgresql"),
            nullable=False,
        ),
        sa.Column("revision", sa.String(length=40), nullable=True),
        sa.Column("dataset_revision", sa.String(length=64), nullable=True),
        sa.Column("filename", sa.String(length=400), nullable=False),
        sa.Column("commit_oid", sa.String(length=40), nullable=True),
        sa.Column("pull_num", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("is_in_tree", sa.Boolean(), nullable=False),
        sa.Column("source_url", sa.String(length=1000), nullable=False),
        sa.Column("source_name", sa.String(length=200), nullable=False),
        sa.Column("notes", sa.Text(), nullable=False),
        sa.Column("claim", sa.String(length=400), nullable=False),
        sa.Column("doubt", sa.String(length=400), nullable=False),
        sa.Column("signer_keyid", sa.String(length=64), nullable=False),
        sa.Column("signer_name", sa.String(length=100), nullable=False),
        sa.Column("party", sa.String(length=100), nullable=False),
        sa.Column("same_key", sa.String(length=64), nullable=False),
        sa.Column("confirmations", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("job_object_id", sa.String(length=24), nullable=False),
        sa.Column("precision", sa.String(length=20), nullable=False),
        sa.Column("parameters", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("has_open_data", sa.Boolean(), nullable=False),
        sa.Column("energy_wh", sa.Double(), nullable=True),
        sa.Column("wall_s", sa.Double(), nullable=True),
        sa.Column("tokens", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["dataset_id"], ["repos.id"], name=op.f("fk_eval_results_dataset_id"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["repo_id"], ["repos.id"], name=op.f("fk_eval_results_repo_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_eval_results")),
    )
    with op.batch_alter_table("eval_results", schema=None) as batch_op:
        batch_op.create_index(
            "ix_eval_results_board", ["dataset_id", "task_id", "is_shown", "order_value"], unique=False
        )
        batch_op.create_index("ix_eval_results_dataset_key", ["dataset_key", "task_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_eval_results_record_id"), ["record_id"], unique=False)
        batch_op.create_index("ix_eval_results_repo", ["repo_id", "is_shown"], unique=False)
        batch_op.create_index(batch_op.f("ix_eval_results_same_key"), ["same_key"], unique=False)
        batch_op.create_index(
            "ix_eval_results_skill", ["is_shown", "dataset_id", "task_id", "repo_id", "skill"], unique=False
        )

    op.create_table(
        "eval_jobs",
        sa.Column("job_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("record_id", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.id"], name=op.f("fk_eval_jobs_job_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("job_id", name=op.f("pk_eval_jobs")),
    )
    with op.batch_alter_table("eval_jobs", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_eval_jobs_state"), ["state"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("eval_jobs", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_eval_jobs_state"))

    op.drop_table("eval_jobs")
    with op.batch_alter_table("eval_results", schema=None) as batch_op:
        batch_op.drop_index("ix_eval_results_skill")
        batch_op.drop_index(batch_op.f("ix_eval_results_same_key"))
        batch_op.drop_index("ix_eval_results_repo")
        batch_op.drop_index(batch_op.f("ix_eval_results_record_id"))
        batch_op.drop_index("ix_eval_results_dataset_key")
        batch_op.drop_index("ix_eval_results_board")

    op.drop_table("eval_results")
    with op.batch_alter_table("eval_log", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_eval_log_repo_id"))

    op.drop_table("eval_log")
    with op.batch_alter_table("eval_benchmarks", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_eval_benchmarks_language"))
        batch_op.drop_index(batch_op.f("ix_eval_benchmarks_kind"))

    op.drop_table("eval_benchmarks")
    with op.batch_alter_table("eval_notes", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_eval_notes_record_id"))

    op.drop_table("eval_notes")
    op.drop_table("eval_instances")
    op.drop_table("eval_scores")
