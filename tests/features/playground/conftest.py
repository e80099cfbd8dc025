"""Models that look servable, and people in browsers."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from typing import Any

import pytest

from llmos.features.accounts.actor import Actor
from llmos.features.accounts.models import User
from llmos.features.repos.lifecycle import create_repo
from llmos.infra.runtime import Runtime

MakeModel = Callable[..., str]
TEMPLATE = "{% for message in messages %}{{ message.content }}{% endfor %}"


def tensor() -> bytes:
    """A safetensors file with one small tensor."""
    head = json.dumps({"x": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}).encode()
    return struct.pack("<Q", len(head)) + head + bytes(8)


@pytest.fixture
def make_model(rt: Runtime, people: dict[str, User]) -> MakeModel:
    """Put up a model of ada's: `make_model("tiny", "LlamaForCausalLM", chat=True, card="…")`."""

    def make(
        name: str,
        architecture: str = "LlamaForCausalLM",
        *,
        chat: bool = False,
        card: str = "",
        tokenizer: dict[str, Any] | None = None,
        private: bool = False,
        weights: bool = True,
    ) -> str:
        ada = Actor(user_id=people["ada"].id, name="ada")
        described = dict(tokenizer or {}) | ({"chat_template": TEMPLATE} if chat else {})
        files = {
            "README.md": card.encode(),
            "config.json": json.dumps({"architectures": [architecture], "model_type": "llama"}).encode(),
            "tokenizer.json": b"{}",
            "tokenizer_config.json": json.dumps(described).encode(),
        }
        if weights:
            files["model.safetensors"] = tensor()
        visibility = "private" if private else "public"
        with rt.database.writing() as db:
            repo = create_repo(db, ada, rt, name=name, visibility=visibility, files=files)
            return repo.repo_name

    return make
