"""A new job: a command, or a training recipe from a form made of its schema."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from fastapi import Request
from sqlalchemy.orm import Session
from starlette.responses import Response

from llmos.core.errors import BadRequest, LlmosError
from llmos.features.accounts.actor import Actor
from llmos.features.accounts.models import Namespace
from llmos.features.auth.edge import ActorDep
from llmos.features.auth.page_context import (
    PageForm,
    redirect_page,
    redirect_to_login,
    render_page,
    request_locale,
)
from llmos.features.jobs import service
from llmos.features.jobs.flavors import DEFAULT_FLAVOR, FLAVORS, GIB
from llmos.features.jobs.pages.prefill import values_of_file, values_of_job
from llmos.features.jobs.pages.recipe_form import ESSENTIAL, RecipeGroup, collect_recipe, recipe_groups
from llmos.features.jobs.pages.views import job_href
from llmos.features.jobs.policy import access_job, access_owner, can_run_jobs, can_see_jobs, check_run_jobs
from llmos.features.jobs.queries import has_gpus, list_gpus
from llmos.features.jobs.recipe_check import checked_recipe
from llmos.features.jobs.recipes import quickstart_text, recipe_schema
from llmos.features.jobs.requests import MAX_QUORUM, JobRequest, parse_request
from llmos.infra.i18n import lazy, localize
from llmos.infra.web.deps import ReadDb, RuntimeDep, WriteDb
from llmos.infra.web.forms import Form
from llmos.ui.views import Option

KINDS = ("recipe", "command")
OBJECTIVES = {
    "clm": lazy("Write on: a language model from text"),
    "mlm": lazy("Fill gaps: an encoder such as BERT"),
    "seq2seq": lazy("Mend text: an encoder-decoder such as T5"),
    "sft": lazy("Follow instructions: fine-tune on chats"),
    "dpo": lazy("Prefer better answers: DPO on pairs"),
    "kto": lazy("Prefer better answers: KTO on thumbs"),
    "orpo": lazy("Instructions and preferences at once: ORPO"),
    "reward": lazy("Judge answers: a reward model"),
    "classify": lazy("Sort texts into classes"),
    "tag": lazy("Mark words: names, parts of speech"),
    "qa": lazy("Find answers in a text"),
    "summarize": lazy("Summarise"),
    "translate": lazy("Translate"),
}


def new_page(request: Request, rt: RuntimeDep, db: ReadDb, actor: ActorDep, ns: str) -> Response:
    """`kind` is recipe or command; `from` fills the form with an earlier job, `recipe` with that of a
    model, `start` with the quickstart."""
    if actor.user_id is None:
        return redirect_to_login(request)
    owner = access_owner(db, actor, ns)
    check_run_jobs(actor, owner)
    query = request.query_params
    values = {"kind": query.get("kind", "recipe"), "flavor": DEFAULT_FLAVOR, "push.private": "on"}
    values |= {name: query[name] for name in ("data.sources.0.dataset", "model.base") if name in query}
    if query.get("start") == "quickstart":
        values["yaml"] = quickstart_text(owner.name)
    if query.get("from"):
        job = access_job(db, actor, query.get("of", ns), query["from"])
        values |= values_of_job(job, owner, is_member=can_see_jobs(actor, job.namespace))
    elif query.get("recipe"):
        values |= values_of_file(db, rt, actor, query["recipe"], owner)
    return _render(request, db, actor, owner, values)


def _render(
    request: Request,
    db: Session,
    actor: Actor,
    owner: Namespace,
    values: dict[str, str],
    error: str = "",
) -> Response:
    kind = values.get("kind") if values.get("kind") in KINDS else "recipe"
    base = f"/jobs/{quote(owner.name)}"
    groups = recipe_groups(recipe_schema()) if kind == "recipe" else []
    context = {
        "owner": owner.name,
        "base": base,
        "kind": kind,
        "values": values,
        "error": error,
        "objectives_said": _said(request, actor, OBJECTIVES),
        "presets": [Option("", "–"), *(Option(name, name) for name in _presets())],
        "groups": groups,
        "open_groups": _open_groups(groups, values),
        "flavors": _flavors(db),
        "owners": _owners(db, actor),
    }
    return render_page(request, actor, "jobs/new.html", context, status=400 if error else 200)


def _said(request: Request, actor: Actor, labels: Mapping[str, str]) -> list[Option]:
    locale = request_locale(request, actor)
    return [Option(name, localize(label, locale)) for name, label in labels.items()]


def _open_groups(groups: list[RecipeGroup], values: Mapping[str, str]) -> set[str]:
    """Sections in which something is filled in."""
    return {
        group.title
        for group in groups
        if (group.is_optional and group.title in values)
        or any(values.get(field.path) for field in group.fields if field.kind != "check")
    }


def _presets() -> list[str]:
    model = recipe_schema()["$defs"]["Model"]["properties"]["preset"]
    found: list[str] = model["enum"]
    return found


def _flavors(db: Session) -> list[Option]:
    found, machines = [], list_gpus(db)
    for flavor in FLAVORS.values():
        if flavor.gpus and not has_gpus(machines, flavor.gpus, flavor.gpu_memory_bytes):
            continue
        found.append(
            Option(flavor.name, f"{flavor.title}: {flavor.cores:g} × CPU, {flavor.memory_bytes // GIB} GiB")
        )
    return found


def _owners(db: Session, actor: Actor) -> list[Option]:
    from llmos.features.repos.pages.new import list_owners

    return [Option(one.name, one.name) for one in list_owners(db, actor) if can_run_jobs(actor, one)]


def post_new(
    request: Request, rt: RuntimeDep, db: WriteDb, actor: ActorDep, form: PageForm, ns: str
) -> Response:
    """Start the job, or show the form again with what is wrong."""
    if actor.user_id is None:
        return redirect_to_login(request)
    values = _entered(form)
    with rt.database.reading() as look:
        owner = access_owner(look, actor, form.text("owner") or ns)
    try:
        job = service.submit(db, rt, actor, owner, _asked(form))
    except LlmosError as refusal:
        db.rollback()
        with rt.database.reading() as look:
            return _render(request, look, actor, access_owner(look, actor, ns), values, refusal.message)
    return redirect_page(request, job_href(owner.name, job.object_id))


def _entered(form: Form) -> dict[str, str]:
    """What was typed, to be shown again; never a secret."""
    names = ["kind", "flavor", "image", "command", "environment", "minutes", "yaml", "network", "public"]
    names += [*ESSENTIAL, "owner", "quorum", "disk"]
    names += [field.path for group in recipe_groups(recipe_schema()) for field in group.fields]
    names += [group.title for group in recipe_groups(recipe_schema()) if group.is_optional]
    return {name: form.text(name, strip=False) for name in names if form.has(name)}


def _asked(form: Form) -> JobRequest:
    body: dict[str, Any] = {
        "flavor": form.text("flavor") or DEFAULT_FLAVOR,
        "timeoutSeconds": _seconds(form.text("minutes")),
        "diskBytes": _bytes(form.text("disk")),
        "public": form.has("public"),
        "labels": {"network": "internet"} if form.has("network") else {},
    }
    if form.text("kind") == "command":
        body |= {
            "dockerImage": form.text("image"),
            "command": _words(form.text("command", strip=False)),
            "environment": dict(_assignments(form.text("environment"), "environment")),
            "secrets": dict(_assignments(form.text("secrets"), "secrets")),
        }
        return parse_request(body)
    text = form.text("yaml")
    groups: list[RecipeGroup] = recipe_groups(recipe_schema())
    body["quorum"] = _whole(form.text("quorum"), "quorum")
    body["recipe"] = checked_recipe(text) if text else _checked_recipe(collect_recipe(form, groups))
    return parse_request(body)


def _checked_recipe(recipe: dict[str, Any]) -> dict[str, Any]:
    """The two fields without which nothing can be learnt, named before the job starts."""
    if not recipe.get("objective"):
        raise BadRequest(lazy("Choose what is to be learnt."), data={"field": "objective"})
    if not recipe.get("data", {}).get("sources"):
        raise BadRequest(lazy("Name the data set to learn from."), data={"field": "data.sources.0.dataset"})
    return recipe


def _seconds(text: str) -> int | None:
    if not text:
        return None
    try:
        return round(float(text) * 60)
    except (ValueError, OverflowError) as error:
        raise BadRequest(
            lazy("The time limit must be a number of minutes."), data={"field": "minutes"}
        ) from error


def _bytes(text: str) -> int | None:
    if not text:
        return None
    try:
        return round(float(text) * GIB)
    except (ValueError, OverflowError) as error:
        raise BadRequest(lazy("The disk must be a number of GiB."), data={"field": "disk"}) from error


def _whole(text: str, field: str) -> int | None:
    if not text:
        return None
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise BadRequest(
            lazy("%(field)s must be a number from %(low)s to %(high)s.", field=field, low=1, high=MAX_QUORUM),
            data={"field": field},
        )
    return int(text)


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as error:
        raise BadRequest(
            lazy("The command has a quote without its end."), data={"field": "command"}
        ) from error


def _assignments(text: str, field: str) -> list[tuple[str, str]]:
    pairs = []
    for line in text.splitlines():
        if not line.strip():
            continue
        key, sign, value = line.partition("=")
        if not sign:
            raise BadRequest(lazy("Write each line as NAME=value."), data={"field": field})
        pairs.append((key.strip(), value.strip()))
    return pairs
