"""Tokens, links and who reaches which file."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from weakref import WeakKeyDictionary

import pytest
from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from features.storage.xet.conftest import Made, Store, make_file
from llmos.core import clock
from llmos.features.accounts.models import Membership, Namespace, User
from llmos.features.auth.credentials import actor_for_token
from llmos.features.auth.models import AccessToken
from llmos.features.repos.lifecycle import create_repo
from llmos.infra.runtime import Runtime
from llmos.infra.xet.hashes import to_hex
from llmos.protocols.xet import rights
from llmos.protocols.xet.tokens import GRACE_S, XetAccess

MakeRepo = Callable[..., str]


@pytest.fixture
def repo(make_repo: MakeRepo) -> str:
    return make_repo("ada", "tiny-llm", private=True)


@pytest.fixture
def made(store: Store, repo: str) -> Made:
    """A file that ada has uploaded to her private repository and committed."""
    file = make_file(1)
    assert store.upload(store.token("ada", repo), file)[0] == 200
    store.commit("ada", repo, file)
    return file


def data_link(store: Store, made: Made, token: str, **headers: str) -> str:
    status, body = store.get(f"/v2/reconstructions/{made.file_hash}", token, **headers)
    assert status == 200
    url: str = json.loads(body)["xorbs"][made.xorb_hash][0]["url"]
    return url


@pytest.mark.parametrize("person", ["grace", None])
@pytest.mark.parametrize("kind", ["read", "write"])
def test_tokens_of_a_private_repository(store: Store, repo: str, person: str | None, kind: str) -> None:
    headers = {"Authorization": f"Bearer {store.tokens[person]}"} if person else {}
    answer = store.http.get(f"/api/models/{repo}/xet-{kind}-token/main", headers=headers)
    assert answer.status_code == (404 if person else 401)
    assert answer.headers["X-Error-Code"] == "RepoNotFound"


def test_reader_of_a_public_repository_may_only_bring_pull_requests(
    store: Store, make_repo: MakeRepo
) -> None:
    name = make_repo("ada", "open")
    answer = store.http.get(f"/api/models/{name}/xet-read-token/main")
    assert answer.status_code == 200
    assert store.http.get(f"/api/models/{name}/xet-write-token/main").status_code == 401
    for address in (f"/api/models/{name}/xet-write-token/None?create_pr=1",):
        headers = {"Authorization": f"Bearer {store.tokens['grace']}"}
        assert store.http.get(address, headers=headers).status_code == 200


def test_outsider_does_not_learn_what_the_namespace_has(
    store: Store, made: Made, make_repo: MakeRepo
) -> None:
    token = store.token("grace", make_repo("ada", "open"))
    assert store.post(f"/v1/xorb-grants/default/{made.xorb_hash}", token)[0] == 404


@pytest.mark.parametrize("token", ["", "x", "a.b", "é.é"])
def test_forged_tokens(store: Store, made: Made, token: str) -> None:
    headers = {"Authorization": f"Bearer {token}".encode()}
    for method, path in [("GET", f"/v1/reconstructions/{made.file_hash}"), ("POST", "/v1/shards")]:
        assert store.http.request(method, f"/cas{path}", headers=headers).status_code == 401


def test_expired_token_has_a_grace(store: Store, made: Made, rt: Runtime) -> None:
    payload = XetAccess(1, None).to_payload()
    late = rt.signer.sign("xet token", payload, ttl_s=-GRACE_S + 60)
    assert store.get(f"/v1/reconstructions/{made.file_hash}", late)[0] == 200
    expired = rt.signer.sign("xet token", payload, ttl_s=-GRACE_S - 60)
    assert store.get(f"/v1/reconstructions/{made.file_hash}", expired)[0] == 401


def test_token_of_another_repository(store: Store, made: Made, make_repo: MakeRepo) -> None:
    other = store.token("ada", make_repo("ada", "other"))
    assert store.get(f"/v1/reconstructions/{made.file_hash}", other)[0] == 404


def test_read_token_cannot_write(store: Store, made: Made, repo: str) -> None:
    token = store.token("ada", repo, "read")
    assert store.get(f"/v1/reconstructions/{made.file_hash}", token)[0] == 200
    assert store.post(f"/v1/xorbs/default/{made.xorb_hash}", token, made.xorb)[0] == 403
    assert store.post("/v1/shards", token, made.shard())[0] == 403
    assert store.post(f"/v1/xorb-grants/default/{made.xorb_hash}", token)[0] == 403


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_reconstruction_ranges(store: Store, made: Made, repo: str, version: str) -> None:
    token = store.token("ada", repo, "read")
    path = f"/{version}/reconstructions/{made.file_hash}"
    status, body = store.get(path, token, Range="bytes=20000-40000")
    plan = json.loads(body)
    assert (status, plan["offset_into_first_range"]) == (200, 20000 - 16384)
    assert plan["terms"] == [
        {"hash": made.xorb_hash, "unpacked_length": 32768, "range": {"start": 1, "end": 3}}
    ]
    assert store.get(path, token, Range=f"bytes={len(made.data)}-{len(made.data) + 5}")[0] == 416
    assert store.get(path, token, Range=f"bytes=0-{2**40}")[0] == 200
    assert store.get(f"/{version}/reconstructions/nonsense", token)[0] == 400


def test_data_link_opens_exactly_its_range(store: Store, made: Made, repo: str) -> None:
    token = store.token("ada", repo, "read")
    url = data_link(store, made, token, Range="bytes=0-10")
    records = made.parsed.records
    end = records[0].packed_offset + records[0].packed_size
    answer = store.http.get(url, headers={"Range": f"bytes=0-{end - 1}"})
    assert (answer.status_code, answer.content) == (206, made.xorb[:end])
    assert answer.headers["content-range"] == f"bytes 0-{end - 1}/{len(made.xorb)}"
    for asked in (f"bytes=0-{end}", f"bytes={end}-{end + 5}", "bytes=-1", None):
        headers = {"Range": asked} if asked else {}
        assert store.http.get(url, headers=headers).status_code == 416


def test_forged_data_links(store: Store, made: Made, repo: str, rt: Runtime) -> None:
    other = make_file(2)
    token = store.token("ada", repo)
    assert store.upload(token, other)[0] == 200
    url = data_link(store, made, token)
    signed = url.split("?t=")[1]
    payload = XetAccess(1, None).to_payload() | {"x": made.xorb_hash, "l": "0" * 12, "a": 0, "e": 10}
    for forged in (
        url.replace(made.xorb_hash, other.xorb_hash),
        url.split("?")[0],
        re.sub(r"\?t=.", "?t=_", url),
        f"{url[:-1]}{'A' if url[-1] != 'A' else 'B'}",
        url.replace(signed, token),
        url.replace(signed, rt.signer.sign("xet data", payload, ttl_s=-1)),
    ):
        assert store.http.get(forged, headers={"Range": "bytes=0-9"}).status_code == 403


def test_data_link_ends_in_minutes(store: Store, made: Made, repo: str, rt: Runtime) -> None:
    signed = data_link(store, made, store.token("ada", repo)).split("?t=")[1]
    opened = rt.signer.verify("xet data", signed)
    assert opened is not None
    assert 0 < opened["exp"] - time.time() <= 15 * 60


def test_read_token_opens_its_revision_only(store: Store, made: Made, repo: str) -> None:
    headers = {"Authorization": f"Bearer {store.tokens['ada']}"}
    first = store.http.get(f"/api/models/{repo}", headers=headers).json()["sha"]
    later, uncommitted = make_file(2), make_file(3)
    writer = store.token("ada", repo)
    for file in (later, uncommitted):
        assert store.upload(writer, file)[0] == 200
    store.commit("ada", repo, later, "later.bin")
    pinned, moving = store.token("ada", repo, "read", first), store.token("ada", repo, "read", "main")

    def opens(token: str) -> list[bool]:
        paths = [f"/v2/reconstructions/{file.file_hash}" for file in (made, later, uncommitted)]
        return [store.get(path, token)[0] == 200 for path in paths]

    assert opens(pinned) == [True, False, False]
    assert opens(moving) == [True, True, False]
    assert opens(writer) == [True, True, True]  # an uploader may look at what it has brought
    answer = store.http.get(f"/api/models/{repo}/xet-read-token/none", headers=headers)
    assert (answer.status_code, answer.headers["X-Error-Code"]) == (404, "RevisionNotFound")


@pytest.fixture
def minute_passes(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Lets the rights of tokens be looked at again."""
    return lambda: monkeypatch.setattr(rights, "_confirmed", WeakKeyDictionary())


@pytest.fixture
def lab(store: Store, rt: Runtime, tokens: dict[str, str]) -> tuple[str, Made]:
    """A private repository of the organisation, where grace may write, with a file of hers."""
    with rt.database.writing() as db:
        ada, grace = actor_for_token(db, tokens["ada"]), actor_for_token(db, tokens["grace"])
        org_id = db.scalars(select(Namespace.id).where(Namespace.name == "lab")).one()
        db.add(Membership(org_id=org_id, user_id=grace.user_id, role="write"))
        create_repo(db, ada, rt, name="lab/model", visibility="private")
    made = make_file(4)
    assert store.upload(store.token("grace", "lab/model"), made)[0] == 200
    store.commit("grace", "lab/model", made)
    return "lab/model", made


Change = Callable[[Session, int], object]


def _remove(db: Session, user_id: int) -> object:
    return db.execute(delete(Membership).where(Membership.user_id == user_id))


def _revoke(db: Session, user_id: int) -> object:
    statement = update(AccessToken).where(AccessToken.user_id == user_id)
    return db.execute(statement.values(revoked_at=clock.now()))


def _disable(db: Session, user_id: int) -> object:
    return db.execute(update(User).where(User.id == user_id).values(disabled_at=clock.now()))


@pytest.mark.parametrize("change", [_remove, _revoke, _disable])
def test_rights_lost_meanwhile_end_tokens_and_links(
    store: Store, rt: Runtime, lab: tuple[str, Made], minute_passes: Callable[[], None], change: Change
) -> None:
    repo, made = lab
    reader, writer = store.token("grace", repo, "read"), store.token("grace", repo)
    url = data_link(store, made, reader)
    with rt.database.writing() as db:
        change(db, actor_for_token(db, store.tokens["grace"]).user_id or 0)

    def statuses() -> list[int]:
        return [
            store.get(f"/v1/reconstructions/{made.file_hash}", reader)[0],
            store.post(f"/v1/xorbs/default/{made.xorb_hash}", writer, made.xorb)[0],
            store.post("/v1/shards", writer, made.shard())[0],
            store.http.get(url, headers={"Range": "bytes=0-9"}).status_code,
        ]

    assert statuses()[0] == 200  # remembered, for a minute at most
    minute_passes()
    assert set(statuses()) <= {401, 403, 404}
    assert statuses()[3] == 403


def test_reader_of_today_learns_no_chunks(
    store: Store, rt: Runtime, lab: tuple[str, Made], minute_passes: Callable[[], None]
) -> None:
    """A writer who became a reader stores for himself, and is told of nobody's chunks but his own."""
    repo, made = lab
    token = store.token("grace", repo)
    chunk = to_hex(made.parsed.records[0].hash)
    assert store.get(f"/v1/chunks/default/{chunk}", token)[0] == 200
    with rt.database.writing() as db:
        user_id = actor_for_token(db, store.tokens["grace"]).user_id
        db.execute(update(Membership).where(Membership.user_id == user_id).values(role="read"))
    minute_passes()
    assert store.get(f"/v1/chunks/default/{chunk}", token)[0] == 404


def test_deleted_repository_ends_its_tokens(
    store: Store, rt: Runtime, made: Made, repo: str, minute_passes: Callable[[], None]
) -> None:
    token = store.token("ada", repo, "read")
    url = data_link(store, made, token)
    body = {"name": repo}
    headers = {"Authorization": f"Bearer {store.tokens['ada']}"}
    assert store.http.request("DELETE", "/api/repos/delete", json=body, headers=headers).status_code == 200
    minute_passes()
    assert store.get(f"/v1/reconstructions/{made.file_hash}", token)[0] == 404
    assert store.http.get(url, headers={"Range": "bytes=0-9"}).status_code == 403


def test_address_changes_after_a_restore(store: Store, made: Made, repo: str, rt: Runtime) -> None:
    headers = {"Authorization": f"Bearer {store.tokens['ada']}"}
    (rt.settings.home / "cas_epoch").write_text("b2\n")
    answer = store.http.get(f"/api/models/{repo}/xet-read-token/main", headers=headers).json()
    assert answer["casUrl"].endswith("/cas/e/b2")
    token = answer["accessToken"]
    assert store.get(f"/v1/reconstructions/{made.file_hash}", token)[0] == 409
    assert store.get(f"/e/b2/v1/reconstructions/{made.file_hash}", token)[0] == 200


def test_telemetry_is_taken_and_dropped(store: Store) -> None:
    assert store.http.post("/v1/telemetry", json={}).status_code == 204
    assert store.http.post("/cas/v1/telemetry", json={}).status_code == 204


def test_lfs_batch_sends_clients_that_offer_it_to_the_chunk_store(
    store: Store, repo: str, made: Made
) -> None:
    new = make_file(2)
    asked = {
        "operation": "upload",
        "transfers": ["basic", "multipart", "xet"],
        "hash_algo": "sha_256",
        "objects": [
            {"oid": new.file.sha256, "size": len(new.data)},
            {"oid": made.file.sha256, "size": len(made.data)},
        ],
    }
    headers = {
        "Authorization": f"Bearer {store.tokens['ada']}",
        "Accept": "application/vnd.git-lfs+json",
        "Content-Type": "application/vnd.git-lfs+json",
    }
    answer = store.http.post(f"/{repo}.git/info/lfs/objects/batch", json=asked, headers=headers).json()
    assert answer["transfer"] == "xet"
    missing, held = answer["objects"]
    assert "actions" not in held
    action = missing["actions"]["upload"]
    assert store.upload(action["header"]["X-Xet-Access-Token"], new)[0] == 200
    refreshed = store.http.get(action["href"], headers=headers).json()
    assert refreshed["casUrl"] == action["header"]["X-Xet-Cas-Url"]
    asked["operation"] = "download"
    for item in store.http.post(f"/{repo}.git/info/lfs/objects/batch", json=asked, headers=headers).json()[
        "objects"
    ]:
        body = store.http.get(item["actions"]["download"]["href"]).content
        assert body in (new.data, made.data)
