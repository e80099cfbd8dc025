"""Who may see and change people and organisations."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from llmos.core.errors import Forbidden, NotFound
from llmos.core.names import name_key
from llmos.features.accounts.actor import Actor
from llmos.features.accounts.models import Namespace, Organization, Role, User
from llmos.infra.i18n import lazy


def get_namespace(db: Session, name: str) -> Namespace | None:
    """The person or organisation of that name, in any case; also a disabled one."""
    if "\0" in name:
        return None
    return db.scalar(select(Namespace).where(Namespace.name_key == name_key(name)))


def access_namespace(db: Session, actor: Actor, name: str) -> Namespace:
    """The person or organisation. Raises NotFound; disabled people exist only for admins."""
    found = get_namespace(db, name)
    if found is None or not can_see(actor, found):
        raise NotFound(lazy("There is nobody called %(name)s here.", name=name[:100]))
    return found


def access_user(db: Session, actor: Actor, name: str) -> User:
    """The person of that name. Raises NotFound."""
    found = get_namespace(db, name)
    if found is None or found.user is None or not can_see(actor, found):
        raise NotFound(lazy("There is no person called %(name)s here.", name=name[:100]))
    return found.user


def access_organization(db: Session, actor: Actor, name: str) -> Organization:
    """The organisation of that name. Raises NotFound."""
    found = get_namespace(db, name)
    if found is None or found.organization is None:
        raise NotFound(lazy("There is no organisation called %(name)s here.", name=name[:100]))
    return found.organization


def can_see(actor: Actor, namespace: Namespace) -> bool:
    return namespace.user is None or namespace.user.disabled_at is None or actor.is_admin


def can_manage(actor: Actor, org: Organization) -> bool:
    """Whether the actor may change the organisation's settings and members."""
    return actor.is_admin or actor.roles.get(org.id) == Role.ADMIN


def check_can_manage(actor: Actor, org: Organization) -> None:
    """Refuse everyone but the organisation's admins and those of the instance."""
    actor.check_account_write()
    if not can_manage(actor, org):
        raise Forbidden(lazy("Only an admin of %(name)s may do this: ask one of them.", name=org.name))


def can_edit(actor: Actor, namespace: Namespace) -> bool:
    """Whether the actor may change the profile of a person or organisation."""
    if namespace.organization is not None:
        return can_manage(actor, namespace.organization)
    return actor.is_admin or actor.user_id == namespace.id


def check_can_edit(actor: Actor, namespace: Namespace) -> None:
    actor.check_account_write()
    if not can_edit(actor, namespace):
        raise Forbidden(lazy("You may change only your own profile."))


def check_is_admin(actor: Actor) -> None:
    """Refuse everyone but the admins of the instance (and its command line)."""
    actor.check_account_write()
    if not actor.is_admin:
        raise Forbidden(lazy("Only an administrator of this site may do this."))
