"""Tables of evaluation. All but the log, the known instances and the notes can be rebuilt from git."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, LargeBinary, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from llmos.core import clock
from llmos.features.accounts.models import User
from llmos.features.repos.models import Repo
from llmos.infra.db.base import Base, IntPk, Sha256Hex

# How much stands behind a value, in rising order.
COMMUNITY, SELF_REPORTED, SIGNED, REPRODUCED = range(4)


class Benchmark(Base):
    """A task of a data set that has an `eval.yaml`, as of the head of its default branch.

    `metric` is the one the board ranks by; `chance` is what guessing scores, `ceiling` the best value
    there can be, None where there is none. `model_count` counts models everybody may see; `tokens` is what
    the longest signed evaluation of it has read.
    """

    __tablename__ = "eval_benchmarks"
    __table_args__ = (UniqueConstraint("repo_id", "task_id"),)

    id: Mapped[IntPk]
    repo_id: Mapped[int] = mapped_column(ForeignKey("repos.id", ondelete="CASCADE"))
    task_id: Mapped[str] = mapped_column(String(120))
    position: Mapped[int] = mapped_column(default=0)
    title: Mapped[str] = mapped_column(String(200))
    description: Mapped[str] = mapped_column(Text, default="")
    framework: Mapped[str] = mapped_column(String(40), default="")
    kind: Mapped[str] = mapped_column(String(40), default="", index=True)
    language: Mapped[str] = mapped_column(String(20), default="", index=True)
    split: Mapped[str] = mapped_column(String(120), default="")
    config: Mapped[str] = mapped_column(String(120), default="")
    metric: Mapped[str] = mapped_column(String(80), default="")
    higher_is_better: Mapped[bool] = mapped_column(default=True)
    chance: Mapped[float | None]
    ceiling: Mapped[float | None]
    revision: Mapped[str | None] = mapped_column(String(40))
    model_count: Mapped[int] = mapped_column(default=0)
    tokens: Mapped[int | None]
    updated_at: Mapped[datetime] = mapped_column(default=clock.now)

    repo: Mapped[Repo] = relationship(lazy="joined")


class EvalResult(Base):
    """One value of a model on a task of a data set, in its default branch or in an open pull request.

    `dataset_id` is empty while this instance has no data set called `dataset_key`. `evidence` is one of
    the constants above. `order_value` sorts boards: larger is better. `is_shown`: stands for the model on
    the board of this task. `skill` is (value - chance) / (ceiling - chance). `party` tells who ran it and
    `same_key` what was run: parties of equal keys confirm each other.
    """

    __tablename__ = "eval_results"
    __table_args__ = (
        Index("ix_eval_results_board", "dataset_id", "task_id", "is_shown", "order_value"),
        Index("ix_eval_results_dataset_key", "dataset_key", "task_id"),
        Index("ix_eval_results_repo", "repo_id", "is_shown"),
        Index("ix_eval_results_skill", "is_shown", "dataset_id", "task_id", "repo_id", "skill"),
    )

    id: Mapped[IntPk]
    repo_id: Mapped[int] = mapped_column(ForeignKey("repos.id", ondelete="CASCADE"))
    dataset_id: Mapped[int | None] = mapped_column(ForeignKey("repos.id", ondelete="SET NULL"))
    dataset_key: Mapped[str] = mapped_column(String(200))
    task_id: Mapped[str] = mapped_column(String(120))
    record_id: Mapped[str] = mapped_column(String(32), index=True)
    evidence: Mapped[int] = mapped_column(default=SELF_REPORTED)
    is_shown: Mapped[bool] = mapped_column(default=False)
    is_hidden: Mapped[bool] = mapped_column(default=False)
    order_value: Mapped[float]
    skill: Mapped[float | None]

    metric: Mapped[str] = mapped_column(String(80), default="")
    value: Mapped[float]
    low: Mapped[float | None]
    high: Mapped[float | None]
    n: Mapped[int | None]
    metrics: Mapped[list[Any]] = mapped_column(default=list)
    revision: Mapped[str | None] = mapped_column(String(40))
    dataset_revision: Mapped[str | None] = mapped_column(String(64))

    filename: Mapped[str] = mapped_column(String(400), default="")
    commit_oid: Mapped[str | None] = mapped_column(String(40))
    pull_num: Mapped[int] = mapped_column(default=0)  # 0: in the default branch
    is_in_tree: Mapped[bool] = mapped_column(default=True)
    source_url: Mapped[str] = mapped_column(String(1000), default="")
    source_name: Mapped[str] = mapped_column(String(200), default="")
    notes: Mapped[str] = mapped_column(Text, default="")
    claim: Mapped[str] = mapped_column(String(400), default="")  # its verifyToken
    doubt: Mapped[str] = mapped_column(String(400), default="")  # why the claim does not count

    signer_keyid: Mapped[str] = mapped_column(String(64), default="")
    signer_name: Mapped[str] = mapped_column(String(100), default="")
    party: Mapped[str] = mapped_column(String(100), default="")
    same_key: Mapped[str] = mapped_column(String(64), default="", index=True)
    confirmations: Mapped[int] = mapped_column(default=0)
    job_object_id: Mapped[str] = mapped_column(String(24), default="")
    precision: Mapped[str] = mapped_column(String(20), default="")
    parameters: Mapped[int | None]
    has_open_data: Mapped[bool] = mapped_column(default=False)
    energy_wh: Mapped[float | None]
    wall_s: Mapped[float | None]
    tokens: Mapped[int | None]
    created_at: Mapped[datetime] = mapped_column(default=clock.now)

    repo: Mapped[Repo] = relationship(foreign_keys=[repo_id], lazy="raise")


class LogEntry(Base):
    """A leaf of the append-only log: the envelope is kept whole, so that a record outlives its files."""

    __tablename__ = "eval_log"

    leaf_index: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    record_id: Mapped[str] = mapped_column(String(32), unique=True)
    leaf_hash: Mapped[Sha256Hex]
    payload_sha256: Mapped[Sha256Hex]
    keyid: Mapped[str] = mapped_column(String(64))
    signer_name: Mapped[str] = mapped_column(String(100), default="")  # empty: this instance
    envelope: Mapped[str] = mapped_column(Text)
    repo_id: Mapped[int | None] = mapped_column(ForeignKey("repos.id", ondelete="SET NULL"), index=True)
    job_object_id: Mapped[str] = mapped_column(String(24), default="")
    party: Mapped[str] = mapped_column(String(100), default="")
    bundle_path: Mapped[str] = mapped_column(String(400), default="")
    commit_oid: Mapped[str | None] = mapped_column(String(40))
    created_at: Mapped[datetime] = mapped_column(default=clock.now)


class KnownInstance(Base):
    """Another instance whose signatures an admin trusts."""

    __tablename__ = "eval_instances"

    id: Mapped[IntPk]
    name: Mapped[str] = mapped_column(String(100), unique=True)
    url: Mapped[str] = mapped_column(String(400), default="")
    public_key: Mapped[str] = mapped_column(Text)
    keyid: Mapped[str] = mapped_column(String(64), unique=True)
    added_by_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    added_at: Mapped[datetime] = mapped_column(default=clock.now)


class RecordScores(Base):
    """The main metric of each sample of a record, float32 in order of `row_sha256`, for paired tests.

    Records with equal `rows_sha256` have answered the same samples.
    """

    __tablename__ = "eval_scores"

    record_id: Mapped[str] = mapped_column(String(32), primary_key=True)
    rows_sha256: Mapped[Sha256Hex]
    scores: Mapped[bytes] = mapped_column(LargeBinary)


class Overlap(Base):
    """Items of a benchmark found in a data set: beginnings of their rows' digests, with blanks between."""

    __tablename__ = "eval_overlaps"

    repo_id: Mapped[int] = mapped_column(ForeignKey("repos.id", ondelete="CASCADE"), primary_key=True)
    dataset_key: Mapped[str] = mapped_column(String(200), primary_key=True)
    rows: Mapped[str] = mapped_column(Text, default="")


class CleanScore(Base):
    """A record's main metric without the `items` that were found in its training data.

    `value` is None where none of its items was found, or nothing is left without them.
    """

    __tablename__ = "eval_clean_scores"

    record_id: Mapped[str] = mapped_column(String(32), primary_key=True)
    items: Mapped[int] = mapped_column(default=0)
    value: Mapped[float | None]
    found_in: Mapped[str] = mapped_column(String(400), default="")


class RecordNote(Base):
    """A flag against a score, with its public thread, or a decision of a moderator to hide it."""

    __tablename__ = "eval_notes"

    id: Mapped[IntPk]
    record_id: Mapped[str] = mapped_column(String(32), index=True)
    kind: Mapped[str] = mapped_column(String(10))  # flag | hidden
    thread_num: Mapped[int | None]
    reason: Mapped[str] = mapped_column(Text, default="")
    actor_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    created_at: Mapped[datetime] = mapped_column(default=clock.now)

    actor: Mapped[User | None] = relationship(lazy="joined")


class EvalJob(Base):
    """A job that evaluated: `state` is waiting, signed or refused; `reason` says why it was refused."""

    __tablename__ = "eval_jobs"

    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    state: Mapped[str] = mapped_column(String(10), default="waiting", index=True)
    reason: Mapped[str] = mapped_column(Text, default="")
    record_id: Mapped[str] = mapped_column(String(32), default="")
