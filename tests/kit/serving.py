"""Models small enough to be served in a test, and a runner that serves them."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from huggingface_hub import HfApi

from kit.runners import register, runner, wait_for_runner
from kit.server import LiveServer

CHAT_TEMPLATE = (
    "{% for message in messages %}<|{{ message.role }}|>\n{{ message.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)


def tiny_chat_model(folder: Path) -> Path:
    """A Llama of 40 thousand parameters with a byte-level tokenizer and a chat template, in `folder`."""
    from kit.tiny_models import make_model

    make_model(folder, length=512)
    (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE)
    return folder


def put_model(
    server: LiveServer, folder: Path, repo: str, *, private: bool = False, person: str = "ada"
) -> str:
    """Commit a folder as a model of `person`; the commit's id."""
    api = HfApi(endpoint=server.url, token=server.tokens[person])
    api.create_repo(repo, private=private, exist_ok=True)
    return str(api.upload_folder(repo_id=repo, folder_path=folder).oid)


@contextmanager
def engine_runner(server: LiveServer, folder: Path, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """A runner process that serves models of `server` and takes no jobs; it is connected."""
    token = register(server, folder.name)
    with runner(server, folder, token, "--serve-only", *options) as process:
        # A call that comes sooner is told that no machine is connected.
        wait_for_runner(server, token)
        yield process
