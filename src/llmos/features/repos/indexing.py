"""Keep the database's picture of each repository equal to the head of its default branch.

Everything written here can be rebuilt from git by `reindex_repo`; nothing else writes it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from sqlalchemy import delete, func, insert, select
from sqlalchemy.orm import Session

from llmos.core import clock
from llmos.core.errors import LlmosError, RevisionNotFound
from llmos.features.repos.cards.memory import inference_bytes
from llmos.features.repos.head_facts import HeadFacts, read_head_facts
from llmos.features.repos.models import Repo, RepoFacts, RepoLfsClaim, RepoLink, RepoTag
from llmos.features.repos.naming import doc_key
from llmos.features.repos.places import git_path
from llmos.infra.git.repository import open_repo
from llmos.infra.git.revisions import resolve
from llmos.infra.runtime import Runtime
from llmos.infra.search.index import index_document, remove_document

log = logging.getLogger(__name__)

SEARCH_TEXT_CHARS = 20_000
# Slot: features above that keep rows made of a head; each is called where its facts are stored.
head_stored: list[Callable[[Session, Repo, HeadFacts], None]] = []


def head_commit(rt: Runtime, repo: Repo) -> str | None:
    """The commit of the default branch now; None in a repository without commits."""
    try:
        return resolve(open_repo(git_path(rt, repo)), "HEAD")
    except RevisionNotFound:
        return None


def index_head(db: Session, rt: Runtime, repo: Repo, *, force: bool = False) -> bool:
    """Bring rows and search index up to the head of the default branch; False if they were already.

    Costs one walk over the tree and a read of the card, the configuration and the headers of new
    weight files. `updated_at` moves only when the head did and this is not a rebuild (`force`).
    """
    commit = head_commit(rt, repo)
    stored = db.get(RepoFacts, repo.id)
    if not force and stored is not None and stored.head_oid == commit == repo.head_oid:
        return False
    facts = read_head_facts(rt, repo.repo_type, git_path(rt, repo), commit, db)
    if not force and repo.head_oid != commit:
        repo.updated_at = clock.now()
    store_facts(db, repo, facts)
    return True


def store_facts(db: Session, repo: Repo, facts: HeadFacts) -> None:
    """Write facts over what the index knew of the repository."""
    repo.head_oid = facts.commit_oid
    repo.pipeline_tag = facts.pipeline_tag
    repo.library_name = facts.library_name
    repo.license = facts.license
    repo.sdk = facts.sdk or repo.sdk
    repo.total_parameters = facts.total_parameters
    repo.inference_bytes = inference_bytes(facts.safetensors, facts.gguf) or None
    repo.main_size_bytes = facts.main_size_bytes
    repo.tags = facts.tags
    _store_row(db, repo, facts)
    _replace_tags(db, repo, facts)
    _replace_links(db, repo, facts)
    db.flush()
    repo.used_storage_bytes = used_storage_bytes(db, repo, facts.siblings)
    refresh_search(db, repo, facts.card_text, facts.card)
    for store in head_stored:
        store(db, repo, facts)


def _store_row(db: Session, repo: Repo, facts: HeadFacts) -> None:
    row = db.get(RepoFacts, repo.id)
    if row is None:
        row = RepoFacts(repo_id=repo.id)
        db.add(row)
    row.head_oid = facts.commit_oid
    row.indexed_at = clock.now()
    row.card, row.card_text = facts.card, facts.card_text
    row.siblings, row.config = facts.siblings, facts.config
    row.safetensors, row.gguf, row.extra = facts.safetensors, facts.gguf, facts.extra


def _replace_tags(db: Session, repo: Repo, facts: HeadFacts) -> None:
    db.execute(delete(RepoTag).where(RepoTag.repo_id == repo.id))
    tags = dict.fromkeys(tag.lower()[:200] for tag in facts.tags)
    if tags:
        db.execute(insert(RepoTag), [{"repo_id": repo.id, "tag": tag} for tag in tags])


def _replace_links(db: Session, repo: Repo, facts: HeadFacts) -> None:
    db.execute(delete(RepoLink).where(RepoLink.repo_id == repo.id))
    links = dict.fromkeys((relation[:40], target[:220]) for relation, target in facts.links)
    if links:
        rows = [{"repo_id": repo.id, "relation": kind, "target_key": target} for kind, target in links]
        db.execute(insert(RepoLink), rows)


def used_storage_bytes(db: Session, repo: Repo, siblings: list[dict[str, Any]]) -> int:
    """Large objects of all revisions, plus the regular files of the head."""
    claimed = db.scalar(
        select(func.coalesce(func.sum(RepoLfsClaim.size_bytes), 0)).where(RepoLfsClaim.repo_id == repo.id)
    )
    regular = sum(int(item["size"]) for item in siblings if "lfs" not in item)
    return int(claimed or 0) + regular


def refresh_search(db: Session, repo: Repo, card_text: str, card: dict[str, Any]) -> None:
    """Write the repository's document; also needed after a move, as its name is the title."""
    title = card.get("pretty_name") or card.get("title")
    heading = title if isinstance(title, str) else ""
    body = "\n".join([heading, " ".join(repo.tags), card_text[:SEARCH_TEXT_CHARS]])
    index_document(db, doc_key(repo), repo.type, repo.repo_name, body)


def forget_search(db: Session, repo: Repo) -> None:
    remove_document(db, doc_key(repo))


def reindex_repo(rt: Runtime, repo_id: int) -> None:
    """Rebuild one repository's facts from git, in a transaction of its own."""
    with rt.database.writing() as db:
        repo = db.get(Repo, repo_id)
        if repo is not None:
            index_head(db, rt, repo, force=True)


def reindex_all(rt: Runtime) -> tuple[int, int]:
    """Rebuild every repository; return how many succeeded and how many could not be read."""
    with rt.database.reading() as db:
        ids = list(db.scalars(select(Repo.id).order_by(Repo.id)))
    failed = 0
    for repo_id in ids:
        try:
            reindex_repo(rt, repo_id)
        except LlmosError as error:
            failed += 1
            log.warning("repository %s was not indexed: %s", repo_id, error.message)
    return len(ids) - failed, failed
