"""Whole evaluations: from a recipe to a bundle that holds, through kills, endpoints and damaged models."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoConfig,
    AutoModelForQuestionAnswering,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
)

from kit.tiny_models import tokenizer
from llmos.lab.__main__ import main
from llmos.lab.evaluate import run
from llmos.lab.evaluate.answer_log import NAME
from llmos.lab.evaluate.answers import Answer
from llmos.lab.evaluate.engines.base import EndpointFailed, EngineError, NotANumber, TooLong
from llmos.lab.evaluate.engines.endpoint import LOG, EndpointEngine
from llmos.lab.evaluate.engines.local import LocalEngine
from llmos.lab.evaluate.metrics import MetricError
from llmos.lab.evaluate.run import EvaluationResult, evaluate
from llmos.lab.events import Reporter
from llmos.records.bundle import parse_statement, sign_bundle
from llmos.records.keys import create_private_key
from llmos.records.verify import verify_bundle
from llmos.wire.evaluation_recipe import EndpointChoice, EvaluationRecipe

WORDS = "liberty law peace war people union congress nation state power".split()
CHOICE = {
    "kind": "multiple_choice",
    "prompt": "Question: {{question}}\nAnswer:",
    "choices": "{{options}}",
    "target": "{{answer}}",
    "target_delimiter": " ",
    "metrics": ["accuracy", "acc_norm"],
    "files": {"test": ["rows.jsonl"], "train": ["rows.jsonl"]},
    "fewshot": {"count": 2, "split": "train"},
}


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    made = [
        {
            "question": f"what of {WORDS[n % 10]} {n}?",
            "options": [WORDS[(n + k) % 10] for k in range(4)],
            "answer": n % 4,
        }
        for n in range(12)
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in made))
    return tmp_path


COSTS = ["exact_match", "latency", "latency_p50", "latency_p95", "tokens_per_second", "joules_per_token"]


def evaluated(folder: Path, model: Path | None, output: str = "out", **plan: Any) -> EvaluationResult:
    fields: dict[str, Any] = {"threads": 1} | ({"model": {"path": str(model)}} if model else {}) | plan
    fields.setdefault("task", {"definition": CHOICE})
    recipe = EvaluationRecipe.model_validate({"evaluation": fields})
    with Reporter(quiet=True) as reporter:
        return evaluate(recipe, folder / output, reporter, root=folder)


def test_a_bundle_holds(tiny_llama: Path, rows: Path) -> None:
    result = evaluated(rows, tiny_llama)
    key = create_private_key()
    sign_bundle(result.output, key)
    report = verify_bundle(result.output, [key.public], model_dir=tiny_llama, data_dir=rows / "rows.jsonl")
    assert report.is_good, report.describe()
    predicate = result.statement.predicate
    assert [m.name for m in predicate.metrics] == ["accuracy", "acc_norm"]
    assert predicate.counts.samples == 12
    assert predicate.settings.context_policy == "truncate_left"
    assert predicate.model.weights_sha256
    sample = result.samples[3]
    assert sample.prompt.count("\n\n") == 2
    assert len(sample.logprobs) == 4
    assert sample.chosen == sample.logprobs.index(max(sample.logprobs))
    assert json.loads(sample.scores)["accuracy"] == (sample.chosen == 3)
    assert not (result.output / NAME).exists()


def test_a_killed_run_goes_on(tiny_llama: Path, rows: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = evaluated(rows, tiny_llama, "whole")
    monkeypatch.setattr(run, "CHUNK", 5)
    asked: list[int] = []
    answer = LocalEngine.loglikelihoods

    def killed(self: LocalEngine, requests: Any) -> Any:
        if len(asked) == 2:
            raise KeyboardInterrupt
        asked.append(len(requests))
        return answer(self, requests)

    monkeypatch.setattr(LocalEngine, "loglikelihoods", killed)
    with pytest.raises(KeyboardInterrupt):
        evaluated(rows, tiny_llama)
    log = rows / "out" / NAME
    log.write_text(log.read_text() + '{"key": "half a li')
    asked.clear()
    result = evaluated(rows, tiny_llama)
    assert result.resumed == 10
    assert asked == [2]
    assert [s.chosen for s in result.samples] == [s.chosen for s in whole.samples]
    assert [s.prompt for s in result.samples] == [s.prompt for s in whole.samples]


def test_answers_of_another_task_are_not_taken(
    tiny_llama: Path, rows: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*arguments: Any) -> None:
        raise NotANumber("stop here")

    with monkeypatch.context() as patch:
        patch.setattr(run, "_measure", stopped)
        with pytest.raises(NotANumber):
            evaluated(rows, tiny_llama)
    # Fewer samples are some of the same; other examples make other questions; other words another task.
    log = (rows / "out" / NAME).read_text()
    for change, resumed in (({"limit": 4}, 4), ({"fewshot": 1}, 0), ({"seed": 3}, 0)):
        (rows / "out" / NAME).write_text(log)
        assert evaluated(rows, tiny_llama, **change).resumed == resumed
    (rows / "out" / NAME).write_text(log)
    task = {"definition": CHOICE | {"prompt": "{{question}}"}}
    assert evaluated(rows, tiny_llama, task=task).resumed == 0


def test_perplexity_says_what_was_read_in_windows(tiny_llama: Path, tmp_path: Path) -> None:
    (tmp_path / "long.txt").write_text("The people of the United States. " * 40)
    (tmp_path / "short.jsonl").write_text('{"text": "Peace."}\n')
    task = {"kind": "perplexity", "files": ["long.txt", "short.jsonl"]}
    result = evaluated(tmp_path, tiny_llama, task=task)
    predicate = result.statement.predicate
    assert (predicate.counts.samples, predicate.counts.truncated) == (2, 1)
    assert predicate.settings.context_policy == "stride"
    assert "1 of 2 samples are longer than the context: read in windows" in result.describe()
    assert {m.name for m in result.metrics} == {"bits_per_byte", "perplexity"}
    with pytest.raises(TooLong, match="Set context_policy: stride"):
        evaluated(tmp_path, tiny_llama, task=task, context_policy="refuse")


def test_generation_and_loglikelihood(tiny_llama: Path, rows: Path) -> None:
    base = {"prompt": "{{question}}", "target": "{{options[answer]}}", "files": CHOICE["files"]}
    write = base | {"kind": "generation", "max_new_tokens": 4, "metrics": COSTS}
    result = evaluated(rows, tiny_llama, task={"definition": write})
    costs = {metric.name: metric for metric in result.metrics}
    assert all(costs[name].value > 0 for name in COSTS[1:])
    assert costs["latency_p50"].value <= costs["latency_p95"].value
    cost = result.statement.predicate.cost
    assert f"|energy:{cost.energy_method}|" in costs["joules_per_token"].signature
    assert cost.energy_wh
    answered = costs["joules_per_token"].value * sum(sample.tokens for sample in result.samples)
    assert answered <= cost.energy_wh * 3600
    assert all(sample.output and sample.tokens for sample in result.samples)
    assert result.statement.predicate.settings.max_new_tokens == 4
    follow = base | {
        "kind": "loglikelihood",
        "target": " {{options[answer]}}",
        "metrics": ["accuracy", "perplexity"],
    }
    found = evaluated(rows, tiny_llama, "other", task={"definition": follow})
    assert all(sample.logprobs[0] < 0 for sample in found.samples)


def test_a_chat_is_asked_by_its_template(tiny_llama: Path, rows: Path, tmp_path: Path) -> None:
    chat = {
        "definition": CHOICE | {"kind": "chat", "target": "{{options[0]}}", "choices": None, "metrics": []}
    }
    with pytest.raises(EngineError, match="has no chat template"):
        evaluated(rows, tiny_llama, task=chat)
    folder = tmp_path / "chatty"
    LocalEngine(tiny_llama).model.save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    (folder / "chat_template.jinja").write_text(
        "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
        "{% if add_generation_prompt %}<assistant>{% endif %}"
    )
    result = evaluated(rows, folder, task=chat, max_new_tokens=3)
    assert result.samples[0].prompt.startswith("<user>Question: what of")
    assert result.samples[0].prompt.endswith("Answer:<assistant>")
    assert result.statement.predicate.settings.chat_template
    assert result.statement.predicate.model.chat_template_sha256
    chosen = evaluated(rows, folder, "choice", chat_template=True)
    assert chosen.samples[0].prompt.endswith("<assistant>")


# Models with heads


def head(folder: Path, auto: Any, labels: list[str]) -> Path:
    config = AutoConfig.for_model(
        "bert", vocab_size=len(tokenizer()), hidden_size=32, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=32, max_position_embeddings=64, initializer_range=0.5, pad_token_id=1,
        id2label=dict(enumerate(labels)), label2id={name: n for n, name in enumerate(labels)},
    )  # fmt: skip
    torch.manual_seed(1)
    auto.from_config(config).save_pretrained(folder)
    words = tokenizer().__class__(
        tokenizer_object=tokenizer().backend_tokenizer, pad_token="</s>", eos_token="</s>"
    )
    words.save_pretrained(folder)
    return folder


def test_heads_answer_their_tasks(tmp_path: Path) -> None:
    texts = [f"The {word} of the people" for word in WORDS]
    rows = [
        {"text": t, "label": "b", "words": t.split(), "tags": ["O"] * 5, "q": "who?", "answers": ["people"]}
        for t in texts
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    files = {"test": ["rows.jsonl"]}
    classify = {"kind": "classification", "prompt": "{{text}}", "choices": ["b", "a"], "target": "{{label}}"}
    tag = {"kind": "tagging", "prompt": "{{words}}", "target": "{{tags}}"}
    qa = {"kind": "qa", "question": "{{q}}", "passage": "{{text}}", "target": "{{answers}}"}
    for auto, task, labels in (
        (AutoModelForSequenceClassification, classify, ["a", "b"]),
        (AutoModelForTokenClassification, tag, ["O", "B-X"]),
        (AutoModelForQuestionAnswering, qa, ["0", "1"]),
    ):
        model = head(tmp_path / task["kind"], auto, labels)
        definition = {"definition": task | {"files": files}}
        one = evaluated(tmp_path, model, f"{task['kind']}-1", task=definition, batch_size=1)
        many = evaluated(tmp_path, model, f"{task['kind']}-8", task=definition, batch_size=8)
        assert [(s.output, s.chosen) for s in one.samples] == [(s.output, s.chosen) for s in many.samples]
        assert one.statement.predicate.settings.engine == "llmos-heads/1"
    assert all(sample.output in text for sample, text in zip(one.samples, texts, strict=True))
    model = tmp_path / "classification"
    first = evaluated(tmp_path, model, "again", task={"definition": classify | {"files": files}}).samples[0]
    inputs = LocalHead(model)(texts[0])
    # The task names the labels in another order than the model.
    assert first.logprobs == pytest.approx([inputs[1], inputs[0]], abs=1e-3)
    write = classify | {"kind": "generation", "files": files, "choices": None}
    with pytest.raises(EngineError, match="does not answer a task of kind generation"):
        evaluated(tmp_path, model, "no", task={"definition": write})


def test_writers_of_one_text_from_another(tmp_path: Path) -> None:
    config = AutoConfig.for_model(
        "t5", vocab_size=len(tokenizer()), d_model=32, d_kv=8, d_ff=32, num_layers=1, num_heads=2,
        decoder_start_token_id=1, pad_token_id=1, eos_token_id=0, initializer_factor=3.0, n_positions=32,
    )  # fmt: skip
    torch.manual_seed(1)
    AutoModelForSeq2SeqLM.from_config(config).save_pretrained(tmp_path / "t5")
    tokenizer().save_pretrained(tmp_path / "t5")
    rows = [{"en": f"The {word} of the people " * (1 + 9 * (word == "law")), "zh": "人民"} for word in WORDS]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    task = {
        "kind": "translation",
        "prompt": "{{en}}",
        "target": "{{zh}}",
        "metrics": ["chrf"],
        "max_new_tokens": 5,
    }
    definition = {"definition": task | {"language": "zh", "files": {"test": ["rows.jsonl"]}}}
    one = evaluated(tmp_path, tmp_path / "t5", "one", task=definition, batch_size=1)
    many = evaluated(tmp_path, tmp_path / "t5", "many", task=definition, batch_size=8)
    assert [s.output for s in one.samples] == [s.output for s in many.samples]
    assert any(sample.output for sample in one.samples)
    assert one.statement.predicate.counts.truncated == 1
    with pytest.raises(TooLong, match="Set context_policy: truncate_left"):
        evaluated(tmp_path, tmp_path / "t5", "no", task=definition, context_policy="refuse")


class LocalHead:
    """A classifier asked without the engine."""

    def __init__(self, folder: Path) -> None:
        self.model = AutoModelForSequenceClassification.from_pretrained(folder).eval()

    def __call__(self, text: str) -> list[float]:
        with torch.no_grad():
            logits = self.model(torch.tensor([tokenizer()(text)["input_ids"]])).logits[0]
        found: list[float] = torch.log_softmax(logits, -1).tolist()
        return found


# Endpoints


class Endpoint:
    """An OpenAI-compatible server around an engine; fails from the request `fails_from` on."""

    def __init__(self, engine: LocalEngine) -> None:
        self.engine, self.asked, self.fails_from = engine, 0, 1 << 30
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                outer.asked += 1
                if outer.asked >= outer.fails_from:
                    return self._send(500, {"error": {"message": "out of memory"}})
                return self._send(200, outer.answer(self.path, body))

            def _send(self, status: int, value: Any) -> None:
                raw = json.dumps(value).encode()
                self.send_response(status)
                self.send_header("content-length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

            def log_message(self, *arguments: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"

    def answer(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        if path.endswith("/chat/completions"):
            return {"choices": [{"message": {"content": f"{body['messages'][-1]['content'][:8]}. Stop"}}]}
        read = tokenizer()(body["prompt"], return_offsets_mapping=True)
        ids = read["input_ids"]
        with torch.no_grad():
            logits = torch.log_softmax(self.engine.model(torch.tensor([ids])).logits[0].double(), -1)
        texts = [tokenizer().decode([token]) for token in ids]
        tops = [None, *({str(int(row.argmax())): float(row.max())} for row in logits[:-1])]
        given = {
            "tokens": texts,
            "token_logprobs": [None, *(float(logits[n, token]) for n, token in enumerate(ids[1:]))],
            "top_logprobs": tops,
            "text_offset": [begin for begin, _ in read["offset_mapping"]],
        }
        return {"choices": [{"text": "", "logprobs": given}]}


@pytest.fixture
def endpoint(tiny_llama: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoint]:
    made = Endpoint(LocalEngine(tiny_llama))
    thread = threading.Thread(target=made.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setattr(EndpointEngine.__init__, "__kwdefaults__", {"timeout_s": 10.0, "pauses_s": (0.0,)})
    yield made
    made.server.shutdown()
    made.server.server_close()
    thread.join()


@pytest.mark.parametrize("words", [WORDS[:4], ["白日依山", "黃河入海", "欲窮千里", "更上層樓"]])
def test_an_endpoint_gives_the_same_likelihoods(
    tiny_llama: Path, rows: Path, endpoint: Endpoint, words: list[str]
) -> None:
    """Also where a character is several tokens, all of which begin at the same place."""
    task = {"definition": CHOICE | {"choices": words, "target_delimiter": ""}}
    here = evaluated(rows, tiny_llama, "here", task=task)
    there = evaluated(rows, None, "there", endpoint={"url": endpoint.url, "model": "tiny-llm"}, task=task)
    for one, other in zip(here.samples, there.samples, strict=True):
        assert one.logprobs == pytest.approx(other.logprobs, abs=1e-3)
    model = there.statement.predicate.model
    assert (model.name, model.endpoint, model.files) == ("tiny-llm", endpoint.url, [])


def test_an_endpoint_that_fails_midway_is_asked_for_the_rest_only(rows: Path, endpoint: Endpoint) -> None:
    endpoint.fails_from = 11
    choice = {"url": endpoint.url, "model": "tiny-llm"}
    with pytest.raises(
        EndpointFailed, match=r"out of memory. 10 answers are kept in .*out; run the same command"
    ):
        evaluated(rows, None, endpoint=choice)
    endpoint.asked, endpoint.fails_from = 0, 1 << 30
    result = evaluated(rows, None, endpoint=choice)
    assert endpoint.asked == 12 * 4 - 10
    assert len(result.samples) == 12
    assert not (rows / "out" / LOG).exists()


def test_a_chat_endpoint_writes_and_gives_no_likelihoods(rows: Path, endpoint: Endpoint) -> None:
    choice = {"url": endpoint.url, "model": "tiny-llm", "kind": "chat"}
    write = CHOICE | {
        "kind": "chat",
        "target": "Question",
        "choices": None,
        "metrics": ["exact_match", "latency"],
        "stop": ["."],
    }
    result = evaluated(rows, None, endpoint=choice, task={"definition": write})
    assert result.metrics[0].value == 1.0
    assert result.statement.predicate.cost.energy_wh is None
    # Each request has its own time; nobody here knows what the machine behind the address draws.
    assert len({json.loads(sample.scores)["latency"] for sample in result.samples}) == 12
    with pytest.raises(MetricError, match="joules_per_token needs joules"):
        evaluated(
            rows, None, "watts", endpoint=choice, metrics=["joules_per_token"], task={"definition": write}
        )
    with pytest.raises(EngineError, match="a chat endpoint gives no likelihoods"):
        evaluated(rows, None, "other", endpoint=choice)


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "http://localhost:1/v1/"])
def test_nobody_answers(rows: Path, url: str, endpoint: Endpoint) -> None:
    with pytest.raises(EndpointFailed, match="does not answer"):
        evaluated(rows, None, endpoint={"url": url, "model": "x"})


def test_the_key_of_an_endpoint_comes_from_the_environment(tmp_path: Path) -> None:
    choice = EndpointChoice(url="http://127.0.0.1:9", model="x", api_key_variable="NO_SUCH_KEY")
    with pytest.raises(EngineError, match="the variable NO_SUCH_KEY is not set"):
        EndpointEngine(choice, tmp_path, root=tmp_path)


# The process


def test_the_lab_runs_recipes_that_evaluate(
    tiny_llama: Path, rows: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = {
        "evaluation": {"model": {"path": str(tiny_llama)}, "task": {"definition": CHOICE}, "threads": 1}
    }
    (rows / "recipe.json").write_text(json.dumps(recipe))
    events = rows / "events.jsonl"
    arguments = [
        "run",
        str(rows / "recipe.json"),
        "--output",
        str(rows / "out"),
        "--events",
        str(events),
        "--json",
    ]
    assert main(arguments) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["counts"]["samples"] == 12
    told = [json.loads(line) for line in events.read_text().splitlines()]
    assert [x["phase"] for x in told if x["kind"] == "phase"] == ["task", "model", "evaluate", "measure"]
    assert [(x["done"], x["total"]) for x in told if x["kind"] == "progress"][-1] == (12, 12)
    assert {x["name"] for x in told if x["kind"] == "metric"} == {"accuracy", "acc_norm"}
    recipe["evaluation"]["model"] = {"path": str(rows)}
    (rows / "recipe.json").write_text(json.dumps(recipe))
    assert main(arguments[:2]) == 2
    assert "has no config.json" in capsys.readouterr().err


def test_a_job_leaves_its_record_where_repositories_keep_them(
    tiny_llama: Path, rows: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The runner has laid model and data, and commits the output as it is."""
    task = {key: value for key, value in CHOICE.items() if key != "files"} | {"id": "law"}
    spec = {"name": "Law", "tasks": [task]}
    (rows / "laid" / "data").mkdir(parents=True)
    (rows / "laid" / "eval.yaml").write_text(json.dumps(spec))
    for split in ("train", "test"):
        (rows / "laid" / "data" / f"{split}.jsonl").write_bytes((rows / "rows.jsonl").read_bytes())
    laid = {"model:ada/tiny-llm": str(tiny_llama), "dataset:grace/law": str(rows / "laid")}
    monkeypatch.setenv("LLMOS_INPUTS", json.dumps(laid))
    # Of a branch the commit that the hub pinned for the job is recorded.
    monkeypatch.setenv("LLMOS_INPUT_REVISIONS", json.dumps({"dataset:grace/law": "cd" * 20}))
    monkeypatch.setenv("LLMOS_JOB_ID", "ab" * 12)
    benchmark = {"repo": "grace/law", "revision": "main", "task_id": "law"}
    model = {"repo": "ada/tiny-llm", "revision": "ef" * 20}
    recipe = {"evaluation": {"model": model, "benchmark": benchmark}, "push": {"repo": "ada/tiny-llm"}}
    (rows / "recipe.json").write_text(json.dumps(recipe))
    assert main(["run", str(rows / "recipe.json"), "--output", str(rows / "output")]) == 0
    (folder,) = (rows / "output" / ".eval_results" / "bundles").iterdir()
    assert [path.name for path in (rows / "output").iterdir()] == [".eval_results"]
    statement = parse_statement((folder / "statement.json").read_bytes())
    predicate = statement.predicate
    assert folder.name == predicate.record_id
    assert (predicate.model.repo, predicate.model.revision) == ("ada/tiny-llm", "ef" * 20)
    assert (predicate.benchmark.repo, predicate.benchmark.revision) == ("grace/law", "cd" * 20)
    assert predicate.run.job_id == "ab" * 12
    assert json.loads((folder / "places.json").read_text()) == {"data": "grace/law", "model": "ada/tiny-llm"}


def test_answers_survive_their_log() -> None:
    given = Answer(
        output="学", chosen=1, logprobs=[-1.5], logprob=-2.0, found=["O"], tokens=3, truncated=True
    )
    assert Answer(**json.loads(json.dumps(given.to_json()))) == given
