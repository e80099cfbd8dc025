"""The benchmarks that come with LLMOS."""

from __future__ import annotations

from sqlalchemy import select

from llmos.features.accounts.actor import ANONYMOUS
from llmos.features.evals.boards import list_benchmarks
from llmos.features.evals.shipped import OWNER, ship_benchmarks, shipped_folder
from llmos.features.repos.models import Repo
from llmos.infra.runtime import Runtime, open_runtime


def test_each_is_made_once_and_stays_deleted(rt: Runtime) -> None:
    import llmos.app.tasks  # noqa: F401  # fills the slots

    assert ship_benchmarks(rt) == 0, "tests ask for none"
    willing = open_runtime(rt.settings.model_copy(update={"demo": True}))
    folders = [path for path in shipped_folder().iterdir() if (path / "eval.yaml").is_file()]
    assert ship_benchmarks(willing) == len(folders) >= 10
    with willing.database.reading() as db:
        found = list_benchmarks(db, ANONYMOUS)
        names = {row.repo.name for row in found}
    assert names == {path.name for path in folders}, "every eval.yaml is valid"
    assert {row.language for row in found} >= {"en", "zh"}
    with willing.database.writing() as db:
        db.delete(db.scalars(select(Repo).where(Repo.name == folders[0].name)).unique().one())
    assert ship_benchmarks(willing) == 0
    with willing.database.reading() as db:
        assert {row.repo.namespace.name for row in list_benchmarks(db, ANONYMOUS)} == {OWNER}
    willing.close()
