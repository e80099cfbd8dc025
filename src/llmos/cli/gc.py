"""`llmos gc`."""

from __future__ import annotations

import click

from llmos.cli.context import json_option, open_cli_runtime, print_json, refusals_as_messages


@click.command("gc")
@click.option(
    "--delete", "really", is_flag=True, help="Remove what the dry run lists; without it nothing changes."
)
@click.option("--undo", is_flag=True, help="Keep all chunks marked for removal; their grace starts anew.")
@json_option
@refusals_as_messages
def command(really: bool, undo: bool, as_json: bool) -> None:
    """List (or, with --delete, remove) large objects unused for longer than LLMOS_GC_GRACE_DAYS.

    Safe while the server runs: each object is checked again under its lock. Chunks are marked by one
    run and removed by a run at least a day later; until then --undo keeps them.
    """
    if undo and really:
        raise click.UsageError("--undo and --delete contradict each other: give one of them.")
    if undo:
        _undo(as_json)
        return
    from llmos.features.buckets.references import referenced_files
    from llmos.features.repos.claims import referenced_oids
    from llmos.features.repos.lifecycle import purge_deleted_repos
    from llmos.features.storage.gc import collect, plan_gc
    from llmos.features.storage.xet.gc import collect_xet, plan_xet_gc
    from llmos.ui.filters import filesize

    with open_cli_runtime() as rt:
        purged = purge_deleted_repos(rt) if really else 0
        with rt.database.reading() as db:
            plan = plan_gc(db, rt, referenced_oids)
        xet = plan_xet_gc(rt, referenced_files)
        report: dict[str, object] = {
            "dry_run": not really,
            "objects": len(plan.oids),
            "strays": len(plan.stray_keys),
            "size_bytes": plan.size_bytes,
            "xet_files": len(xet.files),
            "xet_marked": len(xet.marked),
            "xet_removed": len(xet.removed) + len(xet.stray_keys),
            "xet_size_bytes": xet.size_bytes,
        }
        if really:
            result = collect(rt, plan, referenced_oids)
            report["xet_size_bytes"] = collect_xet(rt, xet, referenced_files)
            report |= {
                "objects": result.object_count,
                "strays": result.stray_count,
                "size_bytes": result.size_bytes,
                "purged_repositories": purged,
            }
    if as_json:
        print_json(report)
        return
    verb = "Removed" if really else "Would remove"
    click.echo(
        f"{verb} {report['objects']} objects and {report['strays']} strays, {filesize(plan.size_bytes)}."
    )
    click.echo(
        f"{verb} {report['xet_removed']} Xet objects, {filesize(xet.size_bytes)}, and forget "
        f"{report['xet_files']} files; {report['xet_marked']} more objects go in a later run."
    )
    if not really and (plan.oids or plan.stray_keys or xet.files or xet.marked or xet.removed):
        click.echo("Run `llmos gc --delete` to do it.")


def _undo(as_json: bool) -> None:
    from llmos.features.storage.xet.gc import undo_xet_gc

    with open_cli_runtime() as rt:
        xorb_count, file_count = undo_xet_gc(rt)
    if as_json:
        print_json({"xet_kept": xorb_count, "xet_files_kept": file_count})
    else:
        click.echo(f"{xorb_count} Xet objects and {file_count} files stay; their grace starts anew.")
