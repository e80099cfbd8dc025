"""`make docs`: writes docs/reference/*.md from the code. A house test compares them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from llmos.infra.settings import Settings

Pages = dict[str, str]


def settings_page() -> str:
    lines = [
        "# Settings",
        "",
        "Set a value in the environment, or in `$LLMOS_HOME/llmos.toml` under the name in lower case",
        "without the prefix. `llmos config show` prints each value and where it came from.",
        "",
        "| name | default | what it does |",
        "|---|---|---|",
    ]
    for name, field in Settings.model_fields.items():
        default = "" if field.default is None else f"`{field.default}`"
        lines.append(f"| `LLMOS_{name.upper()}` | {default} | {field.description} |")
    lines += [
        "| `LLMOS_EXTRAS` | `all` | `hub` leaves out the training side (read by `make` and `llmos up`). |",
        "| `LLMOS_TORCH_INDEX` |  | Package index for torch, for a GPU build (read by `make setup-lab`). |",
        "| `LLMOS_PYTHON` |  | Python program to build the environment with (read by `make`). |",
    ]
    return "\n".join(lines) + "\n"


def _commands(
    command: click.Command, path: str, parent: click.Context | None
) -> Iterator[tuple[str, click.Command]]:
    context = click.Context(command, info_name=path.rsplit(maxsplit=1)[-1], parent=parent)
    yield path, command
    if isinstance(command, click.Group):
        for name in sorted(command.list_commands(context)):
            child = command.get_command(context, name)
            if child is not None and not child.hidden:
                yield from _commands(child, f"{path} {name}", context)


def commands_page() -> str:
    from llmos.cli.root import main

    lines = ["# Commands", "", "Each takes `--help`; those that print data take `--json`.", ""]
    for path, command in _commands(main, "llmos", None):
        if isinstance(command, click.Group):
            continue
        context = click.Context(command, info_name=path)
        usage = " ".join(command.collect_usage_pieces(context))
        lines += [f"## `{path}`", "", f"`{path} {usage}`", "", command.get_short_help_str(300), ""]
        options = [p for p in command.params if isinstance(p, click.Option) and not p.hidden]
        lines += [f"- `{', '.join(o.opts)}` {o.help or ''}".rstrip() for o in options]
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def routes_page() -> str:
    from llmos.app.asgi import build_api, flat_routes

    lines = [
        "# Routes",
        "",
        "Every address the instance answers, in matching order. `seg` is one path segment, `rev` a",
        "revision, `rest` the rest of the path; each is percent-decoded once.",
        "",
        "| method | path |",
        "|---|---|",
        "| GET, HEAD | `/{prefix}{namespace}/{name}/resolve/{rev}/{path}` (and `raw`) |",
    ]
    for route in flat_routes(build_api()):
        path = getattr(route, "path", None)
        if path is not None:
            methods = sorted(getattr(route, "methods", None) or {"any"})
            lines.append(f"| {', '.join(methods)} | `{path}` |")
    return "\n".join(lines) + "\n"


def all_pages() -> Pages:
    return {
        "settings.md": settings_page(),
        "commands.md": commands_page(),
        "routes.md": routes_page(),
    }


def main() -> None:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "docs/reference")
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in all_pages().items():
        (folder / name).write_text(text)


if __name__ == "__main__":
    main()
