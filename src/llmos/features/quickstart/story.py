"""What is told of a run: each step with its state, what ran, and where to look. For page, API and command."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from sqlalchemy.orm import Session

from llmos.core.names import split_repo_name
from llmos.core.repo_types import RepoType
from llmos.features.accounts.actor import Actor
from llmos.features.evals.models import EvalResult
from llmos.features.jobs.models import Job
from llmos.features.jobs.pages.views import charts_of, job_href
from llmos.features.jobs.queries import why_waiting
from llmos.features.jobs.streams import read_curves
from llmos.features.quickstart import queries
from llmos.features.quickstart.facts import PARTS, TrainingFacts, read_facts
from llmos.features.quickstart.models import FAILED, FINETUNE, TRAIN, QuickstartRun
from llmos.features.quickstart.notes import (
    notes_of_answers,
    notes_of_change,
    notes_of_ranks,
    notes_of_scores,
    notes_of_training,
    seconds_of,
)
from llmos.features.quickstart.recipes import (
    BASE,
    CHAT,
    TEXTS,
    benchmarks_of,
    languages_of,
    training_command,
    training_recipe,
)
from llmos.features.quickstart.snippets import curl_chat, curl_line, openai_lines
from llmos.features.repos.models import Repo
from llmos.features.repos.policy import get_repo
from llmos.infra.i18n import lazy
from llmos.ui.curves import CurveChart

WAITING, RUNNING, DONE, FAILED_STEP, SKIPPED = "waiting", "running", "done", "failed", "skipped"
# What is shown, in order; the training job is told in four parts, by the phase it is in.
SHOWN: dict[str, tuple[str, ...]] = {
    TRAIN: ("text", "tokenizer", "train", "push", "evaluate", "board", "serve", "discuss"),
    FINETUNE: ("before", "text", "train", "push", "evaluate", "board", "serve", "discuss"),
}
TITLES = {
    "before": lazy("Ask the model before"),
    "text": lazy("Read the text"),
    "tokenizer": lazy("Learn a tokenizer"),
    "train": lazy("Train the model"),
    "push": lazy("Push it to its repository"),
    "evaluate": lazy("Evaluate it on benchmarks"),
    "board": lazy("Take its place on the leaderboard"),
    "serve": lazy("Serve it, and let it write"),
    "discuss": lazy("Open its discussion"),
}
LESSONS = {
    "before": lazy("Ask first, so that the change can be seen afterwards."),
    "text": lazy("A language model learns from text alone. A part is held out, to see what it has learnt."),
    "tokenizer": lazy("Text becomes numbers: frequent pieces of words get a number each."),
    "train": lazy(
        "It guesses the next token, again and again. The loss says how surprised it is: lower is better."
    ),
    "push": lazy("Weights, tokenizer, card and recipe become a commit that everybody's programs can load."),
    "evaluate": lazy(
        "Text that it has never seen, read by a job: the score comes with an interval and a signature."
    ),
    "board": lazy("Beside baselines that know next to nothing: is it better than them?"),
    "serve": lazy("The first call starts it, on a runner. The same address works for the openai client."),
    "discuss": lazy("A thread on the model, to ask others what to try next."),
}


@dataclass
class Step:
    """A step as it is told. `ran` are pairs of a caption and what one would type oneself.

    `note` says what it waits for or why it failed, `notes` what it came to.
    """

    key: str
    state: str = WAITING
    note: Any = ""
    notes: list[Any] = field(default_factory=list)
    seconds: float | None = None
    share: float | None = None
    ran: list[tuple[Any, str]] = field(default_factory=list)
    links: list[tuple[Any, str]] = field(default_factory=list)

    @property
    def title(self) -> Any:
        return TITLES[self.key]

    @property
    def lesson(self) -> Any:
        return LESSONS[self.key]


@dataclass
class Story:
    """All of a run."""

    run: QuickstartRun
    steps: list[Step]
    charts: list[CurveChart]
    results: list[EvalResult]
    standings: list[queries.Standing]
    base_results: list[EvalResult]
    facts: TrainingFacts
    model_href: str
    has_model: bool
    curl: str
    base: str

    @property
    def discussion_href(self) -> str:
        num = self.run.found.get("thread_num")
        return f"{self.model_href}/discussions/{num}" if num else ""


def tell(db: Session, actor: Actor, run: QuickstartRun, base: str) -> Story:
    """`base` is the address of the instance, as its visitors have it."""
    job = run.train_job
    repo = get_repo(db, RepoType.MODEL, *split_repo_name(run.model_name))
    shown = queries.list_shown(db, repo.id) if repo is not None else []
    standings = queries.list_standings(db, actor, shown, repo.id) if repo is not None and shown else []
    is_finetune = run.path == FINETUNE
    named = benchmarks_of(run.path, run.options)
    base_results = queries.list_base_scores(db, BASE, named) if is_finetune else []
    curves = read_curves(db, [job.id], with_machine=False)[job.id] if job is not None else []
    facts = read_facts(db, job, curves)
    steps = [Step(key) for key in SHOWN[run.path]]
    _set_states(db, run, job, steps)
    told = Story(
        run=run,
        steps=steps,
        charts=[one for one in charts_of(curves) if one.title == "loss"],
        results=shown,
        standings=standings,
        base_results=base_results,
        facts=facts,
        model_href=f"/{quote(run.model_name)}",
        has_model=repo is not None,
        curl=curl_line(run, base),
        base=base,
    )
    _describe(db, told, repo, job)
    _tell_what_came(told)
    return told


def _set_states(db: Session, run: QuickstartRun, job: Job | None, steps: Sequence[Step]) -> None:
    at = _place(run, job, [step.key for step in steps])
    for number, step in enumerate(steps):
        if number < at:
            step.state = DONE
        elif number == at:
            step.state = FAILED_STEP if run.state == FAILED else RUNNING
        if step.key in ("evaluate", "board") and step.state == DONE and run.found.get("evaluations") == []:
            step.state = SKIPPED
    if at == len(steps):
        return
    _show_early_start(db, run, steps)
    if run.state == FAILED:
        steps[at].note = run.error
    elif run.step == "train":
        _tell_progress(db, job, steps[at])
    elif run.step in ("serve", "before"):
        steps[at].note = _stage(db, run.model_name if run.step == "serve" else BASE)


def _show_early_start(db: Session, run: QuickstartRun, steps: Sequence[Step]) -> None:
    """The model is asked while it is evaluated: its step may be under way, or done, before its turn."""
    if run.state != RUNNING or run.step not in ("evaluate", "board"):
        return
    serve = next(step for step in steps if step.key == "serve")
    if run.found.get("answers"):
        serve.state = DONE
    elif run.path == TRAIN and (note := _stage(db, run.model_name)):
        serve.state, serve.note = RUNNING, note


def _stage(db: Session, model: str) -> Any:
    return _STAGES.get(queries.stage_of_replica(db, model) or "", "")


def _place(run: QuickstartRun, job: Job | None, shown: Sequence[str]) -> int:
    """Which of the shown steps is under way; their count once all are done."""
    if run.step == "done":
        return len(shown)
    if run.step != "train":
        return shown.index(run.step)
    part = PARTS.get(job.phase if job is not None else "", "text")
    return shown.index(part if part in shown else "train")


_STAGES = {
    "queued": lazy("Waits for a runner."),
    "scheduled": lazy("Waits for a runner."),
    "fetching": lazy("The runner fetches the weights."),
    "starting": lazy("The engine starts."),
    "import": lazy("The engine starts."),
    "load": lazy("The engine loads the weights."),
    "warm": lazy("The engine warms up."),
}


def _tell_progress(db: Session, job: Job | None, step: Step) -> None:
    if job is None:
        return
    step.note = why_waiting(db, job)
    if job.phase == "train" and job.total > 0:
        step.share = min(max(job.done / job.total, 0.0), 1.0)


def _describe(db: Session, story: Story, repo: Repo | None, job: Job | None) -> None:
    """What ran in each step, and where to look."""
    run, steps, base = story.run, {step.key: step for step in story.steps}, story.base
    name, href = run.model_name, story.model_href
    command = training_command(run.path, name, run.options)
    recipe = _yaml(training_recipe(run.path, name, run.options))
    if "before" in steps:
        steps["before"].ran = [("curl", curl_chat(BASE, base))]
        steps["before"].links = [(BASE, f"/{BASE}")]
    if run.path == TRAIN:
        texts = " ".join(f"--data {TEXTS[one]}" for one in languages_of(run.options))
        steps["text"].ran = [
            (lazy("Look before you train"), f"llmos train --objective clm {texts} --dry-run")
        ]
        steps["tokenizer"].ran = [
            ("Python", f'from transformers import AutoTokenizer\nAutoTokenizer.from_pretrained("{name}")')
        ]
    else:
        words = f"llmos train --objective sft --data {CHAT} --base {BASE} --lora --dry-run"
        steps["text"].ran = [(lazy("Look before you train"), words)]
    steps["train"].ran = [(lazy("Command"), command), (lazy("Recipe"), recipe)]
    steps["push"].ran = [(lazy("Fetch it"), f"hf download {name}")]
    if job is not None:
        steps["train"].links = [(lazy("Job"), job_href(job.namespace.name, job.object_id))]
    if repo is not None and steps["push"].state == DONE:
        steps["push"].links = [(name, href), (lazy("Files"), f"{href}/tree/main")]
    _describe_scores(db, run, steps)
    steps["serve"].ran = [("curl", curl_line(run, base)), ("Python", openai_lines(run, base))]
    steps["discuss"].ran = [
        ("Python", f'HfApi().create_discussion("{name}", title="My first model: what should I try next?")')
    ]
    if steps["serve"].state == DONE:
        steps["serve"].links = [(lazy("Playground"), f"/playground?model={quote(name, safe='')}")]
    if num := run.found.get("thread_num"):
        steps["discuss"].links = [(lazy("Discussion"), f"{href}/discussions/{num}")]


def _describe_scores(db: Session, run: QuickstartRun, steps: dict[str, Step]) -> None:
    evaluate, board = steps["evaluate"], steps["board"]
    named = benchmarks_of(run.path, run.options)
    lines = [f"llmos eval run --model {run.model_name} --benchmark {one}" for one in named]
    evaluate.ran = [(lazy("Command"), "\n".join(lines))]
    board.ran = [("curl", "\n".join(f"curl $HF_ENDPOINT/api/datasets/{one}/leaderboard" for one in named))]
    known = [*(run.found.get("base_evaluations") or []), *(run.found.get("evaluations") or [])]
    jobs = queries.list_jobs(db, known)
    evaluate.links = [
        (job.title or job.object_id, job_href(job.namespace.name, job.object_id)) for job in jobs
    ]
    if evaluate.state == RUNNING and jobs:
        over = sum(job.is_over for job in jobs)
        evaluate.note = next((why for job in jobs if (why := why_waiting(db, job))), "")
        evaluate.share = over / len(jobs)
    if evaluate.state == SKIPPED:
        evaluate.note = lazy("This instance has none of the benchmarks that come along (LLMOS_DEMO=0).")
        return
    if board.state == RUNNING:
        board.note = lazy("The instance checks and signs what the job found.")
    if board.state == DONE:
        board.links = [(one, f"/datasets/{one}/leaderboard") for one in named]


def _tell_what_came(story: Story) -> None:
    """Figures of the steps that are done or under way."""
    run, steps = story.run, {step.key: step for step in story.steps}
    told = notes_of_training(run, story.facts)
    if run.path == FINETUNE and (before := run.found.get("before")):
        told["before"] = notes_of_answers(run, BASE, before)
    if answers := run.found.get("answers"):
        told["serve"] = notes_of_answers(run, run.model_name, answers)
    told["evaluate"] = notes_of_scores(story.results)
    told["board"] = [
        *notes_of_change(story.base_results, story.results),
        *notes_of_ranks(story.standings),
    ]
    seconds = seconds_of(run, story.facts, [step.key for step in story.steps])
    for key, notes in told.items():
        if key in steps and steps[key].state in (DONE, RUNNING):
            steps[key].notes = notes
    for step in story.steps:
        if step.state in (DONE, FAILED_STEP):
            step.seconds = seconds.get(step.key)


def _yaml(recipe: dict[str, Any]) -> str:
    import yaml

    text: str = yaml.safe_dump(recipe, allow_unicode=True, sort_keys=False)
    return text
