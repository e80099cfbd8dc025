"""Rows of identity, sign-in, validation and meta."""

from __future__ import annotations

import importlib

from clients.rows import World, raises, row, status_of

_DEVICE = "huggingface_hub.utils._oauth_device"
_TASKS = "huggingface_hub.inference._providers.hf_inference"


@row("GET /api/whoami-v2", "whoami")
def whoami(w: World) -> None:
    me = w.ada.whoami()
    assert (me["type"], me["name"]) == ("user", "ada")
    assert "lab" in [org["name"] for org in me["orgs"]]
    assert me["auth"]["accessToken"]["role"] == "write"
    assert w.ada.get_full_repo_name("tiny-llm") == "ada/tiny-llm"
    if hasattr(w.ada, "get_token_permission"):
        assert w.ada.get_token_permission() == "write"
    assert status_of(lambda: w.ada.whoami(token="hf_" + "x" * 37)) == 401


@row("POST /oauth/device", f"{_DEVICE}:request_device_code")
def device(w: World) -> None:
    code = importlib.import_module(_DEVICE).request_device_code()
    assert code["verification_uri"].endswith("/device")
    assert code["user_code"] in code["verification_uri_complete"]


@row("POST /oauth/token", f"{_DEVICE}:poll_device_token")
def device_token(w: World) -> None:
    flow = importlib.import_module(_DEVICE)
    code = flow.request_device_code()
    w.form("/device", {"user_code": code["user_code"], "decision": "approve"})
    token = flow.poll_device_token(code)["access_token"]
    assert w.ada.whoami(token=token)["name"] == "ada"


@row("POST /api/validate-yaml", "create_commit")
def validate(w: World) -> None:
    name = w.repo(files={"README.md": b"---\nlicense: mit\n---\n# Tiny\n"})
    wrong = {"README.md": b"---\nlicense: no-such-licence\n---\n"}
    assert raises(ValueError, lambda: w.add(name, wrong))


@row("GET /api/models-tags-by-type", "get_model_tags")
def model_tags(w: World) -> None:
    assert "license" in w.ada.get_model_tags()


@row("GET /api/datasets-tags-by-type", "get_dataset_tags")
def dataset_tags(w: World) -> None:
    assert "task_categories" in w.ada.get_dataset_tags()


@row("GET /api/tasks", f"{_TASKS}:_fetch_recommended_models")
def tasks(w: World) -> None:
    assert "text-generation" in importlib.import_module(_TASKS)._fetch_recommended_models()
