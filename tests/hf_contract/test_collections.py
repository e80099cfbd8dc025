"""Collections through the official client."""

from __future__ import annotations

import re
from collections.abc import Callable

import httpx
import pytest
from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError

PAPER = "2307.09288"


def _status(call: Callable[[], object]) -> int:
    with pytest.raises(HfHubHTTPError) as caught:
        call()
    return caught.value.response.status_code


def test_whole_life(ada: HfApi, grace: HfApi, repo: Callable[..., str]) -> None:
    model, other = repo(), repo()
    made = ada.create_collection("Small Models, 小模型!", description="For laptops")
    assert re.fullmatch(r"ada/small-models-[0-9a-f]{24}", made.slug)
    assert (made.title, made.description, made.items, made.private) == (
        "Small Models, 小模型!", "For laptops", [], False,
    )  # fmt: skip
    assert _status(lambda: ada.create_collection("small models,  小模型!")) == 409
    assert ada.create_collection("Small Models, 小模型!", exists_ok=True).slug == made.slug

    ada.add_collection_item(made.slug, model, "model", note="the first")
    ada.add_collection_item(made.slug, PAPER, "paper")
    whole = ada.add_collection_item(made.slug, other, "model")
    assert [(item.item_id, item.item_type, item.position, item.note) for item in whole.items] == [
        (model, "model", 0, "the first"), (PAPER, "paper", 1, None), (other, "model", 2, None),
    ]  # fmt: skip
    assert _status(lambda: ada.add_collection_item(made.slug, model, "model")) == 409
    again = ada.add_collection_item(made.slug, model, "model", exists_ok=True)
    assert len(again.items) == 3
    assert _status(lambda: ada.add_collection_item(made.slug, "ada/nothing-here", "model")) == 404

    ada.update_collection_item(made.slug, whole.items[2].item_object_id, position=0, note="now first")
    ada.delete_collection_item(made.slug, whole.items[1].item_object_id)
    assert _status(lambda: ada.delete_collection_item(made.slug, whole.items[1].item_object_id)) == 404
    ada.delete_collection_item(made.slug, whole.items[1].item_object_id, missing_ok=True)
    seen = grace.get_collection(made.slug)
    assert [(item.item_id, item.position, item.note) for item in seen.items] == [
        (other, 0, "now first"), (model, 1, "the first"),
    ]  # fmt: skip

    renamed = ada.update_collection_metadata(made.slug, title="Tiny", theme="indigo", position=3)
    assert (renamed.title, renamed.theme, renamed.position) == ("Tiny", "indigo", 3)
    assert renamed.slug == f"ada/tiny-{made.slug[-24:]}"
    assert grace.get_collection(made.slug).slug == renamed.slug, "an old slug still leads here"
    assert _status(lambda: grace.update_collection_metadata(made.slug, title="Mine")) == 403
    assert _status(lambda: grace.add_collection_item(made.slug, model, "model")) == 403

    outer = ada.create_collection("Lists of lists")
    listed = ada.add_collection_item(outer.slug, renamed.slug, "collection").items[0]
    assert (listed.item_id, listed.item_type) == (renamed.slug, "collection")
    ada.delete_collection(outer.slug)
    ada.delete_collection(made.slug)
    assert _status(lambda: ada.delete_collection(made.slug)) == 404
    ada.delete_collection(made.slug, missing_ok=True)


def test_lists_filter_and_sort(ada: HfApi, grace: HfApi, repo: Callable[..., str]) -> None:
    model = repo()
    slugs = [ada.create_collection(f"Listed {number}").slug for number in range(3)]
    ada.add_collection_item(slugs[1], model, "model")
    found = list(grace.list_collections(item=f"models/{model}"))
    assert [item.slug for item in found] == [slugs[1]]
    assert [item.item_id for item in found[0].items] == [model]
    assert found[0].position == 0, "the place in the answer"
    latest = [item.slug for item in grace.list_collections(owner="ada", sort="lastModified", limit=3)]
    assert latest == [slugs[1], slugs[2], slugs[0]]
    assert list(grace.list_collections(owner="nobody-here")) == []
    assert list(grace.list_collections(item="models/ada/nothing-here")) == []
    assert len(list(grace.list_collections(owner=["ada"], sort="trending", limit=2))) == 2
    many = list(grace.list_collections(owner="ada", sort="upvotes"))
    assert len(many) == len({item.slug for item in many})


def test_private_ones_do_not_exist_for_others(ada: HfApi, grace: HfApi, repo: Callable[..., str]) -> None:
    secret, hidden = ada.create_collection("Secret plans", private=True).slug, repo(visibility="private")
    assert _status(lambda: grace.get_collection(secret)) == 404
    assert secret not in [item.slug for item in grace.list_collections(owner="ada")]
    assert secret in [item.slug for item in ada.list_collections(owner="ada")]
    shown = ada.create_collection("Half hidden").slug
    ada.add_collection_item(shown, hidden, "model")
    assert grace.get_collection(shown).items == []
    assert list(grace.list_collections(item=f"models/{hidden}")) == []
    assert _status(lambda: grace.create_collection("Theirs", namespace="ada")) == 403


@pytest.mark.parametrize(
    ("method", "tail", "body", "status"),
    [
        ("POST", "", {"title": "x" * 61, "namespace": "ada"}, 400),
        ("POST", "", {"title": "  ", "namespace": "ada"}, 400),
        ("POST", "", {"title": "x", "namespace": "ada", "private": "yes"}, 400),
        ("POST", "", {"title": "x", "namespace": "no-such"}, 404),
        ("PATCH", "SLUG", {"theme": "mud"}, 400),
        ("PATCH", "SLUG", {"position": True}, 400),
        ("POST", "SLUG/items", {"item": "ada/x"}, 400),
        ("POST", "SLUG/items", {"item": {"type": "book", "id": "ada/x"}}, 400),
        ("POST", "SLUG/items", {"item": {"type": "paper", "id": "../x"}}, 400),
        ("POST", "SLUG/items", {"item": {"type": "paper", "id": PAPER}, "note": "n" * 501}, 400),
        ("GET", "?sort=age", None, 400),
        ("GET", "?item=models", None, 400),
        ("GET", "?cursor=WzFd", None, 400),
        ("POST", "SLUG/resource-group", {"resourceGroupId": None}, 501),
    ],
)
def test_bad_values_are_refused(
    as_ada: httpx.Client, ada: HfApi, method: str, tail: str, body: object, status: int
) -> None:
    slug = ada.create_collection("Refusals", exists_ok=True).slug
    path = "/api/collections" + ("/" if "SLUG" in tail else "") + tail.replace("SLUG", slug)
    answer = as_ada.request(method, path, json=body)
    assert answer.status_code == status, answer.text


def test_votes_count_once(as_ada: httpx.Client, ada: HfApi) -> None:
    slug = ada.create_collection("Voted").slug
    for _ in range(2):
        assert as_ada.post(f"/api/collections/{slug}/upvote").json() == {"upvotes": 1}
    assert as_ada.delete(f"/api/collections/{slug}/upvote").json() == {"upvotes": 0}
