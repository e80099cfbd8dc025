"""The people of the tests: ada and grace, the admin, and the organisation `lab` of ada."""

from __future__ import annotations

from sqlalchemy.orm import Session

from llmos.core.ids import new_access_token
from llmos.core.names import name_key
from llmos.features.accounts.models import Membership, Namespace, Organization, User
from llmos.features.auth.models import AccessToken
from llmos.infra.runtime import Runtime
from llmos.infra.security.secrets import hash_secret

PEOPLE = ("ada", "grace", "root-admin")


def add_person(db: Session, name: str, *, is_admin: bool = False) -> User:
    namespace = Namespace(kind="user", name=name, name_key=name_key(name), fullname=name.title())
    db.add(namespace)
    db.flush()
    user = User(
        id=namespace.id, email=f"{name}@example.org", email_key=f"{name}@example.org", is_admin=is_admin
    )
    db.add(user)
    db.flush()
    return user


def add_org(db: Session, name: str, owner: User) -> Organization:
    namespace = Namespace(kind="org", name=name, name_key=name_key(name), fullname=name.title())
    db.add(namespace)
    db.flush()
    organization = Organization(id=namespace.id, created_by_id=owner.id)
    db.add(organization)
    db.flush()
    db.add(Membership(org_id=organization.id, user_id=owner.id, role="admin"))
    return organization


def add_token(db: Session, user: User, *, role: str = "write", name: str = "test") -> str:
    token = new_access_token()
    db.add(
        AccessToken(
            user_id=user.id,
            name=name,
            token_hash=hash_secret(token),
            token_hint=f"hf_…{token[-4:]}",
            role=role,
        )
    )
    return token


def add_people(rt: Runtime) -> dict[str, str]:
    """Create everybody; return each person's write token."""
    tokens: dict[str, str] = {}
    with rt.database.writing() as db:
        for name in PEOPLE:
            user = add_person(db, name, is_admin=name == "root-admin")
            tokens[name] = add_token(db, user)
            if name == "ada":
                add_org(db, "lab", user)
    return tokens
