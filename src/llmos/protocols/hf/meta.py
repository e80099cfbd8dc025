"""Hub protocol: tags by type, tasks, Space search and templates, telemetry."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from fastapi import Request
from sqlalchemy import func, select
from sqlalchemy.orm import Session
from starlette.responses import Response

from llmos.core.errors import NotFound
from llmos.core.repo_types import RepoType
from llmos.features.auth.edge import ActorDep
from llmos.features.repos.cards.libraries import LIBRARIES
from llmos.features.repos.cards.licenses import LICENSES
from llmos.features.repos.cards.tasks import PIPELINE_TAGS, SIZE_CATEGORIES, TASK_CATEGORIES
from llmos.features.repos.facts_store import RepoRecord
from llmos.features.repos.finding import find_repos
from llmos.features.repos.models import Repo, RepoTag
from llmos.features.repos.places import git_path
from llmos.features.repos.policy import access_repo, check_content
from llmos.features.repos.revision_files import RevisionFiles
from llmos.features.repos.weight_headers import shard_headers
from llmos.infra.git.repository import open_repo
from llmos.infra.git.revisions import resolve
from llmos.infra.web.deps import ReadDb, RuntimeDep
from llmos.infra.web.lazy_routes import Router
from llmos.protocols.hf.answers import answer, query_list

router = Router(tags=["meta"])

MAX_TAGS_OF_TYPE = 500


def _tag(id_: str, label: str, type_: str, **more: Any) -> dict[str, Any]:
    return {"id": id_, "label": label, "type": type_, **more}


def _title(name: str) -> str:
    return name.replace("-", " ").capitalize()


def _used(db: Session, repo_type: RepoType, prefix: str) -> Iterable[str]:
    """Values of `prefix:value` tags of public repositories, the most used first."""
    statement = (
        select(RepoTag.tag)
        .join(Repo, Repo.id == RepoTag.repo_id)
        .where(
            Repo.type == repo_type.value,
            Repo.visibility == "public",
            RepoTag.tag.startswith(prefix, autoescape=True),
        )
        .group_by(RepoTag.tag)
        .order_by(func.count().desc(), RepoTag.tag)
        .limit(MAX_TAGS_OF_TYPE)
    )
    return db.scalars(statement)


@router.get("/api/models-tags-by-type")
def get_model_tags(db: ReadDb, actor: ActorDep) -> Response:
    datasets = list(_used(db, RepoType.MODEL, "dataset:"))
    return answer(
        {
            "pipeline_tag": [
                _tag(name, _title(name), "pipeline_tag", subType=kind) for name, kind in PIPELINE_TAGS.items()
            ],
            "library": [_tag(name, label, "library") for name, label in LIBRARIES.items()],
            "license": [_tag(f"license:{name}", label, "license") for name, label in LICENSES.items()],
            "dataset": [_tag(tag, tag.removeprefix("dataset:"), "dataset") for tag in datasets],
        }
    )


@router.get("/api/datasets-tags-by-type")
def get_dataset_tags(db: ReadDb, actor: ActorDep) -> Response:
    languages = list(_used(db, RepoType.DATASET, "language:"))
    return answer(
        {
            "task_categories": [
                _tag(f"task_categories:{name}", _title(name), "task_categories", subType=kind)
                for name, kind in TASK_CATEGORIES.items()
            ],
            "size_categories": [
                _tag(f"size_categories:{name}", name, "size_categories") for name in SIZE_CATEGORIES
            ],
            "license": [_tag(f"license:{name}", label, "license") for name, label in LICENSES.items()],
            "language": [_tag(tag, tag.removeprefix("language:"), "language") for tag in languages],
        }
    )


@lru_cache(maxsize=1)
def _tasks() -> dict[str, dict[str, Any]]:
    fields = ("datasets", "metrics", "models", "spaces", "widgetModels")
    return {
        name: {"id": name, "label": _title(name), "modality": kind, **{key: [] for key in fields}}
        for name, kind in PIPELINE_TAGS.items()
    }


@router.get("/api/tasks")
def get_tasks(actor: ActorDep) -> Response:
    return answer(_tasks())


@router.get("/api/spaces/templates")
def get_space_templates(actor: ActorDep) -> Response:
    return answer({"templates": []})


@router.get("/api/spaces/semantic-search")
def get_space_search(db: ReadDb, actor: ActorDep, request: Request) -> Response:
    """Full-text search over Spaces; `includeNonRunning` has no effect where none runs."""
    tags = {tag.lower() for tag in query_list(request, "filter", split=True)}
    sdks = set(query_list(request, "sdk", split=True))
    query = request.query_params.get("q", "")
    found = find_repos(db, actor, query, types=[RepoType.SPACE], facts=("card",), limit=100)
    best = max((score for _record, score in found), default=1.0) or 1.0
    return answer(
        [
            _space_hit(record, score / best)
            for record, score in found
            if tags <= {tag.lower() for tag in record.tags} and (not sdks or record.sdk in sdks)
        ]
    )


def _space_hit(record: RepoRecord, score: float) -> dict[str, Any]:
    card = record.facts.get("card") or {}
    keys = ("title", "emoji", "short_description")
    text = {key: card[key] for key in keys if isinstance(card.get(key), str)}
    return {
        "id": record.repo_name,
        "author": record.namespace,
        "title": text.get("title", record.name),
        "emoji": text.get("emoji"),
        "sdk": record.sdk,
        "likes": record.likes,
        "private": record.visibility == "private",
        "tags": record.tags,
        "runtime": {"stage": "STOPPED"},
        "ai_short_description": text.get("short_description"),
        "ai_category": None,
        "semanticRelevancyScore": round(score, 4),
        "trendingScore": int(record.trending_score),
    }


@router.get("/api/models/{namespace:seg}/{name:seg}/safetensors-metadata/{file:rest}")
def get_safetensors_metadata(
    rt: RuntimeDep, db: ReadDb, actor: ActorDep, *, namespace: str, name: str, file: str
) -> Response:
    repo = access_repo(db, actor, RepoType.MODEL, namespace, name)
    check_content(db, actor, repo)
    path = git_path(rt, repo)
    files = RevisionFiles(rt, path, resolve(open_repo(path), "HEAD"), db)
    return answer(shard_headers(files, file))


@router.get("/api/agent-harnesses")
def get_agent_harnesses(actor: ActorDep) -> None:
    raise NotFound("This instance keeps no list of agents.")


@router.api_route("/api/telemetry/{topic:rest}", methods=["HEAD", "GET"])
async def head_telemetry(topic: str) -> Response:
    """Nothing is recorded."""
    return Response(None, 200)
