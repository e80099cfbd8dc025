"""Ada's model, grace's benchmark, and short ways to push to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

import llmos.app.tasks  # noqa: F401  # fills the slots and registers handlers
from kit.model_records import EVAL_YAML, WEIGHTS, make_record
from llmos.core.repo_types import RepoType
from llmos.features.accounts.actor import ANONYMOUS, Actor
from llmos.features.auth.credentials import actor_for_token
from llmos.features.evals.boards import BoardQuery, BoardRow, list_board
from llmos.features.evals.instances import own_key
from llmos.features.evals.models import EvalResult
from llmos.features.repos.commit_targets import open_target
from llmos.features.repos.commits import CommitDraft
from llmos.features.repos.lifecycle import create_repo
from llmos.features.repos.models import Repo
from llmos.infra.queue.outbox import deliver_due
from llmos.infra.runtime import Runtime
from llmos.records.keys import PrivateKey

MODEL = "ada/tiny-llm"
BENCHMARK = "grace/tang-cloze"


@dataclass
class Field:
    """A benchmark, models, and who looks at them."""

    rt: Runtime
    tmp: Path
    people: dict[str, Actor] = field(default_factory=dict)
    repos: dict[str, Repo] = field(default_factory=dict)
    made: int = 0

    def create(self, name: str, kind: str = "model", **options: Any) -> Repo:
        with self.rt.database.writing() as db:
            owner = self.people[name.partition("/")[0]]
            repo = create_repo(db, owner, self.rt, name=name, repo_type=RepoType(kind), **options)
        self.repos[name] = repo
        return repo

    def push(
        self,
        name: str,
        files: Mapping[str, bytes | None],
        *,
        by: str = "",
        rev: str = "main",
        pull: bool = False,
    ) -> Any:
        """Commit; None deletes a file."""
        who = self.people[by or name.partition("/")[0]]
        kind = self.repos[name].repo_type
        with self.rt.database.reading() as db:
            target = open_target(db, self.rt, who, kind, *name.split("/"), rev, create_pr=pull)
        with CommitDraft(self.rt, who, target) as draft:
            draft.set_header("Work", "", None)
            for path, data in files.items():
                if data is None:
                    draft.delete_file(path)
                else:
                    draft.add_file(path, data)
            return draft.finish()

    def record(
        self, right: Sequence[bool], *, model: str = MODEL, key: PrivateKey | str = "", **options: Any
    ) -> tuple[str, dict[str, bytes]]:
        """A record signed by this instance, by `key`, or, where that is "none", by nobody."""
        self.made += 1
        options = {"benchmark": BENCHMARK, **options}
        signer = (None if key == "none" else own_key(self.rt)) if isinstance(key, str) else key
        return make_record(self.tmp / str(self.made), right, model=model, key=signer, **options)

    def board(self, who: str | None = None, **query: Any) -> list[BoardRow]:
        actor = self.people[who] if who else ANONYMOUS
        with self.rt.database.reading() as db:
            return list_board(db, actor, self.repos[BENCHMARK].id, BoardQuery(**query)).rows

    def results(self, name: str = MODEL) -> list[EvalResult]:
        with self.rt.database.reading() as db:
            statement = select(EvalResult).where(EvalResult.repo_id == self.repos[name].id)
            return list(db.scalars(statement.order_by(EvalResult.id)))

    def deliver(self) -> None:
        while deliver_due(self.rt.database, side="inside"):
            pass


@pytest.fixture
def place(rt: Runtime, tokens: dict[str, str], tmp_path: Path) -> Field:
    with rt.database.reading() as db:
        people = {name: actor_for_token(db, token) for name, token in tokens.items()}
    found = Field(rt, tmp_path / "made", people)
    found.create(BENCHMARK, "dataset")
    found.push(BENCHMARK, {"eval.yaml": EVAL_YAML})
    found.create(MODEL)
    found.push(MODEL, dict(WEIGHTS))
    return found
