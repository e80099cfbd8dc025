"""What the files of one revision say about a repository: pure reading, nothing is stored."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from llmos.core.repo_types import RepoType
from llmos.features.repos.cards.eval_results import (
    EvalResultFile,
    eval_results_json,
    is_eval_result_path,
    parse_eval_results,
)
from llmos.features.repos.cards.facts import CardFacts, card_facts
from llmos.features.repos.cards.front_matter import read_card
from llmos.features.repos.json_clean import clean_json, clean_text, parse_json_object
from llmos.features.repos.revision_files import RevisionFiles
from llmos.features.repos.weight_facts import gguf_facts, safetensors_facts
from llmos.infra.git.trees import TreeEntry
from llmos.infra.runtime import Runtime

MAX_CARD_BYTES = 2 * 1024 * 1024
MAX_RESULT_FILES = 500
BENCHMARK_FILE = "eval.yaml"
# What `list_datasets(benchmark=True)` of the Hub's client asks for; here it takes no more than the file.
BENCHMARK_TAG = "benchmark:official"
# Slot: features above that keep more of a head fill it; what each reads goes into `HeadFacts.more`.
more_readers: dict[str, Callable[[Runtime, RevisionFiles, RepoType], Any]] = {}
_CITATION = re.compile(r"```(?:bibtex|latex)?\s*\n(\s*@\w+\s*\{.*?)```", re.DOTALL)
_PARAGRAPH = re.compile(r"^(?![#>|<`!\[\-*=]|\s*$).+", re.MULTILINE)


@dataclass(slots=True)
class HeadFacts:
    """Everything the index keeps of a commit; every value is plain JSON."""

    commit_oid: str | None = None
    card: dict[str, Any] = field(default_factory=dict)
    card_text: str = ""
    siblings: list[dict[str, Any]] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)
    safetensors: dict[str, Any] = field(default_factory=dict)
    gguf: dict[str, Any] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)
    tags: list[str] = field(default_factory=list)
    pipeline_tag: str | None = None
    library_name: str | None = None
    license: str | None = None
    sdk: str | None = None
    links: list[tuple[str, str]] = field(default_factory=list)  # (relation, target key)
    main_size_bytes: int = 0
    more: dict[str, Any] = field(default_factory=dict)  # see `more_readers`; not kept here

    @property
    def total_parameters(self) -> int | None:
        return self.safetensors.get("total") or self.gguf.get("total")


def read_head_facts(
    rt: Runtime, repo_type: RepoType, git_path: Path, commit: str | None, db: Session | None = None
) -> HeadFacts:
    """Facts of a commit; empty ones for a repository without commits.

    `db` is given where the repository's claims are not committed yet.
    """
    if commit is None:
        return HeadFacts()
    files = RevisionFiles(rt, git_path, commit, db)
    card = read_card(files.read_small("README.md", MAX_CARD_BYTES) or b"")
    is_model = repo_type is RepoType.MODEL
    config = parse_json_object(files.read_small("config.json") or b"") if is_model else {}
    tokenizer = parse_json_object(files.read_small("tokenizer_config.json") or b"") if is_model else {}
    known = card_facts(
        card.data, repo_type.value, card.body, files.entries, config, tokenizer_config=tokenizer
    )
    results = _eval_results(files) if is_model else []
    facts = HeadFacts(
        commit_oid=commit,
        card=clean_json(card.data),
        card_text=clean_text(card.body),
        siblings=[_sibling(entry) for entry in files.entries.values()],
        config=clean_json(known.config or {}),
        safetensors=safetensors_facts(files) if is_model else {},
        gguf=gguf_facts(files) if is_model else {},
        tags=[clean_text(tag)[:200] for tag in known.tags],
        pipeline_tag=_short(known.pipeline_tag),
        library_name=_short(known.library_name),
        license=_short(known.license),
        sdk=_short(known.sdk, 20),
        links=_links(known, results),
        main_size_bytes=sum(entry.content_size for entry in files.entries.values()),
    )
    if repo_type is RepoType.DATASET and BENCHMARK_FILE in files.entries:
        facts.tags.append(BENCHMARK_TAG)
    facts.extra = clean_json(_extra(repo_type, known, card.body, results, card.data))
    facts.more = {name: read(rt, files, repo_type) for name, read in more_readers.items()}
    return facts


def _short(value: str | None, limit: int = 80) -> str | None:
    return clean_text(value)[:limit] if value else None


def _sibling(entry: TreeEntry) -> dict[str, Any]:
    sibling: dict[str, Any] = {
        "rfilename": clean_text(entry.path),
        "size": entry.content_size,
        "blobId": entry.oid,
    }
    if entry.lfs is not None:
        sibling["lfs"] = {
            "sha256": entry.lfs.oid,
            "size": entry.lfs.size,
            "pointerSize": entry.lfs.pointer_size,
        }
    return sibling


def _eval_results(files: RevisionFiles) -> list[EvalResultFile]:
    paths = [path for path in files.entries if is_eval_result_path(path)][:MAX_RESULT_FILES]
    contents = {path: files.read_small(path, 256 * 1024) for path in paths}
    return parse_eval_results({path: data for path, data in contents.items() if data is not None})


def _links(known: CardFacts, results: list[EvalResultFile]) -> list[tuple[str, str]]:
    links = [(f"base_model:{kind}", f"model:{name}") for name, kind in known.base_models]
    links += [("dataset", f"dataset:{name}") for name in known.datasets]
    links += [("model", f"model:{name}") for name in known.models]
    for file in results:
        links += [("eval_result", f"dataset:{entry['dataset']['id']}") for entry in file.entries]
    return list(dict.fromkeys((relation, target.lower()) for relation, target in links))


def _extra(
    repo_type: RepoType,
    known: CardFacts,
    text: str,
    results: list[EvalResultFile],
    card: dict[str, Any],
) -> dict[str, Any]:
    extra: dict[str, Any] = {
        "title": known.title,
        "modelIndex": known.model_index,
        "evalResults": eval_results_json(results),
        "transformersInfo": known.transformers_info,
        "widgetData": known.widget_data,
        "maskToken": known.mask_token,
        "baseModels": [list(pair) for pair in known.base_models],
        "datasets": list(known.datasets),
        "models": list(known.models),
        "newVersion": known.new_version,
        "thumbnail": known.thumbnail,
    }
    if repo_type is RepoType.DATASET:
        extra["description"] = _description(text)
        extra["citation"] = _citation(text)
        extra["paperswithcodeId"] = card.get("paperswithcode_id")
    return {key: value for key, value in extra.items() if value not in (None, [], {}, "")}


def _description(text: str) -> str | None:
    """The first paragraph of prose."""
    match = _PARAGRAPH.search(text)
    return match.group().strip()[:1000] if match else None


def _citation(text: str) -> str | None:
    match = _CITATION.search(text[:200_000])
    return match.group(1).strip()[:5000] if match else None
