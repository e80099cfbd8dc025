"""Training curves: the TensorBoard event files of a repository, one chart for each tag, runs overlaid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import Request
from fastapi.responses import Response

from llmos.features.auth.edge import ActorDep
from llmos.features.auth.page_context import render_page, request_locale
from llmos.features.repos.event_runs import EventRun, list_event_runs, read_runs
from llmos.features.repos.files import open_large_files
from llmos.features.repos.models import Repo
from llmos.features.repos.pages.curve_charts import last_values, run_labels, tag_charts
from llmos.features.repos.pages.frame import repo_frame
from llmos.features.repos.pages.repo import gate_of
from llmos.features.repos.pages.revisions import Place, place_of, ref_menu
from llmos.features.repos.pages.routes import RepoRoutes, file_href, page_repo
from llmos.features.repos.places import open_git
from llmos.infra.web.deps import ReadDb, RuntimeDep
from llmos.ui.curves import MAX_LINES

routes = RepoRoutes()
MAX_CHARTS = 40
MAX_LISTED_RUNS = 100


@routes.get("/curves/{rev:rev}")
def curves_page(request: Request, rt: RuntimeDep, db: ReadDb, actor: ActorDep) -> Response:
    """`run` (repeatable) chooses folders, at most MAX_LINES; without it the newest ones are shown."""
    repo = page_repo(request, db, actor)
    frame = repo_frame(db, rt, actor, repo, request_locale(request, actor), "curves")
    git_repo = open_git(rt, repo)
    place = place_of(request, git_repo)
    gate = gate_of(db, actor, repo)
    runs = list_event_runs(git_repo, place.commit) if place.commit is not None and gate is None else []
    shown = _chosen(runs, request.query_params.getlist("run"))
    large = open_large_files(db, rt, repo, [oid for run in shown for oid in run.oids])
    db.close()
    curves = read_runs(rt, git_repo, shown, large)
    tags = list(dict.fromkeys(tag for one in curves for tag in one.points))
    labels = run_labels([run.folder for run in runs])
    context: dict[str, Any] = {
        "frame": frame,
        "place": place,
        "gate": gate,
        "refs": ref_menu(git_repo, repo, place, "curves"),
        "action": file_href(repo, "curves", place.rev),
        "choices": [_choice(repo, place, run, labels, shown) for run in runs[:MAX_LISTED_RUNS]],
        "max_lines": MAX_LINES,
        "labels": [labels[run.folder] for run in shown],
        "charts": tag_charts(tags[:MAX_CHARTS], [labels[run.folder] for run in shown], curves),
        "rows": last_values(tags, curves),
        "is_cut": any(one.is_cut for one in curves) or len(tags) > MAX_CHARTS,
        "damaged": sum(one.damaged for one in curves),
        "problems": sum(one.problems for one in curves),
    }
    return render_page(request, actor, "repos/curves.html", context)


def _chosen(runs: Sequence[EventRun], wanted: Sequence[str]) -> list[EventRun]:
    by_folder = {run.folder: run for run in runs}
    named = [by_folder[folder] for folder in dict.fromkeys(wanted) if folder in by_folder]
    return (named or list(runs))[:MAX_LINES]


def _choice(
    repo: Repo, place: Place, run: EventRun, labels: Mapping[str, str], shown: Sequence[EventRun]
) -> dict[str, Any]:
    return {
        "folder": run.folder,
        "label": labels[run.folder],
        "href": file_href(repo, "tree", place.rev, run.folder),
        "tone": shown.index(run) if run in shown else None,
    }
