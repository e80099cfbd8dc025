"""Who reads content: gated, moved and disabled repositories, and whole snapshots."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from huggingface_hub import HfApi
from huggingface_hub.errors import GatedRepoError
from sqlalchemy import select
from starlette.testclient import TestClient

from hf_contract.helpers import add_regular
from llmos.features.auth.credentials import actor_for_token
from llmos.features.repos.downloads import flush_downloads
from llmos.features.repos.lifecycle import create_repo
from llmos.features.repos.models import DownloadDay, Repo, RepoAlias
from llmos.infra.runtime import Runtime

Make = Callable[..., str]

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


def change(server_rt: Runtime, repo_id: str, **values: object) -> int:
    with server_rt.database.writing() as db:
        row = db.scalars(select(Repo).where(Repo.name == repo_id.split("/")[1])).unique().one()
        for name, value in values.items():
            setattr(row, name, value)
        return row.id


def test_gated_content_is_for_the_granted(
    ada: HfApi, grace: HfApi, repo: Make, server_rt: Runtime, http: httpx.Client
) -> None:
    repo_id = repo()
    add_regular(ada, repo_id, {"a.txt": b"1", "README.md": b"---\nlicense: mit\n---\n"})
    assert http.head(f"/{repo_id}/resolve/main/a.txt").status_code == 200
    assert http.head(f"/{repo_id}/resolve/main/a.txt").status_code == 200
    change(server_rt, repo_id, gated="manual")
    anonymous = http.head(f"/{repo_id}/resolve/main/a.txt")
    assert (anonymous.status_code, anonymous.headers["x-error-code"]) == (401, "GatedRepo")
    assert http.get(f"/{repo_id}/resolve/main/README.md").status_code == 200
    with pytest.raises(GatedRepoError, match="not in the authorized list"):
        grace.hf_hub_download(repo_id, "a.txt")
    assert ada.hf_hub_download(repo_id, "a.txt")
    change(server_rt, repo_id, gated="", disabled=True)
    disabled = http.head(f"/{repo_id}/resolve/main/a.txt")
    assert disabled.status_code == 403
    assert disabled.headers["x-error-message"] == "Access to this resource is disabled."


@pytest.mark.parametrize("visibility", ["public", "private"])
def test_the_old_name_leads_to_the_new_one(
    ada: HfApi, repo: Make, server_rt: Runtime, as_ada: httpx.Client, visibility: str
) -> None:
    repo_id = repo(visibility=visibility)
    add_regular(ada, repo_id, {"a.txt": b"moved"})
    old_key, new_name = repo_id.lower(), f"{repo_id.split('/')[1]}-new"
    repo_pk = change(server_rt, repo_id, name=new_name, name_key=new_name)
    with server_rt.database.writing() as db:
        db.add(RepoAlias(type="model", name_key=old_key, repo_id=repo_pk))
    answer = as_ada.head(f"/{repo_id}/resolve/main/a.txt")
    assert answer.status_code == 307
    assert answer.headers["location"].endswith(f"/ada/{new_name}/resolve/main/a.txt")
    assert Path(ada.hf_hub_download(repo_id, "a.txt")).read_bytes() == b"moved"


def test_a_snapshot_is_everything_once(ada: HfApi, repo: Make, tmp_path: Path) -> None:
    repo_id = repo()
    source = tmp_path / "source"
    for number in range(20):
        path = source / f"d{number % 3}" / f"{number}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{number}\n" * number)
    (source / "weights.safetensors").write_bytes(bytes(range(256)) * 500)
    ada.upload_folder(repo_id=repo_id, folder_path=source)
    got = Path(ada.snapshot_download(repo_id, local_dir=tmp_path / "got"))
    for path in source.rglob("*.*"):
        assert (got / path.relative_to(source)).read_bytes() == path.read_bytes()


def test_downloads_are_counted_once_a_file(
    rt: Runtime, tokens: dict[str, str], app_client: TestClient
) -> None:
    with rt.database.reading() as db:
        actor = actor_for_token(db, tokens["ada"])
    with rt.database.writing() as db:
        repo_pk = create_repo(db, actor, rt, name="tiny-llm").id
    url = "/ada/tiny-llm/resolve/main/.gitattributes"
    for headers in ({}, {"Range": "bytes=0-4"}, {"Range": "bytes=5-"}):
        assert app_client.get(url, headers=headers).status_code in (200, 206)
    assert app_client.head(url).status_code == 200
    assert flush_downloads(rt) == 2
    with rt.database.reading() as db:
        assert db.scalar(select(DownloadDay.count).where(DownloadDay.repo_id == repo_pk)) == 2
