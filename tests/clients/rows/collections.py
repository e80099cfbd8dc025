"""Rows of collections."""

from __future__ import annotations

from clients.rows import World, row, status_of


def collection(w: World) -> str:
    return str(w.ada.create_collection(w.name("list"), description="Some").slug)


@row("GET /api/collections", "list_collections")
def listing(w: World) -> None:
    slug, model = collection(w), w.repo()
    w.ada.add_collection_item(slug, model, "model")
    (found,) = w.grace.list_collections(item=f"models/{model}")
    assert (found.slug, [item.item_id for item in found.items]) == (slug, [model])
    (newest,) = w.grace.list_collections(owner="ada", sort="lastModified", limit=1)
    assert newest.slug == slug


@row("GET /api/collections/{namespace}/{slug}", "get_collection")
def get(w: World) -> None:
    slug = collection(w)
    found = w.grace.get_collection(slug)
    assert (found.slug, found.owner, found.description, found.items) == (slug, found.owner, "Some", [])
    assert status_of(lambda: w.ada.get_collection("ada/none-" + "0" * 24)) == 404


@row("POST /api/collections", "create_collection")
def create(w: World) -> None:
    title = w.name("list")
    made = w.ada.create_collection(title, private=True)
    assert (made.title, made.private) == (title, True)
    assert w.ada.create_collection(title, exists_ok=True).slug == made.slug
    assert status_of(lambda: w.ada.create_collection(title)) == 409
    assert status_of(lambda: w.grace.get_collection(made.slug)) == 404


@row("PATCH /api/collections/{namespace}/{slug}", "update_collection_metadata")
def update(w: World) -> None:
    title = w.name("renamed")
    changed = w.ada.update_collection_metadata(collection(w), title=title, theme="indigo", position=1)
    assert (changed.title, changed.theme, changed.position) == (title, "indigo", 1)


@row("DELETE /api/collections/{namespace}/{slug}", "delete_collection")
def delete(w: World) -> None:
    slug = collection(w)
    w.ada.delete_collection(slug)
    assert status_of(lambda: w.ada.delete_collection(slug)) == 404
    w.ada.delete_collection(slug, missing_ok=True)


@row("POST /api/collections/{namespace}/{slug}/items", "add_collection_item")
def add(w: World) -> None:
    slug, dataset = collection(w), w.repo("dataset")
    whole = w.ada.add_collection_item(slug, dataset, "dataset", note="first")
    whole = w.ada.add_collection_item(slug, "2307.09288", "paper")
    found = [(item.item_id, item.item_type, item.note) for item in whole.items]
    assert found == [(dataset, "dataset", "first"), ("2307.09288", "paper", None)]
    assert status_of(lambda: w.ada.add_collection_item(slug, dataset, "dataset")) == 409
    w.ada.add_collection_item(slug, dataset, "dataset", exists_ok=True)


@row("PATCH /api/collections/{namespace}/{slug}/items/{item}", "update_collection_item")
def update_item(w: World) -> None:
    slug = collection(w)
    w.ada.add_collection_item(slug, w.repo(), "model")
    second = w.ada.add_collection_item(slug, w.repo(), "model").items[1]
    w.ada.update_collection_item(slug, second.item_object_id, note="now first", position=0)
    first = w.ada.get_collection(slug).items[0]
    assert (first.item_id, first.note, first.position) == (second.item_id, "now first", 0)


@row("DELETE /api/collections/{namespace}/{slug}/items/{item}", "delete_collection_item")
def delete_item(w: World) -> None:
    slug = collection(w)
    (item,) = w.ada.add_collection_item(slug, w.repo(), "model").items
    w.ada.delete_collection_item(slug, item.item_object_id)
    assert status_of(lambda: w.ada.delete_collection_item(slug, item.item_object_id)) == 404
    w.ada.delete_collection_item(slug, item.item_object_id, missing_ok=True)
