"""Whose signatures count here: this instance's own, and those of instances an admin has added."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from llmos.core.errors import BadRequest, Conflict, Forbidden, NotFound
from llmos.features.accounts import audit
from llmos.features.accounts.actor import Actor
from llmos.features.evals.models import KnownInstance, LogEntry
from llmos.infra.i18n import lazy
from llmos.infra.runtime import Runtime
from llmos.infra.security.instance_key import load_instance_key
from llmos.records.errors import RecordError
from llmos.records.keys import PrivateKey, PublicKey, load_private_key, load_public_keys

OWN = ""


def list_instances(db: Session) -> list[KnownInstance]:
    return list(db.scalars(select(KnownInstance).order_by(KnownInstance.name)))


def own_key(rt: Runtime) -> PrivateKey:
    """What this instance signs with; made when it is first needed."""
    return load_private_key(load_instance_key(rt.settings))


def trusted_keys(db: Session, own: PublicKey | None) -> dict[PublicKey, str]:
    """Public keys and whose they are: OWN for that of this instance, if it is given."""
    found = {own: OWN} if own is not None else {}
    return found | {load_public_keys(item.public_key.encode())[0]: item.name for item in list_instances(db)}


def is_trusted(db: Session, entry: LogEntry) -> bool:
    """Whether the signer of a logged record counts still."""
    if entry.signer_name == OWN:
        return True
    return db.scalar(select(KnownInstance.id).where(KnownInstance.keyid == entry.keyid)) is not None


def add_instance(db: Session, actor: Actor, name: str, url: str, public_key: str) -> KnownInstance:
    """Trust what another instance signs. Raises Forbidden, BadRequest (name, url, key), Conflict."""
    _check_admin(actor)
    name, url = name.strip(), url.strip()
    if not name or len(name) > 100 or not name.isprintable():
        raise BadRequest(lazy("name: give the instance a name of at most 100 characters."))
    if url and (not url.startswith(("https://", "http://")) or len(url) > 400):
        raise BadRequest(lazy("url must start with https:// or http://"))
    try:
        key = load_public_keys(public_key.encode())[0]
    except RecordError as error:
        raise BadRequest(lazy("public_key must be an Ed25519 public key in PEM.")) from error
    keyid = key.keyid
    taken = (KnownInstance.name == name) | (KnownInstance.keyid == keyid)
    if db.scalar(select(KnownInstance.id).where(taken)) is not None:
        raise Conflict(lazy("There is an instance with this name or this key already."))
    row = KnownInstance(name=name, url=url, public_key=key.to_pem(), keyid=keyid, added_by_id=actor.user_id)
    db.add(row)
    db.flush()
    audit.record(db, actor, "evaluation.trust", name, keyid=keyid)
    return row


def delete_instance(db: Session, actor: Actor, instance_id: int) -> None:
    """Trust it no longer: its records count as self-reported from the next push of their model on."""
    _check_admin(actor)
    row = db.get(KnownInstance, instance_id)
    if row is None:
        raise NotFound(lazy("There is no such instance."))
    audit.record(db, actor, "evaluation.distrust", row.name, keyid=row.keyid)
    db.delete(row)
    db.flush()


def _check_admin(actor: Actor) -> None:
    if not actor.is_admin:
        raise Forbidden(lazy("Only admins of this instance decide whose signatures count."))
