"""What can serve a repository, from the facts in its files: engine, task and memory, or why not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy.orm import Session

from llmos.core.repo_types import RepoType
from llmos.features.accounts.actor import Actor
from llmos.features.endpoints import adapters
from llmos.features.repos.json_clean import parse_json_object
from llmos.features.repos.models import Repo
from llmos.features.repos.places import git_path
from llmos.features.repos.revision_files import RevisionFiles
from llmos.features.repos.weight_facts import gguf_facts, safetensors_facts
from llmos.infra.git.caches import LruCache
from llmos.infra.i18n import lazy
from llmos.infra.runtime import Runtime
from llmos.wire.serving import TASKS
from llmos.wire.serving_memory import limit_bytes, weights_bytes

_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
_TOKENIZERS = (
    "tokenizer.json",
    "tokenizer.model",
    "vocab.json",
    "vocab.txt",
    "spiece.model",
    "sentencepiece.bpe.model",
)
_GGUF_FIRST = ("q4_k_m", "q5_k_m", "q8_0", "q6_k", "q4_0", "f16")
_ALIASES = {"conversational": "text-generation", "sentence-similarity": "feature-extraction"}
# By the end of the architecture's name in config.json; the first that fits.
_ARCHITECTURES = (
    ("ForCausalLM", "text-generation"),
    ("LMHeadModel", "text-generation"),
    ("ForMaskedLM", "fill-mask"),
    ("ForSequenceClassification", "text-classification"),
    ("ForTokenClassification", "token-classification"),
    ("ForQuestionAnswering", "question-answering"),
    ("ForConditionalGeneration", "text2text-generation"),
    ("ForSeq2SeqLM", "text2text-generation"),
    ("Model", "feature-extraction"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Servable:
    """How a model would be served. `reason_not` says why it cannot be; then the rest means little.

    `memory_bytes` is what its engine may take on a machine; `unpacked_bytes` the same where a GGUF file is
    read by transformers, for want of llama.cpp. `base` is what an adapter changes, "namespace/name@commit".
    """

    task: str
    engine: str
    reason_not: str | None
    memory_bytes: int
    file: str = ""
    has_chat_template: bool = False
    unpacked_bytes: int = 0
    base: str = ""

    @property
    def is_servable(self) -> bool:
        return self.reason_not is None

    def spec(self, task: str | None = None) -> dict[str, Any]:
        """As `wire.serving.EngineSpec`."""
        found = {"engine": self.engine, "task": task or self.task, "file": self.file}
        return found | ({"base": self.base} if self.base else {})


_known: LruCache[tuple[str, str, str], Servable] = LruCache(2000)


def describe_servable(
    db: Session, rt: Runtime, repo: Repo, oid: str | None = None, *, actor: Actor | None = None
) -> Servable:
    """What would serve the model at a commit, by default the head of its main branch.

    The base of an adapter that `actor` may not read counts as one that is not here.
    """
    commit = oid or repo.head_oid
    if repo.type != RepoType.MODEL or commit is None:
        return _not(lazy("There are no files to serve."))
    key = (repo.object_id, commit, repo.pipeline_tag or "")
    found = _known.get(key)
    if found is None:
        found = _describe(RevisionFiles(rt, git_path(rt, repo), commit, db), repo.pipeline_tag)
        _known.put(key, found)
    return _on_base(db, rt, actor, found) if found.base else found


def _on_base(db: Session, rt: Runtime, actor: Actor | None, adapter: Servable) -> Servable:
    """An adapter with what it changes. `adapter.memory_bytes` are those of its own weights."""
    base = adapters.find_base(db, rt, actor, adapter.base)
    if isinstance(base, str):
        return _not(base)
    below = describe_servable(db, rt, base.repo, base.oid, actor=actor)
    if below.reason_not is not None or below.base or below.engine != "transformers":
        why = lazy("Its base %(base)s cannot be served with an adapter.", base=base.repo.repo_name)
        return _not(below.reason_not or why)
    return replace(
        below,
        base=base.name,
        memory_bytes=below.memory_bytes + adapter.memory_bytes,
        has_chat_template=below.has_chat_template or adapter.has_chat_template,
    )


def _not(reason: str, task: str = "text-generation") -> Servable:
    return Servable(task, "", reason, 0)


def _describe(files: RevisionFiles, pipeline_tag: str | None) -> Servable:
    names = files.entries
    config = parse_json_object(files.read_small("config.json") or b"")
    task = choose_task(pipeline_tag, config, names)
    ggufs = sorted(name for name in names if name.lower().endswith(".gguf"))
    has_weights = any(name.endswith(".safetensors") and "/" not in name for name in names)
    if task not in TASKS:
        return _not(lazy("Models for %(task)s cannot be served here: only models of text.", task=task), task)
    if adapters.CONFIG in names and not config.get("model_type"):
        return _adapter(files, task)
    if has_weights and config.get("model_type"):
        return _by_transformers(files, task, config)
    if ggufs:
        return _by_llama(files, task, ggufs)
    return _not(_why_no_weights(names, has_weights), task)


def _why_no_weights(names: Iterable[str], has_weights: bool) -> str:
    if has_weights:
        return lazy("config.json is missing, or does not name the kind of model (model_type).")
    if any(name.lower().endswith(_PICKLES) for name in names):
        return lazy(
            "Its weights are pickles, which can run any program when read: convert them to safetensors."
        )
    return lazy("It holds no weights: neither .safetensors nor .gguf files.")


def _adapter(files: RevisionFiles, task: str) -> Servable:
    """What the files of an adapter tell; its base is looked up each time."""
    config = parse_json_object(files.read_small(adapters.CONFIG) or b"")
    reason = adapters.why_not(config, adapters.WEIGHTS in files.entries)
    if reason is not None:
        return _not(reason, task)
    size = files.entries[adapters.WEIGHTS].content_size
    # Read whole, beside what it is multiplied out to, a layer at a time.
    return Servable(
        task,
        "transformers",
        None,
        weights_bytes(0, size),
        has_chat_template=_has_template(files),
        base=adapters.base_name(config),
    )


def _has_template(files: RevisionFiles) -> bool:
    return "chat_template.jinja" in files.entries or bool(
        parse_json_object(files.read_small("tokenizer_config.json") or b"").get("chat_template")
    )


def _by_transformers(files: RevisionFiles, task: str, config: Mapping[str, Any]) -> Servable:
    if not any(name in files.entries for name in _TOKENIZERS):
        return _not(lazy("It has no tokenizer (tokenizer.json), so it cannot read text."), task)
    facts = safetensors_facts(files)
    # On processors the numbers are held in single precision, however they are stored.
    numbers = sum(int(count) for count in ((facts or {}).get("parameters") or {}).values())
    weights = weights_bytes(numbers, _size(files, ".safetensors"))
    memory = limit_bytes("transformers", weights)
    return Servable(task, "transformers", None, memory, "", _has_template(files))


def _by_llama(files: RevisionFiles, task: str, ggufs: list[str]) -> Servable:
    if task not in ("text-generation", "feature-extraction"):
        task = "text-generation"
    wanted = (name for word in _GGUF_FIRST for name in ggufs if word in name.lower())
    file = next(wanted, ggufs[0])
    facts = gguf_facts(files)
    size = files.entries[file].content_size
    return Servable(
        task,
        "llama.cpp",
        None,
        limit_bytes("llama.cpp", size),
        file,
        bool(facts.get("chat_template")),
        limit_bytes("transformers", weights_bytes(int(facts.get("total") or 0), size)),
    )


def _size(files: RevisionFiles, ending: str) -> int:
    return sum(entry.content_size for name, entry in files.entries.items() if name.endswith(ending))


def choose_task(pipeline_tag: str | None, config: Mapping[str, Any], names: Iterable[str]) -> str:
    """What the card says, else what the architecture is made for."""
    if pipeline_tag:
        return _ALIASES.get(pipeline_tag, pipeline_tag)
    if "modules.json" in names:
        return "feature-extraction"
    architectures = config.get("architectures")
    first = str(architectures[0]) if isinstance(architectures, list) and architectures else ""
    return next((task for ending, task in _ARCHITECTURES if first.endswith(ending)), "text-generation")
