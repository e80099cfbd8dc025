"""Lists of repositories as the official client asks for them."""

from __future__ import annotations

import itertools
import json
import uuid
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from huggingface_hub import HfApi
from huggingface_hub.errors import BadRequestError

from hf_contract.helpers import add_regular, next_url
from llmos.core.repo_types import RepoType

Make = Callable[..., str]


@pytest.fixture
def mark() -> str:
    """A tag only this test uses, so that lists show its repositories only."""
    return f"t{uuid.uuid4().hex[:10]}"


def card(mark: str, **data: Any) -> dict[str, bytes]:
    front = {"tags": [mark, *data.pop("tags", [])], **data}
    return {"README.md": f"---\n{json.dumps(front)}\n---\n".encode()}


def ids(found: Any) -> list[str]:
    return [item.id for item in found]


def test_filters_are_joined_by_and(ada: HfApi, repo: Make, mark: str) -> None:
    first, second = repo(), repo()
    add_regular(
        ada, first, card(mark, license="mit", language="en", pipeline_tag="fill-mask", datasets=["ada/words"])
    )
    add_regular(ada, second, card(mark, license="mit", library_name="timm", tags=["extra"]))
    assert set(ids(ada.list_models(filter=mark))) == {first, second}
    assert ids(ada.list_models(filter=[mark, "extra"])) == [second]
    assert ids(ada.list_models(filter=[mark, "en"])) == [first]
    assert ids(ada.list_models(filter=mark, pipeline_tag="fill-mask")) == [first]
    assert ids(ada.list_models(filter=[mark, "timm"])) == [second]
    assert ids(ada.list_models(filter=mark, trained_dataset="ada/words")) == [first]
    assert set(ids(ada.list_models(filter=[mark, "license:mit"]))) == {first, second}
    assert ids(ada.list_models(filter=mark, author="grace")) == []
    assert set(ids(ada.list_models(filter=mark, author="ADA"))) == {first, second}
    assert ids(ada.list_models(filter=mark, search=first.split("/")[1])) == [first]
    assert ids(ada.list_models(filter=mark, search="100%")) == []
    assert ids(ada.list_models(filter=mark.upper(), apps="vllm", search=second)) == [second]


def test_dataset_facets(ada: HfApi, repo: Make, mark: str) -> None:
    name = repo(repo_type=RepoType.DATASET)
    front = {"language": ["zh"], "task_categories": ["text-classification"], "size_categories": ["n<1K"]}
    add_regular(ada, name, card(mark, **front), repo_type="dataset")
    assert ids(ada.list_datasets(filter=mark, language="zh", task_categories="text-classification")) == [name]
    assert ids(ada.list_datasets(filter=mark, size_categories=["n<1K"])) == [name]
    assert ids(ada.list_datasets(filter=mark, language="en")) == []
    part = name.split("/")[1]
    assert ids(ada.list_datasets(filter=mark, dataset_name=part, search="ada")) == [name]
    assert ids(ada.list_datasets(filter=mark, search="grace")) == []


def test_parameter_ranges(ada: HfApi, repo: Make, server_rt: Any, mark: str) -> None:
    from sqlalchemy import update

    from llmos.features.repos.models import Repo

    sizes = {"small": 10**6, "large": 7 * 10**9}
    names = {}
    for label, count in sizes.items():
        names[label] = repo()
        add_regular(ada, names[label], card(mark))
        with server_rt.database.writing() as db:
            name = names[label].split("/")[1]
            db.execute(update(Repo).where(Repo.name_key == name).values(total_parameters=count))
    assert ids(ada.list_models(filter=mark, num_parameters="min:6B,max:128B")) == [names["large"]]
    assert ids(ada.list_models(filter=mark, num_parameters="max:2.5M")) == [names["small"]]
    by_size = ada.list_models(filter=mark, sort="num_parameters")  # type: ignore[arg-type]
    assert ids(by_size) == [names["large"], names["small"]]
    with pytest.raises(BadRequestError, match="num_parameters must look like"):
        list(ada.list_models(num_parameters="many"))


@pytest.mark.parametrize(
    "sort", ["created_at", "last_modified", "likes", "downloads", "trending_score", "likes30d", "id", None]
)
def test_pages_follow_each_other_without_gap_or_repeat(
    http: httpx.Client, ada: HfApi, repo: Make, mark: str, sort: str | None
) -> None:
    names = []
    for _ in range(5):
        names.append(repo())
        add_regular(ada, names[-1], card(mark))
    assert sorted(ids(ada.list_models(filter=mark, sort=sort, limit=3))) != []  # type: ignore[arg-type]
    query = {"filter": mark, "limit": "2", "expand": ["likes", "tags"]}
    words = {"created_at": "createdAt", "last_modified": "lastModified", "trending_score": "trendingScore"}
    if sort:
        query["sort"] = words.get(sort, sort)
    answer = http.get("/api/models", params=query)
    found = [item["id"] for item in answer.json()]
    late = repo()
    add_regular(ada, late, card(mark))
    while "Link" in answer.headers:
        url = next_url(answer.headers["Link"])
        assert url.startswith(str(http.base_url).rstrip("/"))
        answer = http.get(url)
        assert all(set(item) == {"_id", "id", "likes", "tags"} for item in answer.json())
        found += [item["id"] for item in answer.json()]
    assert len(found) == len(set(found))
    assert set(names) <= set(found) <= {*names, late}
    if sort in ("created_at", "id"):
        assert found == names[::-1]


def test_the_client_follows_pages_until_its_limit(ada: HfApi, repo: Make, mark: str) -> None:
    for _ in range(3):
        add_regular(ada, repo(), card(mark))
    assert len(list(ada.list_models(filter=mark, limit=2))) == 2
    assert len(list(itertools.islice(ada.list_models(filter=mark), 10))) == 3


def test_private_repositories_are_listed_for_members_only(
    ada: HfApi, grace: HfApi, repo: Make, mark: str
) -> None:
    hidden, shown = repo(visibility="private"), repo()
    for name in (hidden, shown):
        add_regular(ada, name, card(mark))
    assert set(ids(ada.list_models(filter=mark, author="ada"))) == {hidden, shown}
    assert ids(grace.list_models(filter=mark)) == [shown]
    assert ids(HfApi(endpoint=ada.endpoint, token=False).list_models(filter=mark)) == [shown]


def test_gated_filter(ada: HfApi, repo: Make, mark: str) -> None:
    auto, manual, free = repo(), repo(), repo()
    for name in (auto, manual, free):
        add_regular(ada, name, card(mark))
    ada.update_repo_settings(auto, gated="auto")
    ada.update_repo_settings(manual, gated="manual")
    assert set(ids(ada.list_models(filter=mark, gated=True))) == {auto, manual}
    assert ids(ada.list_models(filter=mark, gated=False)) == [free]


def test_full_card_config_and_expand(ada: HfApi, repo: Make, mark: str) -> None:
    name = repo()
    add_regular(ada, name, card(mark, license="mit") | {"config.json": b'{"model_type": "bert"}'})
    (plain,) = ada.list_models(filter=mark)
    assert plain.siblings is None
    assert plain.card_data is None
    assert plain.config is None
    (full,) = ada.list_models(filter=mark, full=True)
    assert {item.rfilename for item in full.siblings or []} == {".gitattributes", "README.md", "config.json"}
    assert full.sha
    assert full.config is None
    (with_config,) = ada.list_models(filter=mark, fetch_config=True, cardData=True)
    assert with_config.config == {"model_type": "bert"}
    assert with_config.card_data is not None
    (expanded,) = ada.list_models(filter=mark, expand=["author", "downloadsAllTime"])
    assert (expanded.author, expanded.downloads_all_time, expanded.likes) == ("ada", 0, None)


def test_spaces_and_kernels_have_lists(ada: HfApi, http: httpx.Client, repo: Make) -> None:
    space, kernel = repo(repo_type=RepoType.SPACE, sdk="static"), repo(repo_type=RepoType.KERNEL)
    found = {item.id: item for item in ada.list_spaces(author="ada", full=True)}
    assert found[space].sdk == "static"
    assert kernel in [item["id"] for item in http.get("/api/kernels?author=ada").json()]


def test_words_that_no_name_can_hold_are_looked_up_in_cards(ada: HfApi, repo: Make, mark: str) -> None:
    poems, other = repo(), repo()
    add_regular(ada, poems, {"README.md": f"---\ntags: [{mark}]\n---\n# 唐诗生成模型\n".encode()})
    add_regular(ada, other, {"README.md": f"---\ntags: [{mark}]\n---\n# 生活\n".encode()})
    assert ids(ada.list_models(filter=mark, search="唐诗")) == [poems]
    assert ids(ada.list_models(filter=mark, search="生成模型")) == [poems]
    assert ids(ada.list_models(filter=mark, search="小说")) == []
    assert ids(ada.list_models(filter=mark, search="🎨")) == []


def test_spaces_are_found_by_words(ada: HfApi, repo: Make, mark: str) -> None:
    space = repo(repo_type=RepoType.SPACE, sdk="static")
    front = f"---\ntitle: 图像生成 {mark}\nsdk: static\nemoji: 🎨\n---\nGenerate images.\n"
    add_regular(ada, space, {"README.md": front.encode()}, repo_type="space")
    assert [hit.id for hit in ada.search_spaces(f"{mark} generate")] == [space]
    (hit,) = ada.search_spaces(f"图像 {mark}", sdk="static")
    assert (hit.title, hit.emoji, hit.author) == (f"图像生成 {mark}", "🎨", "ada")
    assert list(ada.search_spaces(mark, sdk="docker")) == []


@pytest.mark.parametrize(
    "query",
    [
        "sort=stars", "limit=0", "limit=many", "gated=perhaps", "cursor=forged", "expand=foo",
        "cursor=WzEsMl0&sort=createdAt", "cursor=W251bGwsMV0", "num_parameters=min:x", "limit=-3",
    ],
)  # fmt: skip
def test_a_malformed_list_query_is_refused(http: httpx.Client, query: str) -> None:
    answer = http.get(f"/api/models?{query}")
    assert answer.status_code == 400
    assert answer.json()["error"]


@pytest.mark.parametrize("text", ["%00", "%F0%9F%8E%A8", "'", '"', "%25", "_", "a" * 500, "%5C"])
def test_any_text_may_be_searched_for(http: httpx.Client, text: str) -> None:
    for field in ("search", "filter", "author", "pipeline_tag", "license", "library", "language"):
        assert http.get(f"/api/models?{field}={text}").status_code == 200
    assert http.get(f"/api/spaces/semantic-search?q={text}").status_code == 200
    assert http.get(f"/api/spaces?models={text}&datasets={text}&sdk={text}").status_code == 200
    assert http.get(f"/api/models/{text}/{text}").status_code == 401
    assert http.get(f"/api/users/{text}/likes").status_code == 404
