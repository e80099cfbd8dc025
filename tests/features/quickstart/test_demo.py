"""The content that comes with an instance: there once, gone for good when deleted, and honest."""

from __future__ import annotations

from sqlalchemy import select
from starlette.testclient import TestClient

import llmos.app.tasks  # noqa: F401  # fills the slots and registers handlers
from llmos.app.asgi import create_app
from llmos.features.accounts.actor import ANONYMOUS
from llmos.features.discussions.models import Thread
from llmos.features.evals.models import EvalResult
from llmos.features.quickstart.demo import demo_folder, ship_all, ship_demo
from llmos.features.quickstart.queries import list_standings
from llmos.features.repos.models import Repo
from llmos.infra.runtime import Runtime, open_runtime


def test_it_comes_once_and_stays_deleted(rt: Runtime) -> None:
    assert ship_demo(rt) == 0, "tests ask for none"
    willing = open_runtime(rt.settings.model_copy(update={"demo": True}))
    folders = list(demo_folder().glob("*/*/README.md"))
    assert ship_all(willing) > len(folders) >= 8
    with willing.database.reading() as db:
        repos = {repo.repo_name: repo for repo in db.scalars(select(Repo)).unique()}
        tiny = repos["llmos/tiny-en-zh"]
        assert tiny.total_parameters == 459_392, "the weights are read where they lie"
        assert all(repo.license for repo in repos.values())
        shown = list(db.scalars(select(EvalResult).where(EvalResult.dataset_key == "llmos/english-text")))
        lines = list_standings(db, ANONYMOUS, shown, tiny.id)
        assert [line.model.partition("/")[2] for line in lines] == [
            "tiny-en-zh",
            "baseline-trigram",
            "baseline-unigram",
            "baseline-uniform",
        ], "fewer bits are better, and all stand on the board"
        welcome = db.scalars(select(Thread).where(Thread.title.startswith("Welcome"))).unique().one()
        assert welcome.num == welcome.id
    with willing.database.writing() as db:
        db.delete(db.scalars(select(Repo).where(Repo.name == "tiny-en-zh")).unique().one())
        db.delete(db.scalars(select(Thread).where(Thread.title.startswith("Welcome"))).unique().one())
    assert ship_all(willing) == 0
    willing.close()


def test_the_shipped_model_can_be_fetched(rt: Runtime) -> None:
    willing = open_runtime(rt.settings.model_copy(update={"demo": True}))
    ship_demo(willing)
    with TestClient(create_app(runtime=willing), follow_redirects=True) as client:
        got = client.get("/llmos/tiny-en-zh/resolve/main/model.safetensors")
        source = demo_folder() / "models/tiny-en-zh/model.safetensors"
        assert got.content == source.read_bytes()
        for path in ("/llmos/tiny-en-zh", "/datasets/llmos/tang-poems", "/forum"):
            assert client.get(path, headers={"accept": "text/html"}).status_code == 200
    willing.close()
