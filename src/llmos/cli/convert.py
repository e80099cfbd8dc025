"""`llmos convert`."""

from __future__ import annotations

import click

from llmos.cli.context import fail, json_option, open_cli_runtime, print_json, refusals_as_messages


@click.command("convert")
@click.option("--status", is_flag=True, help="Only say what is waiting and what was done.")
@click.option("--undo", "undone", metavar="OID", multiple=True, help="Serve the object OID plainly again.")
@json_option
@refusals_as_messages
def command(*, status: bool, undone: tuple[str, ...], as_json: bool) -> None:
    """Turn LFS uploads into deduplicated chunks now, as the worker does by itself.

    Needs the running server. A conversion can be undone for LLMOS_LFS_TO_XET_UNDO_DAYS.
    """
    from llmos.app.convert import convert_all
    from llmos.features.repos.xet_conversion import count_due, undo_conversion
    from llmos.features.storage.xet.convert import can_convert
    from llmos.features.storage.xet.convert_state import sum_states
    from llmos.ui.filters import filesize

    with open_cli_runtime() as rt:
        for oid in undone:
            if not undo_conversion(rt, oid):
                fail(f"{oid} was not converted, or its plain bytes are gone.", as_json=as_json)
        why_not = can_convert(rt)
        report: dict[str, object] = {"enabled": why_not is None, "why_not": why_not or ""}
        if not status and not undone and why_not is None:
            run = convert_all(rt)
            report |= {
                "converted": run.converted,
                "failed": run.failed,
                "retired": run.retired,
                "freed_bytes": run.freed_bytes,
            }
        with rt.database.reading() as db:
            waiting, waiting_bytes = count_due(db, rt)
            states = sum_states(db)
    report |= {
        "waiting": waiting,
        "waiting_bytes": waiting_bytes,
        "states": {
            item.state: {"objects": item.object_count, "size_bytes": item.size_bytes} for item in states
        },
    }
    if as_json:
        print_json(report)
        return
    if why_not is not None:
        click.echo(f"LFS uploads are not converted: {why_not}.")
    click.echo(f"waiting: {waiting} objects, {filesize(waiting_bytes)}")
    for item in states:
        click.echo(f"{item.state}: {item.object_count} objects, {filesize(item.size_bytes)}")
