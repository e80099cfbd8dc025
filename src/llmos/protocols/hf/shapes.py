"""The JSON of a repository: every property the Hub's clients can ask for, and who gets which."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.orm import Session

from llmos.core import clock
from llmos.core.errors import BadRequest
from llmos.core.repo_types import RepoType
from llmos.features.accounts.actor import Actor
from llmos.features.endpoints.queries import served_repo_ids
from llmos.features.evals.models import SIGNED, EvalResult
from llmos.features.evals.queries import results_by_model
from llmos.features.repos.facts_store import RepoRecord, count_children, list_using

Value = Any
# How the names of result files end; other results have no such file.
YAML = (".yaml", ".yml")


@dataclass(slots=True)
class Related:
    """What other repositories add to a page of records, by link key."""

    children: dict[str, int] = field(default_factory=dict)
    spaces: dict[str, list[str]] = field(default_factory=dict)
    # By the id of the model.
    results: dict[int, list[EvalResult]] = field(default_factory=dict)
    # Ids of the models that have an endpoint.
    served: set[int] = field(default_factory=set)


Getter = Callable[[RepoRecord, Related], Value]


def _fact(record: RepoRecord, column: str) -> Any:
    return record.facts.get(column) or None


def _extra(key: str) -> Getter:
    def get(record: RepoRecord, _related: Related) -> Value:
        return (record.facts.get("extra") or {}).get(key)

    return get


def _eval_results(record: RepoRecord, related: Related) -> Value:
    """Lines of result files, whether what they claim is verified, and values that wait in pull requests."""
    listed = (record.facts.get("extra") or {}).get("evalResults", [])
    rows = related.results.get(record.id, [])
    verified = {
        (row.filename, row.dataset_key, row.task_id, row.value) for row in rows if row.evidence >= SIGNED
    }
    found = [_marked(item, verified) for item in listed]
    return found + [result_data(row) for row in rows if row.pull_num or not row.filename.endswith(YAML)]


def _marked(item: dict[str, Any], verified: set[tuple[str, str, str, float]]) -> dict[str, Any]:
    data = item.get("data")
    if data is None:
        return item
    dataset = data["dataset"]
    key = (item["filename"], dataset["id"].lower(), dataset["task_id"], float(data["value"]))
    return {"filename": item["filename"], "verified": key in verified, "data": data}


def result_data(row: EvalResult) -> dict[str, Any]:
    """A result that is no line of a file of the default branch."""
    data: dict[str, Any] = {
        "dataset": {"id": row.dataset_key, "task_id": row.task_id},
        "value": row.value,
        "date": clock.to_json(row.created_at),
    }
    if row.dataset_revision:
        data["dataset"]["revision"] = row.dataset_revision
    if row.notes:
        data["notes"] = row.notes
    if row.source_url:
        data["source"] = {"url": row.source_url}
    found = {"filename": row.filename or None, "verified": row.evidence >= SIGNED, "data": data}
    return found | ({"pullRequest": row.pull_num} if row.pull_num else {})


def _siblings(record: RepoRecord, _related: Related) -> Value:
    return [{"rfilename": item["rfilename"]} for item in record.facts.get("siblings") or []]


def _base_models(record: RepoRecord, _related: Related) -> Value:
    return [name for name, _relation in (record.facts.get("extra") or {}).get("baseModels", [])]


def _score(record: RepoRecord, _related: Related) -> Value:
    score = record.trending_score
    return int(score) if score == int(score) else score


# Property -> (columns of the facts it needs, how to read it).
PROPERTIES: dict[str, tuple[tuple[str, ...], Getter]] = {
    "author": ((), lambda r, _: r.namespace),
    "baseModels": (("extra",), _base_models),
    "cardData": (("card",), lambda r, _: _fact(r, "card")),
    "childrenModelCount": ((), lambda r, related: related.children.get(r.link_key, 0)),
    "citation": (("extra",), _extra("citation")),
    "config": (("config",), lambda r, _: _fact(r, "config")),
    "createdAt": ((), lambda r, _: clock.to_json(r.created_at)),
    "datasets": (("extra",), lambda r, _: (r.facts.get("extra") or {}).get("datasets", [])),
    "description": (("extra",), _extra("description")),
    "disabled": ((), lambda r, _: r.disabled),
    "downloads": ((), lambda r, _: r.downloads),
    "downloadsAllTime": ((), lambda r, _: r.downloads_all_time),
    "evalResults": (("extra",), _eval_results),
    "gated": ((), lambda r, _: r.gated or False),
    "gguf": (("gguf",), lambda r, _: _fact(r, "gguf")),
    "inference": ((), lambda r, related: "warm" if r.id in related.served else None),
    # The address of a provider is built into clients: to name one here would send people's words there.
    "inferenceProviderMapping": ((), lambda _r, _: []),
    "lastModified": ((), lambda r, _: clock.to_json(r.updated_at)),
    "library_name": ((), lambda r, _: r.library_name),
    "likes": ((), lambda r, _: r.likes),
    "mainSize": ((), lambda r, _: r.main_size_bytes),
    "mask_token": (("extra",), _extra("maskToken")),
    "model-index": (("extra",), _extra("modelIndex")),
    "modelId": ((), lambda r, _: r.repo_name),
    "models": (("extra",), lambda r, _: (r.facts.get("extra") or {}).get("models", [])),
    "paperswithcode_id": (("extra",), _extra("paperswithcodeId")),
    "pipeline_tag": ((), lambda r, _: r.pipeline_tag),
    "private": ((), lambda r, _: r.visibility == "private"),
    "region": ((), lambda _r, _: None),
    "resourceGroup": ((), lambda _r, _: None),
    "runtime": ((), lambda _r, _: {"stage": "STOPPED", "hardware": {"current": None, "requested": None}}),
    "safetensors": (("safetensors",), lambda r, _: _fact(r, "safetensors")),
    "sdk": ((), lambda r, _: r.sdk),
    "sha": ((), lambda r, _: r.head_oid),
    "siblings": (("siblings",), _siblings),
    "spaces": ((), lambda r, related: related.spaces.get(r.link_key, [])),
    "subdomain": ((), lambda r, _: f"{r.namespace}-{r.name}".lower().replace("_", "-").replace(".", "-")),
    "tags": ((), lambda r, _: r.tags),
    "transformersInfo": (("extra",), _extra("transformersInfo")),
    "trendingScore": ((), _score),
    "usedStorage": ((), lambda r, _: r.used_storage_bytes),
    "visibility": ((), lambda r, _: r.visibility),
    "widgetData": (("extra",), _extra("widgetData")),
    # Asked by clients before 1.0 for a folder with many files: larger commits where chunks are kept.
    "xetEnabled": ((), lambda _r, _: True),
}

_SHARED = (
    *("author", "cardData", "createdAt", "disabled", "lastModified", "likes", "private"),
    *("resourceGroup", "sha", "siblings", "tags", "trendingScore", "usedStorage", "xetEnabled"),
)
_COUNTED = ("downloads", "downloadsAllTime", "gated")
# What `expand` accepts, as the client lists it per type.
EXPANDABLE: dict[RepoType, tuple[str, ...]] = {
    RepoType.MODEL: (
        *_SHARED, *_COUNTED, "baseModels", "childrenModelCount", "config", "evalResults", "gguf",
        "inference", "inferenceProviderMapping", "library_name", "mask_token", "model-index",
        "pipeline_tag", "safetensors", "spaces", "transformersInfo", "widgetData",
    ),
    RepoType.DATASET: (
        *_SHARED, *_COUNTED, "citation", "description", "mainSize", "paperswithcode_id",
    ),
    RepoType.SPACE: (*_SHARED, "datasets", "models", "region", "runtime", "sdk", "subdomain"),
    RepoType.KERNEL: (*_SHARED, *_COUNTED),
}  # fmt: skip

_LISTED = ("likes", "trendingScore", "private", "downloads", "tags", "createdAt", "gated")
_MODEL_LISTED = (*_LISTED, "modelId", "pipeline_tag", "library_name")
LISTED: dict[RepoType, tuple[str, ...]] = {
    RepoType.MODEL: _MODEL_LISTED,
    RepoType.DATASET: (*_LISTED, "author", "disabled", "lastModified", "sha", "description"),
    RepoType.SPACE: ("likes", "trendingScore", "private", "sdk", "tags", "createdAt"),
    RepoType.KERNEL: (*_LISTED, "author", "lastModified", "sha"),
}
_FULL = ("author", "sha", "lastModified", "disabled", "gated", "siblings", "cardData")
FULL: dict[RepoType, tuple[str, ...]] = {
    RepoType.MODEL: (*_MODEL_LISTED, *_FULL),
    RepoType.DATASET: (*_LISTED, *_FULL, "description", "citation"),
    RepoType.SPACE: (*LISTED[RepoType.SPACE], *_FULL, "subdomain", "runtime"),
    RepoType.KERNEL: (*_LISTED, *_FULL),
}
INFO: dict[RepoType, tuple[str, ...]] = {
    RepoType.MODEL: (
        *FULL[RepoType.MODEL], "visibility", "usedStorage", "config", "safetensors", "gguf",
        "transformersInfo", "widgetData", "model-index", "mask_token", "spaces",
    ),
    RepoType.DATASET: (*FULL[RepoType.DATASET], "visibility", "usedStorage", "paperswithcode_id"),
    RepoType.SPACE: (*FULL[RepoType.SPACE], "visibility", "usedStorage", "models", "datasets"),
    RepoType.KERNEL: (*FULL[RepoType.KERNEL], "visibility", "usedStorage"),
}  # fmt: skip


def check_expand(repo_type: RepoType, names: Sequence[str]) -> tuple[str, ...]:
    """The names, if all are properties of the type; BadRequest lists the legal ones."""
    legal = EXPANDABLE[repo_type]
    if any(name not in legal for name in names):
        raise BadRequest(f'"expand" must be one of [{", ".join(sorted(legal))}]')
    return tuple(dict.fromkeys(names))


def facts_for(names: Iterable[str]) -> tuple[str, ...]:
    """The columns of the facts these properties need."""
    return tuple(dict.fromkeys(column for name in names for column in PROPERTIES[name][0]))


def load_related(db: Session, actor: Actor, records: Sequence[RepoRecord], names: Sequence[str]) -> Related:
    """One query for the whole page per property that looks at other repositories."""
    keys = [record.link_key for record in records]
    related = Related()
    if keys and "childrenModelCount" in names:
        related.children = count_children(db, actor, keys)
    if keys and "spaces" in names:
        related.spaces = list_using(db, actor, keys, "space", ("model", "dataset"))
    if keys and "inference" in names:
        related.served = served_repo_ids(db, [record.id for record in records])
    if keys and "evalResults" in names:
        related.results = results_by_model(db, [record.id for record in records])
    return related


def shape(record: RepoRecord, names: Sequence[str], related: Related) -> dict[str, Any]:
    """The record with these properties; what has no value is left out, as clients expect."""
    value: dict[str, Any] = {"_id": record.object_id, "id": record.repo_name}
    for name in names:
        item = PROPERTIES[name][1](record, related)
        if item is not None:
            value[name] = item
    return value
