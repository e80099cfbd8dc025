"""Hub protocol: lists of models, datasets, Spaces and kernels."""

from __future__ import annotations

from fastapi import Request
from starlette.responses import Response

from llmos.core.repo_types import RepoType
from llmos.features.auth.edge import ActorDep
from llmos.features.repos.listing import MAX_LIMIT, RepoQuery, list_repos
from llmos.infra.web.deps import ReadDb, RuntimeDep
from llmos.infra.web.lazy_routes import Router
from llmos.protocols.hf.answers import page_answer, query_flag, query_int, query_list
from llmos.protocols.hf.shapes import FULL, LISTED, check_expand, facts_for, load_related, shape

router = Router(tags=["discovery"])

# File lists are long: a page that carries them is shorter.
MAX_LIMIT_WITH_FILES = 200


def read_query(request: Request, repo_type: RepoType) -> RepoQuery:
    """The list's parameters as the clients write them: lists repeated or joined by commas."""
    first = request.query_params.get
    return RepoQuery(
        repo_type=repo_type,
        filters=query_list(request, "filter", "tags", "other", split=True),
        author=first("author") or None,
        search=query_list(request, "search"),
        pipeline_tag=first("pipeline_tag") or None,
        library=first("library") or None,
        languages=query_list(request, "language", split=True),
        license=first("license") or None,
        num_parameters=first("num_parameters") or None,
        gated=query_flag(request, "gated"),
        used_datasets=query_list(request, "datasets", split=True),
        used_models=query_list(request, "models", split=True),
        linked=query_flag(request, "linked") or False,
        sdk=query_list(request, "sdk", split=True),
        sort=first("sort") or None,
        limit=query_int(request, "limit"),
        cursor=first("cursor") or None,
    )


def listed_properties(request: Request, repo_type: RepoType) -> tuple[str, ...]:
    """`expand` gives exactly what it names; otherwise the usual set, more with `full`."""
    expand = query_list(request, "expand", split=True)
    if expand:
        return check_expand(repo_type, expand)
    names = list(FULL[repo_type] if query_flag(request, "full") else LISTED[repo_type])
    names += ["cardData"] if query_flag(request, "cardData") else []
    names += ["config"] if query_flag(request, "config") and repo_type is RepoType.MODEL else []
    return tuple(dict.fromkeys(names))


@router.get("/api/{plural:plural}")
def get_list(rt: RuntimeDep, db: ReadDb, actor: ActorDep, request: Request, plural: str) -> Response:
    repo_type = RepoType.from_plural(plural)
    names = listed_properties(request, repo_type)
    limit = MAX_LIMIT_WITH_FILES if "siblings" in names else MAX_LIMIT
    page = list_repos(db, actor, read_query(request, repo_type), facts_for(names), max_limit=limit)
    related = load_related(db, actor, page.items, names)
    return page_answer(request, rt.settings, page.map(lambda record: shape(record, names, related)))
