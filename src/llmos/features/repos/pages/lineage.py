"""Where a repository comes from and what was made of it: two rows of links, drawn as a graph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from llmos.core.repo_types import RepoType
from llmos.features.accounts.actor import Actor
from llmos.features.accounts.models import Namespace
from llmos.features.repos.models import Repo, RepoLink
from llmos.features.repos.naming import repo_path
from llmos.features.repos.pages.labels import KINDS
from llmos.features.repos.visibility import visible_to
from llmos.infra.i18n import LazyString, Locale, lazy, localize
from llmos.ui.filters import with_query

MAX_PARENTS = 6
MAX_CHILDREN_PER_GROUP = 4
_ORDER = ("finetune", "adapter", "quantized", "merge", "dataset", "model")
_PARENT_WORDS: dict[str, LazyString] = {
    "finetune": lazy("Fine-tuned from"),
    "adapter": lazy("Adapter for"),
    "quantized": lazy("Quantised from"),
    "merge": lazy("Merged from"),
    "dataset": lazy("Trained on"),
    "model": lazy("Uses"),
}
_CHILD_WORDS: dict[str, LazyString] = {
    "finetune": lazy("Fine-tunes"),
    "adapter": lazy("Adapters"),
    "quantized": lazy("Quantisations"),
    "merge": lazy("Merges"),
    "dataset": lazy("Trained on it"),
    "model": lazy("Used by"),
}
# The plane of the drawing, in units of its viewBox.
WIDTH = 900
_BOX_WIDTH = 250
_BOX_HEIGHT = 34
_GAP = 10
_HEAD = 22
_MAX_CHARS = 30


@dataclass(frozen=True)
class Relative:
    """`href` is None for what this site does not hold, or the reader may not see."""

    name: str
    kind: str
    href: str | None


@dataclass(frozen=True)
class Group:
    """Relatives of one relation; `more_href` lists those beyond the shown, `more` counts them."""

    label: str
    members: Sequence[Relative]
    more: int = 0
    more_href: str | None = None


@dataclass(frozen=True)
class Box:
    x: float
    y: float
    text: str
    relative: Relative | None = None
    href: str | None = None


@dataclass(frozen=True)
class Lineage:
    """`parents` and `children` are the list; `boxes`, `heads` and `edges` the same as a drawing."""

    parents: Sequence[Group]
    children: Sequence[Group]
    boxes: Sequence[Box]
    heads: Sequence[Box]
    edges: Sequence[str]
    height: int
    box_width: int = _BOX_WIDTH
    box_height: int = _BOX_HEIGHT


def repo_lineage(db: Session, actor: Actor, repo: Repo, locale: Locale) -> Lineage | None:
    """The relatives of `repo` that the actor may know of, with three queries; None without any.

    Names the reader may not see are shown as the card gives them, without link: they are part of
    a public text. Private repositories never appear as children.
    """
    parents = _parents(db, actor, repo, locale)
    children = _children(db, actor, repo, locale)
    if not parents and not children:
        return None
    return _draw(repo, parents, children)


def _relation(text: str) -> str:
    relation = text.removeprefix("base_model:")
    return relation if relation in _ORDER else "finetune" if text.startswith("base_model:") else ""


def _parents(db: Session, actor: Actor, repo: Repo, locale: Locale) -> list[Group]:
    links = [
        (_relation(relation), target)
        for relation, target in db.execute(
            select(RepoLink.relation, RepoLink.target_key).where(RepoLink.repo_id == repo.id).limit(100)
        ).all()
    ]
    known = _known(db, actor, {target for relation, target in links if relation})
    groups = []
    for relation in _ORDER:
        targets = sorted({target for found, target in links if found == relation})
        members = [known.get(target) or _unknown(target) for target in targets[:MAX_PARENTS]]
        if members:
            label = localize(_PARENT_WORDS[relation], locale)
            groups.append(Group(label, members, len(targets) - len(members)))
    return groups


def _unknown(target: str) -> Relative:
    repo_type, _, name = target.partition(":")
    return Relative(name, KINDS[RepoType(repo_type)], None)


def _known(db: Session, actor: Actor, keys: set[str]) -> dict[str, Relative]:
    if not keys:
        return {}
    key = Repo.type + ":" + Namespace.name_key + "/" + Repo.name_key
    rows = db.execute(
        select(key, Repo.type, Namespace.name, Repo.name)
        .join(Namespace, Namespace.id == Repo.namespace_id)
        .where(key.in_(keys), visible_to(actor))
    )
    return {found: _relative(kind, f"{owner}/{name}") for found, kind, owner, name in rows.all()}


def _relative(kind: str, name: str) -> Relative:
    repo_type = RepoType(kind)
    return Relative(name, KINDS[repo_type], repo_path(repo_type, name))


def _children(db: Session, actor: Actor, repo: Repo, locale: Locale) -> list[Group]:
    """The most downloaded of each relation, and how many there are."""
    order = func.row_number().over(partition_by=RepoLink.relation, order_by=(Repo.downloads.desc(), Repo.id))
    count = func.count().over(partition_by=RepoLink.relation)
    ranked = (
        select(
            RepoLink.relation, Repo.type, Namespace.name.label("owner"), Repo.name, order.label("place"),
            count.label("total"),
        )
        .join(Repo, Repo.id == RepoLink.repo_id)
        .join(Namespace, Namespace.id == Repo.namespace_id)
        .where(RepoLink.target_key == repo.key, visible_to(actor))
        .subquery()
    )  # fmt: skip
    rows = db.execute(
        select(ranked).where(ranked.c.place <= MAX_CHILDREN_PER_GROUP).order_by(ranked.c.place)
    ).all()
    groups = []
    for relation in _ORDER:
        found = [row for row in rows if _relation(row.relation) == relation]
        if not found:
            continue
        members = [_relative(row.type, f"{row.owner}/{row.name}") for row in found]
        more = found[0].total - len(members)
        tag = (
            f"dataset:{repo.repo_name}"
            if relation == "dataset"
            else f"base_model:{relation}:{repo.repo_name}"
        )
        href = with_query("/models", {"tag": tag}) if more > 0 and relation != "model" else None
        groups.append(Group(localize(_CHILD_WORDS[relation], locale), members, max(more, 0), href))
    return groups


def _draw(repo: Repo, parents: Sequence[Group], children: Sequence[Group]) -> Lineage:
    """Parents left, the repository in the middle, children right."""
    right = WIDTH - _BOX_WIDTH
    left_boxes, left_heads, left_height = _column(parents, 0)
    right_boxes, right_heads, right_height = _column(children, right)
    height = max(left_height, right_height, _BOX_HEIGHT + _HEAD)
    left_boxes, left_heads = _lower(left_boxes, left_heads, (height - left_height) / 2)
    right_boxes, right_heads = _lower(right_boxes, right_heads, (height - right_height) / 2)
    middle = (WIDTH - _BOX_WIDTH) / 2 if parents and children else (right if parents else 0)
    centre = height / 2
    me = Box(middle, centre - _BOX_HEIGHT / 2, _short(repo.repo_name))
    edges = [_edge(box.x + _BOX_WIDTH, box.y, middle, me.y) for box in left_boxes]
    edges += [_edge(middle + _BOX_WIDTH, me.y, box.x, box.y) for box in right_boxes]
    boxes = [*left_boxes, me, *right_boxes]
    return Lineage(parents, children, boxes, [*left_heads, *right_heads], edges, round(height))


def _column(groups: Sequence[Group], x: float) -> tuple[list[Box], list[Box], float]:
    boxes: list[Box] = []
    heads: list[Box] = []
    y = 0.0
    for group in groups:
        more = f" (+{group.more})" if group.more else ""
        heads.append(Box(x, y + 15, group.label + more, href=group.more_href))
        y += _HEAD
        for member in group.members:
            boxes.append(Box(x, y, _short(member.name), member))
            y += _BOX_HEIGHT + _GAP
    return boxes, heads, max(y - _GAP, 0)


def _lower(boxes: list[Box], heads: list[Box], by: float) -> tuple[list[Box], list[Box]]:
    def move(box: Box) -> Box:
        return Box(box.x, box.y + by, box.text, box.relative, box.href)

    return [move(box) for box in boxes], [move(head) for head in heads]


def _edge(x1: float, y1: float, x2: float, y2: float) -> str:
    a, b = y1 + _BOX_HEIGHT / 2, y2 + _BOX_HEIGHT / 2
    bend = (x1 + x2) / 2
    return f"M{x1:g} {a:g}C{bend:g} {a:g} {bend:g} {b:g} {x2:g} {b:g}"


def _short(name: str) -> str:
    return name if len(name) <= _MAX_CHARS else f"{name[:14]}…{name[-14:]}"
