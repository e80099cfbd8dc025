"""`llmos eval contamination`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from llmos.cli.context import json_option, print_json, refusals_as_messages

if TYPE_CHECKING:
    from llmos.lab.evaluate.contamination import Contamination

SHOWN = 20


@click.command("contamination")
@click.option("--benchmark", required=True, metavar="REPO_OR_DIR", help="A data set with an eval.yaml.")
@click.option("--revision", help="Commit, branch or tag of the benchmark's repository.")
@click.option("--task", "task_id", metavar="ID", help="Only this task of the benchmark.")
@click.option(
    "--data",
    multiple=True,
    required=True,
    metavar="FILE_OR_REPO",
    help="Training texts: files, folders, or a data set as ada/texts; repeatable.",
)
@click.option("--field", "fields", multiple=True, help="Look for these columns only; repeatable.")
@click.option(
    "--record",
    metavar="BUNDLE",
    type=click.Path(path_type=Path),
    help="Say this record's scores with and without the items found.",
)
@click.option("--out", type=click.Path(path_type=Path), help="Write what was found to this file, as JSON.")
@json_option
@refusals_as_messages
def contamination(
    *,
    benchmark: str,
    revision: str | None,
    task_id: str | None,
    data: tuple[str, ...],
    fields: tuple[str, ...],
    record: Path | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """Look for the items of a benchmark in training texts.

    \b
    llmos eval contamination --benchmark ada/tang-cloze --data ada/poems
    llmos eval contamination --benchmark ./mine --data texts.jsonl --record evaluation/tiny--cloze

    An item is found when one place of the texts holds a quarter of its runs of six words (characters, in
    Chinese). Items under twelve words are found only as whole rows.

    What --out writes, committed to the benchmark as contamination/NAME.json, gives every signed record of a
    model that names the data set a second score: without the items found.
    """
    from llmos.lab.evaluate.contamination import check
    from llmos.lab.evaluate.contamination_data import benchmark_rows, scores_without, training_texts
    from llmos.lab.evaluate.contamination_run import content_of
    from llmos.records.digests import row_digest

    rows = benchmark_rows(benchmark, revision=revision, task_id=task_id)
    found = check(rows, training_texts(data), fields=fields or None)
    digests = {name: row_digest(row) for name, row in rows if name in found.flagged}
    content = content_of(benchmark, list(data), found, digests)
    if record is not None:
        content["scores"] = scores_without(record, found.flagged)
    if out is not None:
        out.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    if as_json:
        print_json(content)
    else:
        _report(found, content.get("scores", []))


def _report(found: Contamination, scores: list[dict[str, Any]]) -> None:
    size = f"{found.documents} documents ({found.size_bytes / 1_000_000:.1f} MB)"
    click.echo(f"{len(found.flagged)} of {found.items} items found in {size}.")
    if found.short:
        click.echo(f"{found.short} items are short and were looked for as whole rows only.")
    for flag in found.flags[:SHOWN]:
        click.echo(f"  {flag.item}  {flag.field}  {flag.share:4.0%}  {flag.document}")
    if len(found.flags) > SHOWN:
        click.echo(f"  … and {len(found.flags) - SHOWN} more; --out FILE writes all of them.")
    for metric in scores:
        rest = "nothing is left" if metric["without"] is None else f"{metric['without']:.4f}"
        click.echo(f"{metric['name']}: {metric['value']:.4f} with them, {rest} without.")
