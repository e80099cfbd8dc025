"""Models served by real processes: hub, runner, sandbox, engine."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from kit.runners import wait_until
from kit.server import LiveServer


@pytest.fixture(scope="module")
def http(engine_runner: LiveServer) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {engine_runner.tokens['ada']}"}
    with httpx.Client(base_url=engine_runner.url, headers=headers, timeout=60) as client:
        yield client


def body(model: str, **more: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": "hello"}], "max_tokens": 8} | more


def chat(http: httpx.Client, model: str, **more: Any) -> httpx.Response:
    return http.post("/v1/chat/completions", json=body(model, **more))


def job_of(http: httpx.Client, model: str) -> dict[str, Any]:
    """The newest engine of a model."""
    found = http.get("/api/jobs/ada").json()
    job: dict[str, Any] = next(job for job in found if job["labels"].get("serving") == model)
    return job


def engine_pids(job_id: str) -> list[int]:
    """The processes of a job, the sandbox's own last."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                environment = (folder / "environ").read_bytes()
            except OSError:
                continue
            if f"LLMOS_JOB_ID={job_id}".encode() in environment:
                found.append(int(folder.name))
    return found


def test_a_model_answers_and_its_log_can_be_read(chat_model: str, http: httpx.Client) -> None:
    answer = chat(http, chat_model, seed=1)
    assert answer.status_code == 200, answer.text
    assert answer.json()["usage"]["completion_tokens"] == 8
    assert answer.json()["choices"][0]["message"]["content"]
    assert chat(http, chat_model, seed=1).json()["choices"] == answer.json()["choices"]
    job = job_of(http, chat_model)
    assert job["status"]["stage"] == "RUNNING"
    page = http.get(f"/jobs/ada/{job['id']}")
    assert page.status_code == 200
    assert "Serves a model" in http.get("/jobs/ada").text


def test_killed_in_the_middle_of_an_answer(chat_model: str, http: httpx.Client) -> None:
    """The answer ends with an error, and the next call is answered by another engine."""
    assert chat(http, chat_model).status_code == 200
    job = job_of(http, chat_model)
    long = body(chat_model, stream=True, max_tokens=480, ignore_eos=True, logprobs=True, top_logprobs=5)
    events: list[str] = []
    with http.stream("POST", "/v1/chat/completions", json=long) as answer:
        lines = answer.iter_lines()
        for line in lines:
            events.append(line)
            if '"content"' in line and len(events) > 4:
                break
        for pid in engine_pids(job["id"]):
            os.kill(pid, signal.SIGKILL)
        events += list(lines)
    assert "engine_lost" in "\n".join(events[-6:]), events[-6:]
    again = chat(http, chat_model)
    assert again.status_code == 200, again.text
    assert job_of(http, chat_model)["id"] != job["id"]
    wait_until(lambda: http.get(f"/api/jobs/ada/{job['id']}").json()["status"]["stage"] == "ERROR")


def test_whoever_goes_away_is_not_answered_to_the_end(chat_model: str, http: httpx.Client) -> None:
    assert chat(http, chat_model).status_code == 200
    name = f"gone-{os.getpid()}"
    made = http.post("/api/endpoints", json={"model": chat_model, "name": name})
    assert made.status_code == 201, made.text
    long = body(name, stream=True, max_tokens=480, ignore_eos=True, logprobs=True, top_logprobs=5)
    with http.stream("POST", "/v1/chat/completions", json=long) as answer:
        for line in answer.iter_lines():
            if '"content"' in line:
                break

    def written() -> int:
        rows = http.get(f"/api/endpoints/{name}/usage").json()
        return sum(row["completionTokens"] for row in rows) if rows else 0

    wait_until(lambda: written() > 0)
    assert written() < 400
    assert http.delete(f"/api/endpoints/{name}").status_code == 200


@pytest.mark.slow
def test_deployed_by_the_command_line(engine_runner: LiveServer, chat_model: str, http: httpx.Client) -> None:
    import subprocess
    import sys

    name = f"cli-{os.getpid()}"

    def llmos(*arguments: str) -> dict[str, Any]:
        command = [sys.executable, "-m", "llmos.cli", *arguments, "--json"]
        done = subprocess.run(command, env=engine_runner.env, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    made = llmos("deploy", chat_model, "--name", name, "--wait")
    assert made["state"] == "ready"
    assert chat(http, name).status_code == 200
    assert llmos("endpoint", "show", name)["replicas"][0]["runner"]
    llmos("endpoint", "pause", name)
    paused = chat(http, name)
    assert paused.status_code == 403, paused.text
    llmos("endpoint", "delete", name)
    wait_until(lambda: chat(http, name).status_code == 404)


@pytest.mark.slow
# PEFT uses names that transformers will drop, and looks for the base's configuration where nothing answers.
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning:peft")
def test_an_adapter_is_served_on_its_base(
    engine_runner: LiveServer, http: httpx.Client, tmp_path: Path
) -> None:
    """Two repositories go into the sandbox; the answer is that of the merged model."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from kit.serving import put_model, tiny_chat_model

    base = tiny_chat_model(tmp_path / "base")
    put_model(engine_runner, base, "ada/lora-base")
    choice = LoraConfig(r=4, task_type="CAUSAL_LM", target_modules=["q_proj", "down_proj"])
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(str(base)), choice)
    torch.manual_seed(3)
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(parameter, std=0.5)
    model.peft_config["default"].base_model_name_or_path = "ada/lora-base"
    model.save_pretrained(str(tmp_path / "adapter"))
    (tmp_path / "adapter" / "README.md").unlink()  # it names the base by its path on this machine
    put_model(engine_runner, tmp_path / "adapter", "ada/lora-adapter")

    words = AutoTokenizer.from_pretrained(str(base))
    asked = words("the cat sat on", return_tensors="pt")
    made = (
        model.merge_and_unload()
        .eval()
        .generate(**asked, max_new_tokens=8, min_new_tokens=8, do_sample=False, eos_token_id=None)
    )
    wanted = words.decode(made[0, asked["input_ids"].shape[1] :])
    call = {"prompt": "the cat sat on", "max_tokens": 8, "temperature": 0, "ignore_eos": True}
    said = {
        name: http.post("/v1/completions", json=call | {"model": name})
        for name in ("ada/lora-adapter", "ada/lora-base")
    }
    texts = {name: answer.json()["choices"][0]["text"] for name, answer in said.items()}
    assert texts["ada/lora-adapter"] == wanted
    assert texts["ada/lora-base"] != wanted
