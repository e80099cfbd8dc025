"""Rows of webhooks."""

from __future__ import annotations

from typing import Any

from clients.rows import World, row, status_of

URL = "https://example.org/hook"


def hook(w: World) -> Any:
    watched = [{"type": "user", "name": "ada"}, {"type": "org", "name": "lab"}]
    return w.ada.create_webhook(url=URL, watched=watched, domains=["repo"], secret="s3cret")


@row("GET /api/settings/webhooks", "list_webhooks")
def listing(w: World) -> None:
    made = hook(w)
    assert made.id in [found.id for found in w.ada.list_webhooks()]
    assert made.id not in [found.id for found in w.grace.list_webhooks()]
    w.ada.delete_webhook(made.id)


@row("POST /api/settings/webhooks", "create_webhook")
def create(w: World) -> None:
    made = hook(w)
    assert (made.url, made.domains, made.secret, made.disabled) == (URL, ["repo"], "s3cret", False)
    assert [(item.type, item.name) for item in made.watched] == [("user", "ada"), ("org", "lab")]
    w.ada.delete_webhook(made.id)


@row("GET /api/settings/webhooks/{webhook}", "get_webhook")
def get(w: World) -> None:
    made = hook(w)
    assert w.ada.get_webhook(made.id) == made
    assert status_of(lambda: w.grace.get_webhook(made.id)) == 404
    w.ada.delete_webhook(made.id)


@row("POST /api/settings/webhooks/{webhook}", "update_webhook")
def update(w: World) -> None:
    made = hook(w)
    watched = [{"type": "user", "name": "grace"}]
    changed = w.ada.update_webhook(made.id, url=URL + "/2", watched=watched, domains=["discussion"])
    assert (changed.url, changed.domains) == (URL + "/2", ["discussion"])
    w.ada.delete_webhook(made.id)


@row("POST /api/settings/webhooks/{webhook}/enable", "enable_webhook")
def enable(w: World) -> None:
    made = hook(w)
    w.ada.disable_webhook(made.id)
    assert not w.ada.enable_webhook(made.id).disabled
    w.ada.delete_webhook(made.id)


@row("POST /api/settings/webhooks/{webhook}/disable", "disable_webhook")
def disable(w: World) -> None:
    made = hook(w)
    assert w.ada.disable_webhook(made.id).disabled
    w.ada.delete_webhook(made.id)


@row("DELETE /api/settings/webhooks/{webhook}", "delete_webhook")
def delete(w: World) -> None:
    made = hook(w)
    w.ada.delete_webhook(made.id)
    assert status_of(lambda: w.ada.get_webhook(made.id)) == 404
