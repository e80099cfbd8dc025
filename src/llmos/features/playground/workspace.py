"""What the playground shows: the models in it, the conversation so far, and the words of its scripts."""

from __future__ import annotations

from dataclasses import dataclass, field

from sqlalchemy import select
from sqlalchemy.orm import Session

from llmos.core.errors import NotFound
from llmos.core.repo_types import RepoType
from llmos.features.accounts.actor import Actor
from llmos.features.accounts.models import Namespace
from llmos.features.endpoints.servable import describe_servable
from llmos.features.playground.schemas import Talk
from llmos.features.playground.tasks import prompts_of
from llmos.features.repos.models import Repo, RepoFacts
from llmos.features.repos.pages.routes import repo_href
from llmos.features.repos.policy import access_repo
from llmos.features.repos.visibility import visible_to
from llmos.infra.i18n import lazy
from llmos.infra.runtime import Runtime

# What a model that writes is called on the Hub.
WRITERS = ("text-generation", "image-text-to-text")
MAX_CHOICES = 60


@dataclass(frozen=True, slots=True)
class Played:
    """A model in the playground. `reason_not` says why it cannot be served, empty where it can."""

    name: str
    href: str = ""
    can_chat: bool = True
    is_known: bool = True
    reason_not: str = ""
    prompts: list[dict[str, str]] = field(default_factory=list)


def played_repo(db: Session, rt: Runtime, repo: Repo) -> Played:
    facts = db.get(RepoFacts, repo.id)
    found = describe_servable(db, rt, repo)
    return Played(
        name=repo.repo_name,
        href=repo_href(repo),
        can_chat=found.has_chat_template or found.reason_not is not None,
        reason_not=found.reason_not or "",
        prompts=prompts_of(facts.card if facts else {}),
    )


def find_model(db: Session, rt: Runtime, actor: Actor, name: str) -> Played:
    """The model of a name in the address: `namespace/name`, one with `@revision`, or an endpoint's name."""
    repo_name = name.partition("@")[0]
    owner, slash, base = repo_name.partition("/")
    if not slash:
        return Played(name=name)
    if not owner or not base or "/" in base or len(name) > 200 or "\0" in name:
        return Played(name=name, is_known=False)
    try:
        repo = access_repo(db, actor, RepoType.MODEL, owner, base)
    except NotFound:
        return Played(name=name, is_known=False)
    found = played_repo(db, rt, repo)
    return Played(name, found.href, found.can_chat, True, found.reason_not, found.prompts)


def list_choices(db: Session, actor: Actor) -> list[str]:
    """Names of models that write and that the actor may know of, the liveliest first."""
    statement = (
        select(Namespace.name, Repo.name)
        .join(Namespace, Namespace.id == Repo.namespace_id)
        .where(
            Repo.type == RepoType.MODEL.value,
            Repo.pipeline_tag.in_(WRITERS),
            Repo.disabled.is_(False),
            visible_to(actor),
        )
        .order_by(Repo.trending_score.desc(), Repo.updated_at.desc(), Repo.id.desc())
        .limit(MAX_CHOICES)
    )
    return [f"{owner}/{name}" for owner, name in db.execute(statement)]


def fit_mode(talk: Talk, played: list[Played]) -> Talk:
    """Without a chat template there is nothing but completion."""
    if talk.mode == "chat" and any(not model.can_chat for model in played):
        return talk.model_copy(update={"mode": "completion"})
    return talk


# Said by scripts; each is a message of the catalogue.
WORDS: dict[str, str] = {
    "you": lazy("You"),
    "send": lazy("Send"),
    "generate": lazy("Generate"),
    "stop": lazy("Stop"),
    "stopped": lazy("stopped"),
    "again": lazy("Answer again"),
    "goOn": lazy("Go on writing"),
    "edit": lazy("Edit"),
    "copy": lazy("Copy"),
    "copied": lazy("Copied"),
    "save": lazy("Save and send"),
    "cancel": lazy("Cancel"),
    "tokens": lazy("Tokens"),
    "text": lazy("Text"),
    "asking": lazy("Asking the model…"),
    "queued": lazy("Waiting for its turn"),
    "place": lazy("place {n} in the queue"),
    "scheduled": lazy("A runner takes the model"),
    "fetching": lazy("Fetching the weights"),
    "starting": lazy("Starting the engine"),
    "import": lazy("Loading the libraries"),
    "load": lazy("Reading the weights"),
    "warm": lazy("Warming up"),
    "reading": lazy("Reading what was said"),
    "seconds": lazy("{n} s"),
    "firstToken": lazy("first token after {n} s"),
    "speed": lazy("{n} tokens/s"),
    "count": lazy("{n} tokens"),
    "length": lazy("the limit of tokens was reached"),
    "lost": lazy("The connection to the instance was lost."),
    "failed": lazy("The model did not answer."),
    "byEntropy": lazy("How unsure"),
    "byChance": lazy("How likely"),
    "sure": lazy("sure"),
    "unsure": lazy("unsure"),
    "likely": lazy("likely"),
    "surprising": lazy("surprising"),
    "chance": lazy("probability"),
    "entropy": lazy("entropy {n} bits"),
    "rank": lazy("choice {n}"),
    "beyond": lazy("beyond the first {n}"),
    "why": lazy("Why this token?"),
    "whyHint": lazy("Move with the arrow keys, press Enter to see why a token was written."),
    "tokenTable": lazy("The tokens as a table"),
    "token": lazy("Token"),
    "others": lazy("Other candidates"),
    "perplexity": lazy("perplexity {n}"),
    "explaining": lazy("Looking into the model…"),
    "explainTitle": lazy("Why “{token}”?"),
    "gradient": lazy("Influence"),
    "attention": lazy("Attention"),
    "gradientHint": lazy(
        "Input times gradient: green made the token likelier, red less likely. A hint, not a proof."
    ),
    "attentionHint": lazy(
        "How much each layer looked at each earlier token when it wrote this one: a row a layer."
    ),
    "layer": lazy("Layer {n}"),
    "allLayers": lazy("All layers"),
    "heat": lazy("Attention by layer and token"),
    "explainTable": lazy("Influence and attention as a table"),
    "close": lazy("Close"),
}
# What to do about it, by the code of an error.
HINTS: dict[str, str] = {
    "engine_lost": lazy("The engine ended. Answer again: a new one starts by itself."),
    "queue_full": lazy("Many people are asking. Wait a moment and answer again."),
    "rate_limited": lazy("That was too much at once. Wait a moment and answer again."),
    "no_runner": lazy("Somebody must connect a machine that serves models: see Runners."),
    "serving_off": lazy("Sign in, or ask the owner to put up an endpoint for this model."),
    "no_chat_template": lazy("Choose Completion: the model goes on with your text."),
    "Forbidden": lazy("Open the page again and repeat."),
}
