"""`llmos doctor`."""

from __future__ import annotations

import sys

import click

from llmos.cli.context import json_option, open_cli_runtime, print_json, refusals_as_messages

MARKS = {"ok": ("ok  ", "green"), "warn": ("warn", "yellow"), "fail": ("FAIL", "red")}


@click.command("doctor")
@click.option("--repair", is_flag=True, help="Mend what is safe to mend; nothing is deleted.")
@json_option
@refusals_as_messages
def command(repair: bool, as_json: bool) -> None:
    """Check git, git-lfs, disk, database, clock, permissions, keys, sandbox and every repository.

    Exits with 1 when something is broken.
    """
    from llmos.app.doctor import examine
    from llmos.features.buckets.repair import find_bucket_problems
    from llmos.features.repos.repair import find_problems

    with open_cli_runtime() as rt:
        findings = examine(rt)
        problems = [*find_problems(rt, repair=repair), *find_bucket_problems(rt, repair=repair)]
    broken = any(f.state == "fail" for f in findings) or any(not p.mended for p in problems)
    if as_json:
        from dataclasses import asdict

        print_json({"checks": [f.as_dict() for f in findings], "problems": [asdict(p) for p in problems]})
        sys.exit(1 if broken else 0)
    for finding in findings:
        mark, colour = MARKS[finding.state]
        click.echo(f"{click.style(mark, fg=colour)}  {finding.check:14} {finding.detail}")
        if finding.mend:
            click.echo(f"{'':20} -> {finding.mend}")
    for problem in problems:
        state = "mended" if problem.mended else "found"
        click.echo(f"{state:6} {problem.kind:14} {problem.subject}: {problem.detail}")
        if problem.advice:
            click.echo(f"{'':20} -> {problem.advice}")
    if problems and not repair:
        click.echo("Run `llmos doctor --repair` to mend what can be mended.")
    sys.exit(1 if broken else 0)
