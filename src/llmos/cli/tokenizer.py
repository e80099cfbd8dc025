"""`llmos tokenizer`."""

from __future__ import annotations

import click

from llmos.cli.context import json_option, refusals_as_messages


@click.group("tokenizer")
def command() -> None:
    """Tokenizers cut texts into the numbers that models read."""


@command.command("compare")
@click.argument("given", nargs=-1, metavar="[TOKENIZER]...")
@click.option(
    "--data", multiple=True, required=True, metavar="FILE",
    help="Files, patterns, sample:english.txt or dataset:ada/poems; repeatable.",
)  # fmt: skip
@click.option(
    "--vocab-size", type=click.IntRange(min=300), default=8192, help="Tokens of those trained (8192)."
)
@click.option(
    "--type", "kinds", multiple=True, type=click.Choice(["bpe", "unigram", "wordpiece"]),
    help="What is trained on the data; repeatable, all three without.",
)  # fmt: skip
@click.option("--given-only", is_flag=True, help="Train none.")
@json_option
@refusals_as_messages
def compare(
    *,
    given: tuple[str, ...],
    data: tuple[str, ...],
    vocab_size: int,
    kinds: tuple[str, ...],
    given_only: bool,
    as_json: bool,
) -> None:
    """Train tokenizers on the data and compare them with those given: bytes a token by language, tokens a
    word (a Chinese character is one), what they cannot spell.

    TOKENIZER is a folder, a tokenizer.json or a model of the hub. A tenth of the data is held out of the
    training, and all are compared on it.
    """
    from llmos.cli.lab_process import run_lab

    if given_only and not given:
        raise click.UsageError("--given-only: name a tokenizer.")
    words = ["tokenizers", *given, "--vocab-size", str(vocab_size)]
    words += [word for one in data for word in ("--data", one)]
    words += [word for one in kinds for word in ("--type", one)]
    raise SystemExit(run_lab(words + ["--given-only"] * given_only + ["--json"] * as_json))
