"""Rows of lists and of what is told about a repository."""

from __future__ import annotations

import json
import struct

from huggingface_hub import hf_api

from clients.rows import World, row, status_of

CARD = b"""---
license: apache-2.0
language: [en, zh]
library_name: transformers
pipeline_tag: text-generation
tags: [tiny]
datasets: [ada/words]
---
# Tiny
"""
DATA_CARD = b"---\nlicense: mit\nlanguage: zh\ntask_categories: [text-generation]\npretty_name: Words\n---\n"


def weights() -> bytes:
    """A file of the safetensors format with one tensor of 8 numbers."""
    header = json.dumps({"w": {"dtype": "F32", "shape": [2, 4], "data_offsets": [0, 32]}}).encode()
    return struct.pack("<Q", len(header)) + header + bytes(32)


@row("GET /api/models", "list_models")
def models(w: World) -> None:
    name = w.repo(files={"README.md": CARD, "config.json": b'{"architectures": ["LlamaForCausalLM"]}'})
    word = name.split("/")[1]
    (found,) = w.ada.list_models(search=word, full=True, cardData=True, fetch_config=True)
    assert (found.id, found.pipeline_tag, found.library_name) == (name, "text-generation", "transformers")
    assert found.card_data["license"] == "apache-2.0"
    assert found.config["architectures"] == ["LlamaForCausalLM"]
    assert "README.md" in [sibling.rfilename for sibling in found.siblings]
    for options in (
        {"author": "ada"}, {"filter": ["tiny", "zh"]}, {"filter": "license:apache-2.0"},
        {"pipeline_tag": "text-generation"}, {"trained_dataset": "ada/words"}, {"gated": False},
        {"sort": "downloads"}, {"sort": "likes", "limit": 5}, {"expand": ["sha", "author"]},
    ):  # fmt: skip
        assert [item.id for item in w.grace.list_models(search=word, **options)] == [name], options
    assert list(w.ada.list_models(search=word, filter="no-such-tag")) == []
    assert len(list(w.ada.list_models(author="ada", limit=3))) == 3


@row("GET /api/datasets", "list_datasets")
def datasets(w: World) -> None:
    name = w.repo("dataset", files={"README.md": DATA_CARD})
    word = name.split("/")[1]
    for options in (
        {"author": "ada"}, {"language": "zh"}, {"task_categories": "text-generation"},
        {"filter": "license:mit"}, {"full": True}, {"sort": "trending_score"}, {"dataset_name": word},
        {"expand": ["sha", "downloads"]}, {"gated": False, "limit": 1},
    ):  # fmt: skip
        assert [item.id for item in w.grace.list_datasets(search=word, **options)] == [name], options
    assert list(w.ada.list_datasets(search=word, language="fr")) == []


@row("GET /api/spaces", "list_spaces")
def spaces(w: World) -> None:
    model = w.repo()
    card = f"---\ntitle: Row\nsdk: static\nmodels: [{model}]\n---\n".encode()
    name = w.repo("space", files={"README.md": card})
    for options in (
        {"search": name.split("/")[1]}, {"models": model}, {"models": model, "full": True},
        {"models": model, "sort": "created_at"}, {"models": model, "expand": ["sdk"]},
    ):  # fmt: skip
        assert [item.id for item in w.grace.list_spaces(author="ada", **options)] == [name], options


@row("GET /api/spaces/semantic-search", "search_spaces")
def search_spaces(w: World) -> None:
    name = w.repo("space", files={"README.md": b"---\ntitle: Row\nsdk: static\n---\n"})
    assert name in [hit.id for hit in w.ada.search_spaces(name.split("/")[1])]


@row("GET /api/{T}/{id}", "model_info", "dataset_info", "space_info", "repo_info", "repo_exists")
def info(w: World) -> None:
    model = w.repo(files={"README.md": CARD, "w.safetensors": weights()})
    found = w.grace.model_info(model, files_metadata=True)
    assert (found.id, found.author, found.private, found.gated) == (model, "ada", False, False)
    assert {"tiny", "license:apache-2.0", "en", "dataset:ada/words"} <= set(found.tags)
    sizes = {sibling.rfilename: sibling.size for sibling in found.siblings}
    assert sizes["w.safetensors"] == len(weights())
    assert found.last_modified.tzinfo is not None
    few = w.ada.model_info(model, expand=["sha", "likes"])
    assert (few.sha, few.likes, few.tags, few.siblings) == (found.sha, 0, None, None)
    assert status_of(lambda: w.ada.model_info(model, expand=["shoes"])) == 400
    for kind in ("model", "dataset", "space"):
        every = list(getattr(hf_api, f"Expand{kind.title()}Property_T").__args__)
        assert w.ada.repo_info(w.repo(kind), repo_type=kind, expand=every).author == "ada"
    for kind in ("dataset", "space"):
        name = w.repo(kind, private=True)
        assert getattr(w.ada, f"{kind}_info")(name).private is True
        assert w.ada.repo_exists(name, repo_type=kind)
        assert not w.grace.repo_exists(name, repo_type=kind)
        assert status_of(lambda n=name, k=kind: w.grace.repo_info(n, repo_type=k)) == 404


@row("GET /api/kernels/{id}", "kernel_info")
def kernel(w: World) -> None:
    name = w.name("kernel")
    w.send("POST", "/api/repos/create", {"name": name.split("/")[1], "type": "kernel"})
    assert w.ada.kernel_info(name).id == name


@row("GET /api/{T}/{id}/revision/{rev}", "repo_info", "revision_exists", "list_repo_files")
def revisions(w: World) -> None:
    name = w.repo(files={"a.txt": b"1"})
    sha = w.ada.model_info(name).sha
    w.ada.create_tag(name, tag="v1/rc")
    w.add(name, {"b.txt": b"2"}, create_pr=True)
    for revision in ("main", sha, sha[:7], "v1/rc"):
        assert w.ada.repo_info(name, revision=revision).sha == sha, revision
    files = w.ada.list_repo_files(name, revision="refs/pr/1")
    assert {"a.txt", "b.txt"} <= set(files)
    assert w.ada.revision_exists(name, "v1/rc")
    assert not w.ada.revision_exists(name, "v2")


@row("GET /api/datasets/{id}/leaderboard", "get_dataset_leaderboard")
def leaderboard(w: World) -> None:
    dataset, model = w.repo("dataset"), w.repo()
    result = f"- dataset: {{id: {dataset}, task_id: main}}\n  value: 0.5\n"
    w.add(model, {".eval_results/words.yaml": result.encode()})
    (entry,) = w.ada.get_dataset_leaderboard(dataset)
    assert (entry.rank, entry.model_id, entry.value) == (1, model, 0.5)


@row("GET /api/models/{id}/safetensors-metadata/{path}", "get_sharded_safetensors_metadata")
def sharded(w: World) -> None:
    index = json.dumps({"metadata": {"total_size": 32}, "weight_map": {"w": "model-1.safetensors"}})
    files = {"model-1.safetensors": weights(), "model.safetensors.index.json": index.encode()}
    found = w.ada.get_sharded_safetensors_metadata(w.repo(files=files))
    assert found.weight_map == {"w": "model-1.safetensors"}
    assert found.parameter_count == {"F32": 8}


@row("GET /api/spaces/templates", "list_space_templates")
def templates(w: World) -> None:
    assert list(w.ada.list_space_templates()) is not None
