"""Answers sample by sample, of one record or of two beside each other; errors first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.datastructures import QueryParams

from llmos.core.errors import NotFound
from llmos.features.accounts.actor import Actor
from llmos.features.accounts.models import Namespace
from llmos.features.evals.log import get_entry
from llmos.features.evals.models import EvalResult
from llmos.features.evals.queries import access_result
from llmos.features.evals.samples import Answer, read_answers, said_answer, said_target
from llmos.features.repos.models import Repo
from llmos.features.repos.pages.routes import repo_href
from llmos.features.repos.policy import check_content
from llmos.features.repos.visibility import visible_to
from llmos.infra.git.caches import LruCache
from llmos.infra.i18n import lazy
from llmos.infra.runtime import Runtime
from llmos.ui.filters import with_query
from llmos.ui.views import Option

PAGE_SIZE = 25
MAX_ANSWERS = 20_000
SHOWS = ("wrong", "different", "all")
_kept: LruCache[tuple[str, str], list[Answer]] = LruCache(6)


def samples_context(
    rt: Runtime, db: Session, actor: Actor, repo: Repo, params: QueryParams
) -> dict[str, Any]:
    """What the page shows. Raises NotFound for a record of another model, or none."""
    result, model = access_result(db, actor, params.get("record", ""))
    if model.id != repo.id:
        raise NotFound(lazy("There is no such record of this model."))
    answers = _answers(rt, db, result, model)
    others = _others(db, actor, result)
    other = params.get("with", "")
    beside: dict[str, Answer] = {}
    other_name = ""
    if other:
        second, second_model = access_result(db, actor, other)
        check_content(db, actor, second_model)
        beside = {answer.row_sha256: answer for answer in _answers(rt, db, second, second_model)}
        other_name = second_model.repo_name
    show = params.get("show", "wrong")
    show = show if show in SHOWS and (other or show != "different") else "wrong"
    rows = _chosen(answers, beside, show)
    start = _number(params.get("start", ""))
    base = f"{repo_href(repo)}/evaluation/samples"
    asked = {"record": result.record_id, "with": other}
    return {
        "result": result,
        "model": repo.repo_name,
        "other": other,
        "other_name": other_name,
        "others": [Option("", "–"), *(Option(one, name) for one, name in others)],
        "action": base,
        "show": show,
        "shows": [
            (name, with_query(base, {**asked, "show": name}))
            for name in SHOWS
            if other or name != "different"
        ],
        "counts": {
            "all": len(answers),
            "wrong": sum(_is_wrong(answer) for answer in answers),
            "different": sum(_differs(answer, beside) for answer in answers) if other else 0,
        },
        "rows": [_row(answer, beside.get(answer.row_sha256)) for answer in rows[start : start + PAGE_SIZE]],
        "prev_href": with_query(base, {**asked, "show": show, "start": max(start - PAGE_SIZE, 0)})
        if start
        else None,
        "next_href": with_query(base, {**asked, "show": show, "start": start + PAGE_SIZE})
        if start + PAGE_SIZE < len(rows)
        else None,
    }


def _number(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) < 7 else 0


def _answers(rt: Runtime, db: Session, result: EvalResult, model: Repo) -> list[Answer]:
    entry = get_entry(db, result.record_id)
    if entry is None or not entry.bundle_path:
        raise NotFound(lazy("This result came without the answers of the model."))
    key = (result.record_id, result.metric)
    known = _kept.get(key)
    if known is None:
        commit = result.commit_oid or entry.commit_oid or "HEAD"
        known = []
        for answer in read_answers(rt, model, commit, entry.bundle_path, result.metric):
            known.append(answer)
            if len(known) >= MAX_ANSWERS:
                break
        _kept.put(key, known)
    return known


def _others(db: Session, actor: Actor, result: EvalResult) -> list[tuple[str, str]]:
    """Records of other models on the same task, to compare with."""
    statement = (
        select(EvalResult.record_id, Namespace.name, Repo.name)
        .join(Repo, Repo.id == EvalResult.repo_id)
        .join(Namespace, Namespace.id == Repo.namespace_id)
        .where(
            EvalResult.dataset_key == result.dataset_key,
            EvalResult.task_id == result.task_id,
            EvalResult.signer_keyid != "",
            EvalResult.is_hidden.is_(False),
            EvalResult.record_id != result.record_id,
            visible_to(actor),
        )
        .order_by(EvalResult.is_shown.desc(), EvalResult.order_value.desc())
        .limit(100)
    )
    return [(row[0], f"{row[1]}/{row[2]} · {row[0][:8]}") for row in db.execute(statement)]


def _is_wrong(answer: Answer) -> bool:
    return answer.score is not None and answer.score < 1.0


def _differs(answer: Answer, beside: dict[str, Answer]) -> bool:
    other = beside.get(answer.row_sha256)
    return other is not None and (other.score, other.output, other.chosen) != (
        answer.score, answer.output, answer.chosen,
    )  # fmt: skip


def _chosen(answers: Sequence[Answer], beside: dict[str, Answer], show: str) -> list[Answer]:
    """All with the worst first, the wrong ones, or those on which the two records differ."""
    if show == "different":
        return [answer for answer in answers if _differs(answer, beside)]
    kept = answers if show == "all" else [answer for answer in answers if _is_wrong(answer)]
    return sorted(kept, key=lambda answer: answer.score if answer.score is not None else 2.0)


def _row(answer: Answer, other: Answer | None) -> dict[str, Any]:
    return {
        "id": answer.id,
        "prompt": answer.prompt[-4000:],
        "target": said_target(answer)[:2000],
        "answers": [_said(one) for one in (answer, other) if one is not None],
    }


def _said(answer: Answer) -> dict[str, Any]:
    return {
        "text": said_answer(answer)[:2000],
        "score": answer.score,
        "is_right": answer.score is not None and answer.score >= 1.0,
    }
