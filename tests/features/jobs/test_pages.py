"""The pages: start, watch and stop jobs, register runners; what is private stays so."""

from __future__ import annotations

import re
from typing import Any

import pytest
from starlette.testclient import TestClient

from features.jobs.conftest import FakeRunner, Hub, log
from kit.browser import Browser
from llmos.features.accounts.models import User
from llmos.features.jobs.pages.recipe_form import collect_recipe, recipe_groups
from llmos.features.jobs.recipes import read_recipe, recipe_schema
from llmos.infra.runtime import Runtime
from llmos.infra.web.forms import Form


@pytest.fixture
def hub(rt: Runtime, app_client: TestClient, people: dict[str, User]) -> Hub:
    return Hub(rt, app_client, {})


GOOD_RECIPE = "objective: clm\ndata: {sources: [{dataset: ada/poems}]}"


def _start(browser: Browser, **fields: object) -> str:
    values = {"kind": "command", "command": "python -c 'print(1)'", "image": "python:3.12"} | fields
    answer = browser.post("/jobs/ada/-/new", "/jobs/ada/-/new", **values)
    assert answer.status_code == 303, re.findall(r"alert-text[^>]*>([^<]*)", answer.text)
    return answer.headers["location"]


def test_a_command_from_the_form_to_its_log(hub: Hub, ada: Browser, grace: Browser) -> None:
    href = _start(ada, environment="A=b", secrets="KEY=s3cret-value", minutes="5", network="on")
    page = ada.get(href).text
    assert "print(1)" in page
    assert "KEY" in page
    assert "s3cret-value" not in page
    assert "No runner that works for its owner is online." in page
    job_id = href.rpartition("/")[2]
    runner = hub.runner()
    spec = runner.claim()
    assert spec is not None
    assert (spec["secrets"], spec["network"], spec["timeout_s"]) == ({"KEY": "s3cret-value"}, True, 300)
    curve = [{"kind": "metric", "name": "train/loss", "step": step, "value": 4 - step} for step in range(3)]
    runner.events(job_id, 0, *log("<b>said</b>"), *curve)
    runner.state(job_id, "running")
    page = ada.get(href).text
    assert "&lt;b&gt;said&lt;/b&gt;" in page
    assert "train/loss" in page
    assert ada.get(href + "/live").text.count("<html") == 0
    assert ada.get(href + "/log").text == "<b>said</b>\n"
    for path in (href, href + "/log", href + "/live"):
        assert grace.get(path).status_code == 404
    assert "print(1)" not in grace.get("/jobs").text
    assert ada.post(href, href, action="cancel").status_code == 303
    assert runner.about(job_id, "heartbeat", {}).json()["cancel_requested"] is True
    runner.state(job_id, "canceled")
    assert ada.post(href, href, action="show").status_code == 303
    assert grace.get(href).status_code == 200
    assert "A</dt>" not in grace.get(href).text, "the environment is for members"
    shape = grace.client.get(f"/api/jobs/ada/{job_id}").json()
    assert (shape["environment"], shape["secrets"]) == ({}, {})
    fork = grace.get(f"/jobs/grace/-/new?from={job_id}&of=ada").text
    assert "print(1)" in fork
    assert "A=b" not in fork
    assert grace.post(href, "/settings/profile", action="cancel").status_code == 403
    again = ada.post(href, href, action="repeat")
    assert again.status_code == 303
    assert again.headers["location"] != href
    assert ada.get("/jobs?state=active").status_code == 200


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"command": ""}, "command is missing"),
        ({"command": "echo 'x"}, "quote without its end"),
        ({"environment": "no sign"}, "NAME=value"),
        ({"minutes": "soon"}, "number of minutes"),
        ({"disk": "nan"}, "number of GiB"),
        ({"kind": "recipe", "quorum": "two"}, "quorum must be a number from 1 to 5"),
        ({"kind": "recipe", "yaml": GOOD_RECIPE, "quorum": "6"}, "quorum must be a number from 1 to 5"),
        (
            {"kind": "recipe", "yaml": "objective: clm\ndata:\n  sources: []\nmodel:\n  presett: nano"},
            "Line 5: model.presett: there is no such field; did you mean preset?",
        ),
        ({"kind": "recipe", "objective": "clm"}, "data set to learn from"),
        ({"kind": "recipe", "yaml": "a: [1"}, "line"),
        ({"kind": "recipe", "yaml": "a: &x 1\nb: *x"}, "aliases"),
        ({"kind": "recipe", "yaml": "- 1"}, "YAML object"),
    ],
)
def test_a_form_with_a_mistake_comes_back(ada: Browser, fields: dict[str, str], words: str) -> None:
    values = {"kind": "command", "command": "true"} | fields
    answer = ada.post("/jobs/ada/-/new", "/jobs/ada/-/new", **values)
    assert answer.status_code == 400
    assert words in answer.text


def test_a_recipe_from_the_form(hub: Hub, ada: Browser) -> None:
    """The data set becomes an input at its commit, the repository to be made an output."""
    made = ada.post("/new-dataset", "/new-dataset", owner="ada", name="poems", visibility="public")
    assert made.status_code == 303
    fields = {
        "kind": "recipe",
        "objective": "clm",
        "data.sources.0.dataset": "ada/poems",
        "model.preset": "nano",
        "training.max_minutes": "2.5",
        "optimiser.name": "muon",
        "data.columns": "text: body",
        "push.repo": "ada/tang",
        "quorum": "2",
        "disk": "1.5",
    }
    href = _start(ada, **fields)
    spec = hub.runner().claim()
    assert spec is not None
    assert spec["kind"] == "recipe"
    assert spec["recipe"] == {
        "version": 1,
        "objective": "clm",
        "data": {"sources": [{"dataset": "ada/poems"}], "columns": {"text": "body"}},
        "model": {"preset": "nano"},
        "training": {"max_minutes": 2.5},
        "optimiser": {"name": "muon"},
        "push": {"repo": "ada/tang", "private": False},
    }
    assert [(item["repo"], item["path"]) for item in spec["inputs"]] == [
        ("ada/poems", "/inputs/datasets/ada/poems")
    ]
    assert spec["outputs"][0]["repo"] == "ada/tang"
    assert ada.get("/ada/tang").status_code == 200
    assert spec["resources"]["disk_bytes"] == 3 * 2**29
    page = ada.get(href).text
    assert "<dt>Machines that must agree</dt><dd>2</dd>" in page
    assert "<dt>Disk</dt><dd>1.5 GiB</dd>" in page
    assert "/datasets/ada/poems/tree/" in page
    again = ada.get(f"/jobs/ada/-/new?from={href.rpartition('/')[2]}").text
    assert 'value="muon" selected' in again, "the recipe, to be changed"
    assert "text: body" in again
    assert re.search(r'name="quorum"[^>]* value="2"', again), "and how many machines must agree"


def test_every_option_of_the_schema_has_a_field() -> None:
    groups = recipe_groups(recipe_schema())
    paths = {field.path for group in groups for field in group.fields}
    assert {
        "data.sources.0.split",
        "training.batch_tokens",
        "lora.rank",
        "tokenizer.train.vocab_size",
    } <= paths
    filled: dict[str, list[Any]] = {
        field.path: ["1"] for group in groups for field in group.fields if field.kind == "number"
    }
    recipe = collect_recipe(Form(filled), groups)
    assert "lora" not in recipe, "an optional section is only used when it is ticked"
    assert recipe["checkpoints"]["keep"] == 1
    assert collect_recipe(Form({"lora": ["on"], "lora.merge": ["on"]}), groups)["lora"] == {}
    assert read_recipe("objective: clm") == {"objective": "clm"}


def test_what_a_running_job_shows_of_its_machine(hub: Hub, ada: Browser) -> None:
    href = _start(ada)
    job_id = href.rpartition("/")[2]
    runner = hub.runner()
    runner.claim(load=3.5, running=1)
    runner.state(job_id, "running")
    assert "Energy" not in ada.get(href).text
    sample = {"kind": "sample", "cpu": 1.5, "memory_bytes": 3_000_000, "energy_wh": 1.25}
    progress = {"kind": "progress", "done": 30, "total": 120, "unit": "steps"}
    runner.events(job_id, 0, {"kind": "phase", "phase": "train"}, progress, sample)
    for page in (ada.get(href).text, ada.get(f"{href}/live").text):
        assert re.search(
            r'<progress[^>]*value="0\.25"[^>]*max="1"|<progress[^>]*max="1"[^>]*value="0\.25"', page
        )
        assert "30 / 120 steps" in page
        assert "1.25 Wh" in page
        assert "estimated" in page
        assert "3.0 MB" in page or "3 MB" in page
        assert "What the machine did" in page
    beat = sample | {"energy_wh": 2.5, "energy_method": "measured"}
    runner.about(job_id, "heartbeat", {"sample": beat})
    page = ada.get(f"{href}/live").text
    assert "2.50 Wh" in page
    assert "measured" in page
    machines = ada.get("/runners").text
    assert re.search(r"<dt>Load</dt><dd>3\.5</dd>", machines)
    assert href in machines, "and what it runs"
    runner.state(job_id, "succeeded", exit_code=0)
    page = ada.get(f"{href}/live").text
    assert "2.50 Wh" in page
    assert "<progress" not in page


def test_runners(hub: Hub, ada: Browser, grace: Browser, browser: Browser) -> None:
    made = ada.post("/runners", "/runners", name="ada-desk", scope="person")
    found = re.search(r"llmos runner start --url \S+ --token (llmosr_[\w-]+)", made.text)
    assert found is not None
    assert found[1] not in ada.get("/runners").text, "shown once"
    runner = FakeRunner(hub.http, found[1])
    welcome = runner.send("hello", {"name": "ada-desk", "load": 0.5}).json()
    assert (welcome["scope"], welcome["trusted"]) == ("person", True)
    page = ada.get("/runners").text
    assert "Online" in page
    assert "ada-desk" not in grace.get("/runners").text
    path = f"/runners/{welcome['runner_id']}"
    assert grace.post(path, "/runners", action="remove").status_code == 403
    ada.post(path, "/runners", action="drain")
    assert runner.send("hello", {"name": "ada-desk"}).json()["draining"] is True
    ada.post(path, "/runners", action="token")
    assert runner.send("hello", {"name": "ada-desk"}).status_code == 401, "the old token is gone"
    lent = grace.post("/runners", "/runners", name="lent", scope="instance")
    assert "Not trusted" in ada.get("/runners").text
    assert lent.status_code == 200
    assert (
        grace.post("/runners", "/runners", name="x", scope="organization", target="nobody").status_code == 400
    )
    assert browser.get("/runners").status_code == 200
    assert browser.get("/jobs").status_code == 200
    assert browser.get("/jobs/ada/-/new").status_code == 303


def test_schedules_page(hub: Hub, ada: Browser, grace: Browser) -> None:
    assert ada.get("/jobs/ada/-/schedules").status_code == 200
    assert grace.get("/jobs/ada/-/schedules").status_code == 404
