"""What the official client learns about one repository."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable

import httpx
import pytest
from huggingface_hub import HfApi, hf_api
from huggingface_hub.errors import (
    BadRequestError,
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from hf_contract.helpers import add_regular
from kit.server import LiveServer

Make = Callable[..., str]

CARD = b"""---
license: apache-2.0
language: [en, zh]
library_name: transformers
pipeline_tag: text-generation
tags: [tiny, chat]
datasets: [ada/words]
base_model: ada/parent
model-index:
- name: tiny
  results:
  - task: {type: text-generation}
    dataset: {type: ada/words, name: Words}
    metrics: [{type: perplexity, value: 12.5}]
---
# Tiny
A small model, see https://arxiv.org/abs/2106.09685.
"""


def safetensors(shape: tuple[int, ...] = (4, 2)) -> bytes:
    count = 1
    for length in shape:
        count *= length
    header = json.dumps(
        {"w": {"dtype": "F32", "shape": list(shape), "data_offsets": [0, count * 4]}}
    ).encode()
    return struct.pack("<Q", len(header)) + header + b"\0" * (count * 4)


@pytest.fixture
def model(ada: HfApi, repo: Make) -> str:
    repo_id = repo()
    config = {"architectures": ["LlamaForCausalLM"], "model_type": "llama"}
    files = {"README.md": CARD, "config.json": json.dumps(config).encode()}
    add_regular(ada, repo_id, files)
    return repo_id


def test_a_model_is_described_from_its_card_and_files(ada: HfApi, model: str) -> None:
    info = ada.model_info(model)
    assert info.id == model
    assert info.author == "ada"
    assert info.sha == ada.list_repo_commits(model)[0].commit_id
    assert (info.pipeline_tag, info.library_name) == ("text-generation", "transformers")
    assert {"en", "zh", "tiny", "chat", "license:apache-2.0", "dataset:ada/words", "arxiv:2106.09685"} <= set(
        info.tags or []
    )
    assert {"base_model:ada/parent", "base_model:finetune:ada/parent", "transformers", "llama"} <= set(
        info.tags or []
    )
    assert info.card_data is not None
    assert info.card_data.license == "apache-2.0"
    assert info.card_data.eval_results is not None
    assert info.model_index is not None
    assert info.config == {"architectures": ["LlamaForCausalLM"], "model_type": "llama"}
    assert info.transformers_info is not None
    assert info.transformers_info.auto_model == "AutoModelForCausalLM"
    assert {item.rfilename for item in info.siblings or []} == {".gitattributes", "README.md", "config.json"}
    assert all(item.size is None for item in info.siblings or [])
    assert (info.private, info.gated, info.disabled, info.downloads, info.likes) == (
        False,
        False,
        False,
        0,
        0,
    )
    assert info.created_at is not None
    assert info.last_modified is not None
    assert info.last_modified >= info.created_at


def test_file_metadata_and_security_status_come_when_asked_for(ada: HfApi, model: str) -> None:
    info = ada.model_info(model, files_metadata=True, securityStatus=True)
    card = next(item for item in info.siblings or [] if item.rfilename == "README.md")
    assert card.size == len(CARD)
    assert len(card.blob_id or "") == 40
    assert card.lfs is None
    assert info.security_repo_status == {"scansDone": False, "filesWithIssues": []}


@pytest.mark.filterwarnings("ignore:Use 'content:DeprecationWarning")  # the client's own LFS upload
def test_parameters_are_counted_from_an_uploaded_weight_file(ada: HfApi, repo: Make) -> None:
    repo_id = repo()
    ada.upload_file(path_or_fileobj=safetensors(), path_in_repo="model.safetensors", repo_id=repo_id)
    info = ada.model_info(repo_id, files_metadata=True)
    assert info.safetensors is not None
    assert (info.safetensors.parameters, info.safetensors.total) == ({"F32": 8}, 8)
    weights = next(item for item in info.siblings or [] if item.rfilename == "model.safetensors")
    assert weights.lfs is not None
    assert weights.size == weights.lfs.size == len(safetensors())
    assert weights.lfs.pointer_size > 100
    assert ada.model_info(repo_id, expand=["usedStorage"]).used_storage >= len(safetensors())
    assert ada.get_safetensors_metadata(repo_id).parameter_count == {"F32": 8}


@pytest.mark.filterwarnings("ignore:Use 'content:DeprecationWarning")  # the client's own LFS upload
def test_sharded_weights_are_summed_and_their_headers_come_in_one_answer(ada: HfApi, repo: Make) -> None:
    repo_id = repo()
    shards = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    for i, shard in enumerate(shards):
        ada.upload_file(path_or_fileobj=safetensors((i + 1, 3)), path_in_repo=shard, repo_id=repo_id)
    index = {"metadata": {"total_size": 36}, "weight_map": {"a": shards[0], "b": shards[1]}}
    add_regular(ada, repo_id, {"model.safetensors.index.json": json.dumps(index).encode()})
    info = ada.model_info(repo_id)
    assert info.safetensors is not None
    assert info.safetensors.total == 3 + 6
    metadata = ada.get_sharded_safetensors_metadata(repo_id)
    assert metadata.sharded
    assert metadata.parameter_count == {"F32": 9}
    assert set(metadata.files_metadata) == set(shards)


def test_an_older_revision_is_described_by_its_own_files(ada: HfApi, model: str) -> None:
    first = ada.list_repo_commits(model)[-1].commit_id
    for rev in (first, first[:7]):
        info = ada.model_info(model, revision=rev)
        assert info.sha == first
        assert info.pipeline_tag is None
        assert [item.rfilename for item in info.siblings or []] == [".gitattributes"]
    ada.create_tag(model, tag="v1", revision=first)
    assert ada.model_info(model, revision="v1").sha == first
    assert ada.model_info(model, revision="main").pipeline_tag == "text-generation"
    assert ada.model_info(model, revision="refs/heads/main").sha == ada.model_info(model).sha


def test_an_unknown_revision_is_named(ada: HfApi, model: str) -> None:
    with pytest.raises(RevisionNotFoundError):
        ada.model_info(model, revision="no-such")


@pytest.mark.parametrize("repo_type", ["model", "dataset", "space"])
def test_expand_gives_exactly_what_it_names(ada: HfApi, repo: Make, repo_type: str) -> None:
    from llmos.core.repo_types import RepoType

    repo_id = repo(repo_type=RepoType(repo_type), sdk="static" if repo_type == "space" else None)
    info = ada.repo_info(repo_id, repo_type=repo_type, expand=["author", "sha"])
    assert (info.author, info.id) == ("ada", repo_id)
    assert info.sha
    assert info.private is None
    assert info.likes is None
    assert info.siblings is None
    legal = {
        "model": hf_api.ExpandModelProperty_T,
        "dataset": hf_api.ExpandDatasetProperty_T,
        "space": hf_api.ExpandSpaceProperty_T,
    }[repo_type].__args__
    assert ada.repo_info(repo_id, repo_type=repo_type, expand=list(legal)).author == "ada"
    with pytest.raises(BadRequestError) as refused:
        ada.repo_info(repo_id, repo_type=repo_type, expand=["foo"])  # type: ignore[list-item]
    message = refused.value.response.json()["error"]
    named = message.removeprefix('"expand" must be one of [').removesuffix("]").split(", ")
    assert sorted(named) == sorted((*legal, "xetEnabled")), "which older clients ask for"


def test_ids_are_read_in_any_case(ada: HfApi, model: str) -> None:
    assert ada.model_info(model.upper()).id == model


@pytest.mark.parametrize("missing", ["gpt2", "ada/nothing", "nobody/nothing", "i--d/dont"])
def test_what_does_not_exist_is_not_found(ada: HfApi, server: LiveServer, missing: str) -> None:
    headers = {"Authorization": f"Bearer {server.tokens['ada']}"}
    for address in (f"/api/models/{missing}", f"/api/models/{missing}/revision/main"):
        answer = httpx.get(server.url + address, headers=headers)
        assert answer.status_code == 404
        assert answer.headers["X-Error-Code"] == "RepoNotFound"
    assert not ada.repo_exists("nobody/nothing")


@pytest.mark.parametrize(
    ("caller", "status"), [("anonymous", 401), ("grace", 404), ("ada", 200), ("root-admin", 200)]
)
@pytest.mark.parametrize("path", ["", "/revision/main", "/likers", "/auth-check", "?expand=sha"])
def test_a_private_repository_exists_for_its_members_only(
    server: LiveServer, repo: Make, caller: str, status: int, path: str
) -> None:
    repo_id = repo(visibility="private")
    headers = {} if caller == "anonymous" else {"Authorization": f"Bearer {server.tokens[caller]}"}
    answer = httpx.get(f"{server.url}/api/models/{repo_id}{path}", headers=headers)
    assert answer.status_code == status
    if status != 200:
        assert answer.headers["X-Error-Code"] == "RepoNotFound"


def test_families_and_users_are_counted(ada: HfApi, repo: Make) -> None:
    parent, child, dataset = repo(), repo(), repo(repo_type=_type("dataset"))
    space = repo(repo_type=_type("space"), sdk="static")
    add_regular(
        ada, child, {"README.md": f"---\nbase_model: {parent}\ndatasets: [{dataset}]\n---\n".encode()}
    )
    card = f"---\ntitle: Demo\nsdk: static\nmodels: [{parent}]\ndatasets: [{dataset}]\n---\n"
    add_regular(ada, space, {"README.md": card.encode()}, repo_type="space")
    info = ada.model_info(parent, expand=["childrenModelCount", "spaces"])
    assert (info.children_model_count, info.spaces) == (1, [space])
    assert ada.model_info(child, expand=["baseModels"]).base_models == [parent]
    assert ada.space_info(space).models == [parent]
    assert [found.id for found in ada.list_spaces(models=parent)] == [space]
    assert [found.id for found in ada.list_spaces(datasets=[dataset])] == [space]
    assert child in [found.id for found in ada.list_models(trained_dataset=dataset)]


def _type(name: str) -> object:
    from llmos.core.repo_types import RepoType

    return RepoType(name)


def test_a_dataset_and_a_kernel(ada: HfApi, repo: Make) -> None:
    dataset = repo(repo_type=_type("dataset"))
    front = b"license: mit\nlanguage: zh\nsize_categories: ['n<1K']\npretty_name: Words\n"
    card = b"---\n" + front + b"---\n# Words\n\nMany words.\n"
    add_regular(ada, dataset, {"README.md": card, "data.csv": b"a,b\n1,2\n"}, repo_type="dataset")
    info = ada.dataset_info(dataset)
    assert {"license:mit", "language:zh", "size_categories:n<1K", "format:csv"} <= set(info.tags or [])
    assert info.description == "Many words."
    assert ada.dataset_info(dataset, expand=["mainSize"]).main_size > len(card)
    kernel = repo(repo_type=_type("kernel"))
    assert ada.kernel_info(kernel).private is False


def test_evaluation_results_make_a_leaderboard(ada: HfApi, grace: HfApi, repo: Make) -> None:
    dataset = repo(repo_type=_type("dataset"))
    values = {repo(): 0.5, repo(): 0.75}
    for repo_id, value in values.items():
        result = f"- dataset: {{id: {dataset}, task_id: main}}\n  value: {value}\n  notes: first try\n"
        add_regular(ada, repo_id, {".eval_results/words.yaml": result.encode()})
    hidden = repo(visibility="private")
    add_regular(
        ada,
        hidden,
        {".eval_results/w.yaml": f"- dataset: {{id: {dataset}, task_id: main}}\n  value: 1\n".encode()},
    )
    board = grace.get_dataset_leaderboard(dataset)
    best = max(values, key=lambda repo_id: values[repo_id])
    assert [(entry.rank, entry.value) for entry in board] == [(1, 0.75), (2, 0.5)]
    assert board[0].model_id == best
    assert board[0].author.username == "ada"
    assert board[0].notes == "first try"
    results = grace.model_info(best, expand=["evalResults"]).eval_results
    assert results is not None
    assert results[0].value == 0.75
    assert results[0].dataset_id == dataset


def test_a_benchmark_is_one_at_once_and_nobody_is_verified_by_claiming_it(
    ada: HfApi, grace: HfApi, repo: Make
) -> None:
    dataset, model = repo(repo_type=_type("dataset")), repo()
    spec = (
        b"name: Words\ndescription: Guess the word.\nevaluation_framework: llmos\n"
        b"tasks:\n- {id: main, split: test, metrics: [perplexity]}\n"
    )
    add_regular(ada, dataset, {"eval.yaml": spec}, repo_type="dataset")
    assert dataset in {found.id for found in ada.list_datasets(benchmark=True, author="ada")}
    line = f"- dataset: {{id: {dataset}, task_id: main}}\n  value: 9.5\n  verifyToken: llmos:v1:a:b\n"
    add_regular(ada, model, {".eval_results/words.yaml": line.encode()})
    offered = f"- dataset: {{id: {dataset}, task_id: main}}\n  value: 7.5\n"
    other = repo()
    add_regular(grace, other, {".eval_results/words.yaml": offered.encode()}, create_pr=True)
    first, second = grace.get_dataset_leaderboard(dataset)
    assert (first.model_id, first.value, first.verified, first.pull_request) == (other, 7.5, False, 1)
    assert (second.model_id, second.verified, second.pull_request) == (model, False, None)
    (entry,) = grace.model_info(model, expand=["evalResults"]).eval_results or []
    assert (entry.value, entry.verify_token) == (9.5, "llmos:v1:a:b")
    (entry,) = grace.model_info(other, expand=["evalResults"]).eval_results or []
    assert entry.value == 7.5


def test_a_card_with_broken_metadata_does_not_break_the_answer(
    ada: HfApi, server_rt: object, repo: Make
) -> None:
    repo_id = repo()
    add_regular(
        ada, repo_id, {"config.json": b'{"a": 1e999, "b": NaN, "big": 123456789012345678901234567890}'}
    )
    assert ada.model_info(repo_id).id == repo_id
    add_regular(ada, repo_id, {"config.json": b"\xff\xfe not json"})
    assert ada.model_info(repo_id).config is None


@pytest.mark.parametrize("query", ["expand=sha&blobs=true", "blobs=perhaps"])
def test_a_contradictory_query_is_refused(http: httpx.Client, repo: Make, query: str) -> None:
    assert http.get(f"/api/models/{repo()}?{query}").status_code == 400


def test_errors_of_unbuilt_parts_are_clear(ada: HfApi, repo: Make) -> None:
    repo_id = repo()
    for call in (
        lambda: ada.get_space_runtime(repo_id),
        lambda: list(ada.list_papers(query="x")),
    ):
        with pytest.raises(HfHubHTTPError, match="not part of this LLMOS version") as refused:
            call()
        assert refused.value.response.status_code == 501


def test_a_repository_that_is_gone_is_not_found(grace: HfApi) -> None:
    with pytest.raises(RepositoryNotFoundError):
        grace.model_info("ada/never-was")
