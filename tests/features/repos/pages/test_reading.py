"""Pages anybody reads: home, lists, search, profiles, cards, files, history."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import quote

import pytest

from kit.statements import counted
from llmos.core.repo_types import RepoType
from llmos.features.repos.models import Repo
from llmos.infra.runtime import Runtime

from ..cards.test_weight_headers import KEYS, TENSORS, gguf
from .conftest import Put, Visitors

MakeRepo = Callable[..., Repo]
CARD = """---
license: mit
language: [en, zh]
pipeline_tag: text-generation
library_name: transformers
base_model: ada/base-llm
---
# Tiny

See [the notes](docs/notes.md) and ![a curve](loss.png). <script>alert(1)</script>
"""


@pytest.fixture
def tiny(make_repo: MakeRepo, put: Put) -> Repo:
    make_repo("base-llm")
    repo = make_repo("tiny-llm")
    put(repo, {"README.md": CARD, "docs/notes.md": "# Notes\n", "train.py": "x = 1\ny = 2\n"})
    return repo


def test_home_greets_visitors_with_their_own_address(visitors: Visitors, tiny: Repo) -> None:
    text = visitors.get("/").text
    assert "HF_ENDPOINT" in text
    assert "http://testserver" in text
    assert "/ada/tiny-llm" in text


def test_home_keeps_private_things_to_their_owner(visitors: Visitors, make_repo: MakeRepo) -> None:
    make_repo("secret", visibility="private")
    assert "ada/secret" not in visitors.get("/").text.replace("</span>", "").replace("<span", "")
    assert 'href="/ada/secret"' in visitors.get("/", "ada").text
    assert 'href="/ada/secret"' not in visitors.get("/", "grace").text


def test_pages_speak_both_languages(visitors: Visitors) -> None:
    for path in ("/", "/models", "/search", "/docs", "/ada"):
        for locale, tag in (("en", "en"), ("zh", "zh-Hans")):
            answer = visitors.get(path, locale=locale)
            assert answer.status_code == 200
            assert f'<html lang="{tag}"' in answer.text


def test_lists_filter_count_and_clear(visitors: Visitors, tiny: Repo, make_repo: MakeRepo, put: Put) -> None:
    other = make_repo("translator")
    put(other, {"README.md": "---\npipeline_tag: translation\nlicense: apache-2.0\n---\nWords."})
    everything = visitors.get("/models").text
    assert "/ada/tiny-llm" in everything
    assert "/ada/translator" in everything
    one = visitors.get("/models?task=translation").text
    assert "/ada/translator" in one
    assert 'href="/ada/tiny-llm"' not in one
    assert 'aria-current="true"' in one
    # The options of a chosen facet go on being offered, with what they would give.
    assert "Text generation" in one
    assert 'href="/ada/tiny-llm"' in visitors.get("/models?language=zh").text
    assert "Nothing fits" in visitors.get("/models?task=translation&language=zh").text


def test_gguf_files_tell_what_is_in_them(visitors: Visitors, make_repo: MakeRepo, put: Put) -> None:
    repo = make_repo("tiny-gguf")
    data = gguf(KEYS, TENSORS) + bytes(64)
    put(repo, {"README.md": CARD, "tiny.gguf": data, "cut.gguf": data[:90]})
    shown = visitors.get("/ada/tiny-gguf/blob/main/tiny.gguf").text
    for word in ("llama", "2048", "Q4_K_M", "general.name", "llama.rope.freq_base", "6,464"):
        assert word in shown, word
    assert "你好" not in shown  # lists of tokens are not
    assert "header ends" in visitors.get("/ada/tiny-gguf/blob/main/cut.gguf").text
    assert "文件头" in visitors.get("/ada/tiny-gguf/blob/main/cut.gguf", locale="zh").text
    page = visitors.get("/ada/tiny-gguf").text
    assert "Q4_K_M" in page
    assert "llama-server" in page or "llama-cli" in page


def test_lists_search_in_chinese(visitors: Visitors, make_repo: MakeRepo, put: Put) -> None:
    repo = make_repo("news", repo_type=RepoType.DATASET)
    put(repo, {"README.md": "# 数据\n\n六千条中文新闻标题，按主题标注。\n"})
    assert 'href="/datasets/ada/news"' in visitors.get(f"/datasets?search={quote('新闻')}").text
    assert 'href="/datasets/ada/news"' in visitors.get(f"/search?q={quote('标题')}").text
    assert "/datasets/ada/news" not in visitors.get(f"/search?q={quote('体育')}").text
    assert visitors.get("/search/suggest?q=new").json()[0]["href"] == "/datasets/ada/news"


def test_lists_go_on_by_cursor_without_repeating(visitors: Visitors, make_repo: MakeRepo) -> None:
    names = {f"/ada/m{number:02}" for number in range(30)}
    for name in names:
        make_repo(name.rpartition("/")[2])
    for order in ("trending", "updated", "likes"):
        first = visitors.get(f"/models?sort={order}").text
        more = re.search(r'hx-get="([^"]+)"', first)
        assert more is not None
        second = visitors.get(more[1].replace("&amp;", "&")).text
        found = [set(re.findall(r'href="(/ada/m\d\d)"', text)) for text in (first, second)]
        assert found[0] | found[1] == names
        assert not found[0] & found[1]


def test_nonsense_in_a_list_address_is_refused(visitors: Visitors) -> None:
    for query in ("sort=x", "cursor=x", "sort=likes&cursor=WzEsMixd", "task=%00", "search=" + "x" * 300):
        assert visitors.get(f"/models?{query}").status_code == 400, query


def test_card_is_safe_and_its_links_lead_into_the_repository(visitors: Visitors, tiny: Repo) -> None:
    text = visitors.get("/ada/tiny-llm").text
    assert "<script>alert" not in text
    assert 'href="/ada/tiny-llm/blob/main/docs/notes.md"' in text
    assert 'src="/ada/tiny-llm/resolve/main/loss.png"' in text
    assert 'href="/ada/base-llm"' in text
    assert "transformers" in text
    assert visitors.get("/ada/base-llm").text.count("/models?tag=base_model%3Aada%2Fbase-llm") == 1


PRIVATE_PAGES = (
    "", "/tree/main", "/blob/main/.gitattributes", "/commits/main", "/branches",
    "/blame/main/.gitattributes",
    "/compare/main...main", "/settings", "/edit/main/.gitattributes", "/new/main", "/upload/main",
    "/commit/abc",
)  # fmt: skip


def test_private_repositories_do_not_exist_for_others(visitors: Visitors, make_repo: MakeRepo) -> None:
    make_repo("secret", visibility="private")
    for suffix in PRIVATE_PAGES:
        for who in (None, "grace"):
            answer = visitors.get(f"/ada/secret{suffix}", who)
            missing = visitors.get(f"/ada/missing{suffix}", who)
            assert (answer.status_code, missing.status_code) == (404, 404), suffix
            assert answer.text.count("secret") == missing.text.count("missing")


def test_changing_pages_ask_visitors_to_sign_in_and_refuse_strangers(visitors: Visitors, tiny: Repo) -> None:
    for suffix in ("/settings", "/edit/main/README.md", "/new/main", "/upload/main", "/delete/main/train.py"):
        asked = visitors.get(f"/ada/tiny-llm{suffix}")
        assert asked.status_code == 303
        assert asked.headers["location"] == f"/login?next=/ada/tiny-llm{suffix}"
        seen = visitors.get(f"/ada/tiny-llm{suffix}", "grace")
        if suffix.startswith(("/edit", "/new")):
            # Every reader may write; what they write becomes a pull request.
            assert 'name="propose"' in seen.text
            assert "Commit to main" not in seen.text
        else:
            assert seen.status_code == 403


def test_files_tree_blob_history_and_diff(visitors: Visitors, tiny: Repo) -> None:
    tree = visitors.get("/ada/tiny-llm/tree/main").text
    assert "Add files" in tree
    assert 'href="/ada/tiny-llm/tree/main/docs"' in tree
    assert (
        visitors.get("/ada/tiny-llm/tree/main/train.py").headers["location"].endswith("/blob/main/train.py")
    )
    assert visitors.get("/ada/tiny-llm/blob/main/docs").headers["location"].endswith("/tree/main/docs")
    blob = visitors.get("/ada/tiny-llm/blob/main/train.py").text
    assert 'id="L2"' in blob
    history = visitors.get("/ada/tiny-llm/commits/main").text
    commit = re.search(r"/ada/tiny-llm/commit/[0-9a-f]{40}", history)
    assert commit is not None
    diff = visitors.get(commit[0]).text
    assert "train.py" in diff
    assert "diff-added" in diff
    assert "Add files" in visitors.get("/ada/tiny-llm/blame/main/train.py").text


def test_bad_addresses_get_a_typed_answer(visitors: Visitors, tiny: Repo) -> None:
    answers = {
        "/tree/nowhere": 404,
        "/tree/main/nowhere": 404,
        "/blob/main/nowhere": 404,
        "/blob/main/%00": 404,
        "/blob/main/" + "a/" * 3000: 404,
        "/tree/%ff": 404,
        "/tree/main?after=%ff%fe": 200,
        "/tree/refs%2Fheads%2Fmain": 200,
        "/commits/x..y": 404,
        "/commits/main?skip=-1": 400,
        "/commits/main?from=x": 404,
        "/commit/main": 404,
        "/compare/main": 404,
        "/compare/main...nowhere": 404,
        "/blame/main/docs": 200,
    }
    for suffix, status in answers.items():
        assert visitors.get(f"/ada/tiny-llm{suffix}").status_code == status, suffix


def test_revisions_with_slashes_have_pages(visitors: Visitors, tiny: Repo) -> None:
    made = visitors.post(
        "/ada/tiny-llm/branches", "ada", action="create-branch", name="topic/longer", **{"from": "main"}
    )
    assert made.status_code == 303
    assert visitors.get("/ada/tiny-llm/tree/topic%2Flonger").status_code == 200
    assert 'href="/ada/tiny-llm/tree/topic%2Flonger"' in visitors.get("/ada/tiny-llm/branches").text


def test_four_types_have_their_pages(visitors: Visitors, make_repo: MakeRepo) -> None:
    for kind in RepoType:
        make_repo("same-name", repo_type=kind, sdk="static" if kind is RepoType.SPACE else None)
    for kind in RepoType:
        for suffix in ("", "/tree/main", "/commits/main", "/branches"):
            assert visitors.get(f"/{kind.url_prefix}ada/same-name{suffix}").status_code == 200
        assert f'href="/{kind.url_prefix}ada/same-name"' in visitors.get(f"/{kind.plural}").text
        assert f'href="/{kind.url_prefix}ada/same-name"' in visitors.get("/ada").text


def test_profile_addresses_are_corrected_in_case(visitors: Visitors) -> None:
    assert visitors.get("/ADA").headers["location"] == "/ada"
    assert visitors.get("/nobody-here").status_code == 404


def test_no_page_asks_the_database_too_often(
    visitors: Visitors, rt: Runtime, tiny: Repo, make_repo: MakeRepo
) -> None:
    for number in range(20):
        make_repo(f"m{number}")
    for path in (
        "/",
        "/models",
        "/ada/tiny-llm",
        "/ada/tiny-llm/tree/main",
        "/search?q=tiny",
        "/ada",
        "/lab",
    ):
        visitors.get(path)
        with counted() as selects:
            visitors.get(path, "grace")
        assert len(selects) <= 12, (path, len(selects), selects)
