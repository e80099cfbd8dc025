"""Tables of repositories. Everything derived from git content can be rebuilt by `llmos reindex`."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from llmos.core import clock
from llmos.core.ids import new_object_id
from llmos.core.repo_types import RepoType
from llmos.features.accounts.models import Namespace, User
from llmos.infra.db.base import Base, IntPk, Sha256Hex


class Repo(Base):
    """A repository. Its bare git folder is named by `object_id`, so a move touches rows only.

    `head_oid` repeats the commit of the default branch as of the last index run; git is the truth.
    """

    __tablename__ = "repos"
    __table_args__ = (
        UniqueConstraint("type", "namespace_id", "name_key"),
        Index("ix_repos_type_updated", "type", "updated_at", "id"),
        Index("ix_repos_type_downloads", "type", "downloads", "id"),
        Index("ix_repos_type_likes", "type", "likes", "id"),
        Index("ix_repos_type_trending", "type", "trending_score", "id"),
        Index("ix_repos_type_created", "type", "created_at", "id"),
    )

    id: Mapped[IntPk]
    object_id: Mapped[str] = mapped_column(String(24), default=new_object_id, unique=True)
    type: Mapped[str] = mapped_column(String(8))
    namespace_id: Mapped[int] = mapped_column(ForeignKey("namespaces.id"), index=True)
    name: Mapped[str] = mapped_column(String(96))
    name_key: Mapped[str] = mapped_column(String(96))
    visibility: Mapped[str] = mapped_column(String(10), default="public")  # public|private|protected
    gated: Mapped[str] = mapped_column(String(8), default="")  # ""|auto|manual
    disabled: Mapped[bool] = mapped_column(default=False)
    created_by_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    created_at: Mapped[datetime] = mapped_column(default=clock.now)
    updated_at: Mapped[datetime] = mapped_column(default=clock.now)
    head_oid: Mapped[str | None] = mapped_column(String(40))
    next_thread_num: Mapped[int] = mapped_column(default=1)

    downloads: Mapped[int] = mapped_column(default=0)  # last 30 days
    downloads_all_time: Mapped[int] = mapped_column(default=0)
    likes: Mapped[int] = mapped_column(default=0)
    trending_score: Mapped[float] = mapped_column(default=0.0)

    pipeline_tag: Mapped[str | None] = mapped_column(String(80), index=True)
    library_name: Mapped[str | None] = mapped_column(String(80), index=True)
    license: Mapped[str | None] = mapped_column(String(80))
    sdk: Mapped[str | None] = mapped_column(String(20))
    total_parameters: Mapped[int | None]
    inference_bytes: Mapped[int | None]  # memory to run it as stored; None where nobody can tell
    main_size_bytes: Mapped[int] = mapped_column(default=0)
    used_storage_bytes: Mapped[int] = mapped_column(default=0)
    tags: Mapped[list[str]] = mapped_column(default=list)

    namespace: Mapped[Namespace] = relationship(lazy="joined")

    @property
    def repo_name(self) -> str:
        return f"{self.namespace.name}/{self.name}"

    @property
    def repo_type(self) -> RepoType:
        return RepoType(self.type)

    @property
    def is_private(self) -> bool:
        return self.visibility == "private"

    @property
    def key(self) -> str:
        """`type:namespace/name` in lower case, as scopes of tokens name it."""
        return f"{self.type}:{self.repo_name}".lower()


class RepoFacts(Base):
    """What the default branch's files say; rebuilt after every push, never edited."""

    __tablename__ = "repo_facts"

    repo_id: Mapped[int] = mapped_column(ForeignKey("repos.id", ondelete="CASCADE"), primary_key=True)
    head_oid: Mapped[str | None] = mapped_column(String(40))
    indexed_at: Mapped[datetime] = mapped_column(default=clock.now)
    card: Mapped[dict[str, Any]] = mapped_column(default=dict)
    card_text: Mapped[str] = mapped_column(default="")
    siblings: Mapped[list[Any]] = mapped_column(default=list)  # [{"rfilename", "size", "blobId", "lfs"?}]
    config: Mapped[dict[str, Any]] = mapped_column(default=dict)
    safetensors: Mapped[dict[str, Any]] = mapped_column(default=dict)
    gguf: Mapped[dict[str, Any]] = mapped_column(default=dict)
    extra: Mapped[dict[str, Any]] = mapped_column(default=dict)  # model_index, eval_results, …


class RepoTag(Base):
    """One row per tag, for filters: all tags of `Repo.tags`, in lower case."""

    __tablename__ = "repo_tags"
    __table_args__ = (Index("ix_repo_tags_tag", "tag", "repo_id"),)

    repo_id: Mapped[int] = mapped_column(ForeignKey("repos.id", ondelete="CASCADE"), primary_key=True)
    tag: Mapped[str] = mapped_column(String(200), primary_key=True)


class RepoLink(Base):
    """An edge of the lineage graph: `relation` is base_model:<kind>, dataset, model or space_*."""

    __tablename__ = "repo_links"
    __table_args__ = (Index("ix_repo_links_target", "target_key", "relation"),)

    repo_id: Mapped[int] = mapped_column(ForeignKey("repos.id", ondelete="CASCADE"), primary_key=True)
    relation: Mapped[str] = mapped_column(String(40), primary_key=True)
    target_key: Mapped[str] = mapped_column(String(220), primary_key=True)  # type:ns/name, lower case


class RepoAlias(Base):
    """An old name of a moved repository; gives way when a new repository takes the name."""

    __tablename__ = "repo_aliases"

    type: Mapped[str] = mapped_column(String(8), primary_key=True)
    name_key: Mapped[str] = mapped_column(String(200), primary_key=True)  # "ns/name", lower case
    repo_id: Mapped[int] = mapped_column(ForeignKey("repos.id", ondelete="CASCADE"), index=True)
    created_at: Mapped[datetime] = mapped_column(default=clock.now)


class RepoLfsClaim(Base):
    """A repository may use this large object: proved by upload, so nobody claims bytes they never had.

    `xet_hash` is set when the bytes live in the Xet store rather than as one LFS object.
    """

    __tablename__ = "repo_lfs_claims"
    __table_args__ = (
        Index("ix_repo_lfs_claims_oid", "oid"),
        Index("ix_repo_lfs_claims_xet_hash", "xet_hash"),
    )

    repo_id: Mapped[int] = mapped_column(ForeignKey("repos.id", ondelete="CASCADE"), primary_key=True)
    oid: Mapped[Sha256Hex] = mapped_column(primary_key=True)
    size_bytes: Mapped[int]
    xet_hash: Mapped[str | None] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(default=clock.now)
    used_at: Mapped[datetime | None]  # when a commit or push first named it; until then it may expire


class RemovedLfsFile(Base):
    """A large object its owner took out of a repository, so that it can be brought back for a while."""

    __tablename__ = "removed_lfs_files"
    __table_args__ = (Index("ix_removed_lfs_files_until", "restorable_until"),)

    repo_id: Mapped[int] = mapped_column(ForeignKey("repos.id", ondelete="CASCADE"), primary_key=True)
    oid: Mapped[Sha256Hex] = mapped_column(primary_key=True)
    size_bytes: Mapped[int]
    xet_hash: Mapped[str | None] = mapped_column(String(64))
    path: Mapped[str] = mapped_column(String(4096))
    removed_by_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    removed_at: Mapped[datetime] = mapped_column(default=clock.now)
    restorable_until: Mapped[datetime]


class RepoLike(Base):
    __tablename__ = "repo_likes"

    repo_id: Mapped[int] = mapped_column(ForeignKey("repos.id", ondelete="CASCADE"), primary_key=True)
    user_id: Mapped[int] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), primary_key=True, index=True
    )
    created_at: Mapped[datetime] = mapped_column(default=clock.now)

    user: Mapped[User] = relationship(lazy="joined")
    repo: Mapped[Repo] = relationship(lazy="joined")


class AccessRequest(Base):
    """A person's request to a gated repository: `status` is pending, accepted or rejected."""

    __tablename__ = "access_requests"
    __table_args__ = (UniqueConstraint("repo_id", "user_id"),)

    id: Mapped[IntPk]
    object_id: Mapped[str] = mapped_column(String(24), default=new_object_id, unique=True)
    repo_id: Mapped[int] = mapped_column(ForeignKey("repos.id", ondelete="CASCADE"))
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    status: Mapped[str] = mapped_column(String(10))
    fields: Mapped[dict[str, Any]] = mapped_column(default=dict)
    granted_by_owner: Mapped[bool] = mapped_column(default=False)
    rejection_reason: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(default=clock.now)
    handled_at: Mapped[datetime | None]
    handled_by_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))

    user: Mapped[User] = relationship(foreign_keys=[user_id], lazy="joined")


class BranchRule(Base):
    """A protected branch pattern (fnmatch): no forced push and no deletion. Default branches always are."""

    __tablename__ = "branch_rules"

    repo_id: Mapped[int] = mapped_column(ForeignKey("repos.id", ondelete="CASCADE"), primary_key=True)
    pattern: Mapped[str] = mapped_column(String(250), primary_key=True)


class PullRef(Base):
    """Who opened `refs/pr/<num>` and on what: its author may add commits to it."""

    __tablename__ = "pull_refs"

    repo_id: Mapped[int] = mapped_column(ForeignKey("repos.id", ondelete="CASCADE"), primary_key=True)
    num: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    author_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    base_ref: Mapped[str] = mapped_column(String(250))
    base_oid: Mapped[str | None] = mapped_column(String(40))
    created_at: Mapped[datetime] = mapped_column(default=clock.now)


class LfsLock(Base):
    __tablename__ = "lfs_locks"
    __table_args__ = (UniqueConstraint("repo_id", "path"),)

    id: Mapped[IntPk]
    repo_id: Mapped[int] = mapped_column(ForeignKey("repos.id", ondelete="CASCADE"))
    path: Mapped[str] = mapped_column(String(4096))
    ref: Mapped[str | None] = mapped_column(String(250))
    owner_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    locked_at: Mapped[datetime] = mapped_column(default=clock.now)

    owner: Mapped[User] = relationship(lazy="joined")


class DownloadDay(Base):
    """Downloads of a repository on one day (UTC)."""

    __tablename__ = "download_days"

    repo_id: Mapped[int] = mapped_column(ForeignKey("repos.id", ondelete="CASCADE"), primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    count: Mapped[int] = mapped_column(default=0)


class DeletedRepo(Base):
    """A deleted repository's git folder, kept until `purge_after` so that a mistake can be undone."""

    __tablename__ = "deleted_repos"

    id: Mapped[IntPk]
    object_id: Mapped[str] = mapped_column(String(24), unique=True)
    type: Mapped[str] = mapped_column(String(8))
    repo_name: Mapped[str] = mapped_column(String(200))
    namespace_id: Mapped[int]
    deleted_by_id: Mapped[int | None]
    deleted_at: Mapped[datetime] = mapped_column(default=clock.now)
    purge_after: Mapped[datetime]
    snapshot: Mapped[dict[str, Any]] = mapped_column(default=dict)
