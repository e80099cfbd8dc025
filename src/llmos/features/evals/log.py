"""The instance's append-only log of signed records: a Merkle tree (RFC 6962) whose leaves are statements."""

from __future__ import annotations

import hashlib
from pathlib import Path

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from llmos.core import clock
from llmos.core.errors import BadRequest
from llmos.features.evals.evidence import read_payload
from llmos.features.evals.instances import own_key
from llmos.features.evals.models import LogEntry
from llmos.infra.db.locks import lock_name
from llmos.infra.git.caches import LruCache
from llmos.infra.i18n import lazy
from llmos.infra.runtime import Runtime
from llmos.records.bundle import ENVELOPE_FILE, parse_statement, read_bundle, write_log_proof
from llmos.records.envelope import envelope_bytes, list_signers, payload_of, sign_tree_head
from llmos.records.errors import RecordError
from llmos.records.keys import PublicKey
from llmos.records.merkle import consistency_proof, inclusion_proof, leaf_hash, root
from llmos.wire.evaluation import LogProof, TreeHead

# Roots of whole trees: what is appended never changes them.
_roots: LruCache[bytes, bytes] = LruCache(8)


def add_to_log(
    db: Session,
    record_id: str,
    envelope: str,
    signer: PublicKey,
    *,
    signer_name: str = "",
    repo_id: int | None = None,
    job_object_id: str = "",
    party: str = "",
    bundle_path: str = "",
    commit_oid: str | None = None,
) -> LogEntry:
    """Append a record whose signature was checked; the entry it has already, if it is not the first time.

    One that was written by a command, before its files were pushed, learns then where these lie.
    """
    lock_name(db, "evaluation-log")
    known = get_entry(db, record_id)
    if known is not None:
        if known.repo_id is None and repo_id is not None:
            known.repo_id, known.bundle_path, known.commit_oid = repo_id, bundle_path, commit_oid
            db.flush()
        return known
    payload = read_payload(envelope)
    entry = LogEntry(
        leaf_index=count_entries(db),
        record_id=record_id,
        leaf_hash=leaf_hash(payload).hex(),
        payload_sha256=hashlib.sha256(payload).hexdigest(),
        keyid=signer.keyid,
        signer_name=signer_name,
        envelope=envelope,
        repo_id=repo_id,
        job_object_id=job_object_id,
        party=party,
        bundle_path=bundle_path,
        commit_oid=commit_oid,
    )
    db.add(entry)
    db.flush()
    return entry


def log_own_bundle(rt: Runtime, folder: Path) -> LogProof:
    """Write a bundle that this instance has signed into its log, and the proof into the bundle.

    Raises RecordError for a bundle without an envelope of this instance's key.
    """
    key = own_key(rt).public
    envelope = read_bundle(folder).envelope
    if envelope is None or not list_signers(envelope, [key]):
        raise RecordError(f"{folder} holds no {ENVELOPE_FILE} signed by this instance.", file=ENVELOPE_FILE)
    record_id = parse_statement(payload_of(envelope), name=ENVELOPE_FILE).predicate.record_id
    with rt.database.writing() as db:
        add_to_log(db, record_id, envelope_bytes(envelope).decode(), key)
    with rt.database.reading() as db:
        entry = get_entry(db, record_id)
        assert entry is not None
        proof = prove(db, rt, entry)
    write_log_proof(folder, proof)
    return proof


def get_entry(db: Session, record_id: str) -> LogEntry | None:
    return db.scalars(select(LogEntry).where(LogEntry.record_id == record_id)).one_or_none()


def list_logged(db: Session, repo_id: int) -> list[LogEntry]:
    """The records of a model, oldest first."""
    return list(db.scalars(select(LogEntry).where(LogEntry.repo_id == repo_id).order_by(LogEntry.leaf_index)))


def count_entries(db: Session) -> int:
    newest = db.scalar(select(func.max(LogEntry.leaf_index)))
    return 0 if newest is None else newest + 1


def tree_head(db: Session, rt: Runtime) -> TreeHead:
    """The log as it is now, signed."""
    return _head(rt, _leaves(db))


def prove(db: Session, rt: Runtime, entry: LogEntry) -> LogProof:
    """That the entry is in the log as it is now."""
    leaves = _leaves(db)
    head = _head(rt, leaves)
    return LogProof(
        log_id=head.log_id,
        leaf_index=entry.leaf_index,
        tree_size=len(leaves),
        root=head.root,
        proof=[step.hex() for step in inclusion_proof(leaves, entry.leaf_index)],
        tree_head=head,
    )


def prove_growth(db: Session, first: int) -> list[str]:
    """That the tree of the first `first` leaves is the beginning of the present one. Raises BadRequest."""
    leaves = _leaves(db)
    if not 0 <= first <= len(leaves):
        raise BadRequest(lazy("first must be a size this log has had: 0 to %(size)s.", size=len(leaves)))
    return [step.hex() for step in consistency_proof(leaves, first)]


def _leaves(db: Session) -> list[bytes]:
    found = db.scalars(select(LogEntry.leaf_hash).order_by(LogEntry.leaf_index))
    return [bytes.fromhex(leaf) for leaf in found]


def _head(rt: Runtime, leaves: list[bytes]) -> TreeHead:
    key = hashlib.sha256(b"".join(leaves)).digest()
    known = _roots.get(key)
    if known is None:
        known = root(leaves)
        _roots.put(key, known)
    return sign_tree_head(known, len(leaves), clock.now(), own_key(rt))
