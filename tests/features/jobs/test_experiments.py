"""Training runs listed, compared and forked; what is private stays so."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml
from starlette.testclient import TestClient

from features.jobs.conftest import FakeRunner, Hub
from kit.browser import ORIGIN, Browser
from kit.statements import counted
from llmos.features.accounts.models import User
from llmos.features.jobs.comparison import differences, dump, figure_row, flatten, yaml_diff
from llmos.features.jobs.pages.prefill import values_of_recipe
from llmos.features.jobs.recipes import read_recipe
from llmos.features.jobs.streams import last_figures, read_curves
from llmos.infra.runtime import Runtime

RECIPE: dict[str, Any] = {
    "version": 1,
    "name": "poems",
    "objective": "clm",
    "data": {"sources": [{"files": ["sample:chinese.txt"]}]},
    "model": {"preset": "nano"},
    "training": {"max_minutes": 2, "seed": 7},
}


@pytest.fixture
def hub(rt: Runtime, app_client: TestClient, people: dict[str, User]) -> Hub:
    return Hub(rt, app_client, {})


def recipe(**changes: Any) -> dict[str, Any]:
    return RECIPE | changes


def trained(hub: Hub, runner: FakeRunner, losses: list[float], *, owner: str = "ada", **body: Any) -> str:
    """A finished run with a curve, its id."""
    job_id = hub.submit(owner, **body)
    assert runner.claim() is not None
    points = [("train/loss", step * 10, value) for step, value in enumerate(losses)]
    points += [("eval/loss", 10 * len(losses), losses[-1] + 0.1), ("eval/accuracy", 1, 1 / losses[-1])]
    points += [("train/learning_rate", 1, 0.0003)]
    events = [{"kind": "metric", "name": name, "step": step, "value": value} for name, step, value in points]
    runner.events(job_id, 0, *events)
    runner.state(job_id, "running")
    assert runner.state(job_id, "succeeded").json()["state"] == "succeeded"
    return job_id


def test_list_compare_and_fork(hub: Hub, ada: Browser, grace: Browser, browser: Browser) -> None:
    runner = hub.runner()
    first = trained(hub, runner, [5.0, 4.0, 3.0], recipe=RECIPE)
    other = recipe(name="more <b>poems</b>", training={"max_minutes": 4, "seed": 7}, lora={"rank": 4})
    second = trained(hub, runner, [5.0, float("nan"), 2.0], recipe=other, public=True)
    hub.submit("ada", command=["true"])
    waiting = hub.submit("ada", recipe=recipe(name="later", objective="mlm"))

    with counted() as seen:
        page = ada.get("/jobs/ada/-/experiments").text
    assert len(seen) <= 12
    assert page.count('name="run"') == 3, "the command is no training run"
    assert "eval/loss" in page
    assert "learning_rate" not in page, "not worth a column"
    assert "more &lt;b&gt;poems" in page
    by_loss = ada.get("/jobs/ada/-/experiments?sort=eval/loss&order=desc").text
    assert by_loss.index(first) < by_loss.index(waiting)
    assert 'aria-sort="descending"' in by_loss
    only = ada.get("/jobs/ada/-/experiments?objective=mlm").text
    assert (first in only, waiting in only) == (False, True)
    assert (
        f'value="{first}" aria-label="Compare poems" checked'
        in ada.get(f"/jobs/ada/-/experiments?run={first}").text
    )

    address = f"/jobs/-/compare?run={first}&run={second}"
    with counted() as seen:
        page = ada.get(address).text
    assert len(seen) <= 12
    assert "1. poems 3.1, 2. more" in re.sub(r"&lt;/?b&gt;", "", page)
    assert page.count("<figure") == 4
    assert "0.0003" in page
    best = re.search(r"eval/loss</th>(.*?)</tr>", page, re.S)
    assert best is not None
    assert best[1].count("Best") == 1
    for path, values in (("training.max_minutes", ("2", "4")), ("lora.rank", ("16 (default)", "4"))):
        row = re.search(rf">{path}</th>(.*?)</tr>", page, re.S)
        assert row is not None
        cells = re.findall(r"<td[^>]*>(.*?)</td>", row[1])
        assert tuple(re.sub(r"<[^>]+>", "", cell) for cell in cells) == values
    assert ">training.seed</th>" not in page, "the same in both"
    assert "+  max_minutes: 4" in re.sub(r"<[^>]+>", "", page)
    assert f"/jobs/me/-/new?from={second}&amp;of=ada" in page

    for who, status in ((grace, 404), (browser, 404)):
        assert who.get(address).status_code == status
        assert first not in who.get("/jobs/-/experiments").text
        assert second in who.get("/jobs/-/experiments").text
        assert who.get(f"/jobs/-/compare?run={second}").status_code == 200
    assert browser.get("/jobs/me/-/experiments").status_code == 303
    assert ada.get("/jobs/-/compare").status_code == 200
    assert ada.get("/jobs/-/compare?run=nothing").status_code == 404
    many = "&".join(f"run={number}" for number in range(9))
    assert ada.get(f"/jobs/-/compare?{many}").status_code == 400
    assert ada.get("/jobs/nobody/-/experiments").status_code == 404

    assert "Fork this run" in grace.get(f"/jobs/ada/{second}").text
    assert browser.get(f"/jobs/me/-/new?from={second}&of=ada").status_code == 303
    assert grace.get(f"/jobs/me/-/new?from={first}&of=ada").status_code == 404
    fork = grace.get(f"/jobs/me/-/new?from={second}&of=ada").text
    assert 'action="/jobs/grace/-/new"' in fork
    assert "max_minutes: 4" in fork


def test_train_like_a_published_model(hub: Hub, ada: Browser, grace: Browser) -> None:
    """The recipe in a model's repository opens the form, for whoever may read it."""
    assert ada.post("/new", "/new", owner="ada", name="tang", visibility="public").status_code == 303
    path = "/ada/tang"
    assert "Train like this" not in ada.get(path).text
    text = dump(recipe(data={"sources": [{"dataset": "ada/poems"}]}, push={"repo": "ada/tang"}))
    lines = {"key": "file", "value": {"path": "recipe.yaml", "content": text}}
    body = f'{{"key":"header","value":{{"summary":"Say how"}}}}\n{_json(lines)}'
    answer = ada.client.post("/api/models/ada/tang/commit/main", content=body, headers={"origin": ORIGIN})
    assert answer.status_code == 200, answer.text
    assert "/jobs/me/-/new?recipe=ada%2Ftang" in grace.get(path).text
    form = grace.get("/jobs/me/-/new?recipe=ada%2Ftang").text
    assert 'value="ada/poems"' in form
    assert 'value="grace/tang"' in form, "to a repository of her own"
    assert re.search(r'name="training.seed"[^>]*value="7"', form)
    settings = {"private": True}
    address = "/api/models/ada/tang/settings"
    assert ada.client.put(address, json=settings, headers={"origin": ORIGIN}).status_code == 200
    for name in ("ada/tang", "ada/none", "x", "ada/../x"):
        assert grace.get(f"/jobs/me/-/new?recipe={name}").status_code in (400, 404)


def _json(value: Any) -> str:
    import json

    return json.dumps(value)


FULL = """
version: 1
name: tuned
objective: sft
data:
  sources:
    - dataset: ada/chats
      split: train
  columns: {messages: talk}
model: {base: ada/tiny-llm}
training: {max_minutes: 1.5, seed: 3}
optimiser: {name: muon}
lora: {rank: 4}
push: {repo: ada/tuned, private: false}
"""


def test_a_recipe_fills_the_form() -> None:
    values = values_of_recipe(read_recipe(FULL), "grace")
    assert values["yaml"] == ""
    assert (values["name"], values["objective"], values["model.base"]) == ("tuned", "sft", "ada/tiny-llm")
    assert values["push.repo"] == "grace/tuned"
    assert "push.private" not in values
    assert (values["lora"], values["lora.rank"], values["optimiser.name"]) == ("on", "4", "muon")
    assert values["data.columns"] == "messages: talk"


@pytest.mark.parametrize(
    "more",
    [
        "data: {sources: [{dataset: a/b}, {dataset: a/c}]}",
        "data: {sources: [{files: [x.txt]}]}",
        "unknown: {deep: [[1]]}",
        "training: [1, 2]",
        "model: {preset: [tiny]}",
        "lora: {rank: many}",
        "push: 7",
        "objective: []",
    ],
)
def test_what_no_field_holds_is_shown_as_yaml(more: str) -> None:
    recipe = read_recipe(FULL) | yaml.safe_load(more)
    values = values_of_recipe(recipe, "ada")
    assert set(values) == {"yaml"}
    assert yaml.safe_load(values["yaml"]) == recipe


def test_differences() -> None:
    one = {"a": 1, "b": {"c": True, "d": []}, "e": [{"f": 1}], "n": None}
    two = {"b": {"d": [], "c": False}, "a": 1, "e": [{"f": 1}, {"f": 2}], "n": None}
    assert flatten(one) == {"a": "1", "b.c": "true", "b.d": "", "e.0.f": "1", "n": "null"}
    assert differences([flatten(one), flatten(two)]) == [("b.c", ["true", "false"]), ("e.1.f", [None, "2"])]
    diff = yaml_diff(one, two, "one", "two")
    changed = [(line.kind, line.text) for hunk in diff.hunks for line in hunk.lines if line.kind != "same"]
    assert changed == [("removed", "  c: true"), ("added", "  c: false"), ("added", "- f: 2")]
    assert (diff.added, diff.removed) == (2, 1)
    assert yaml_diff(one, one, "a", "b").hunks == []
    assert flatten({}) == {}


def test_which_figure_is_best() -> None:
    assert figure_row("eval/loss", [2.0, 1.0, None, 1.0]).best == {1, 3}
    assert figure_row("eval/accuracy", [0.2, 0.1]).best == {0}
    assert figure_row("train/tokens_per_second", [2.0, 1.0]).best == set()
    assert figure_row("eval/loss", [2.0, None]).best == set()
    assert figure_row("eval/loss", [2.0, 2.0]).best == set()


def test_long_runs_are_read_in_part(hub: Hub) -> None:
    runner = hub.runner()
    job_id = hub.submit("ada", recipe=RECIPE)
    assert runner.claim() is not None
    for batch in range(30):
        metric = {"kind": "metric", "name": "train/loss", "step": batch, "value": float(batch)}
        other = {"kind": "metric", "name": "system/x", "step": batch, "value": 1.0}
        assert runner.events(job_id, 2 * batch, metric, other).status_code == 200
    job = hub.job(job_id)
    with hub.rt.database.reading() as db:
        whole = read_curves(db, [job.id])[job.id]
        part = read_curves(db, [job.id], with_machine=False, max_rows=20)[job.id]
        assert last_figures(db, [job.id], max_batches=3) == {job.id: {"train/loss": 29.0}}
    assert [len(curve.points) for curve in whole] == [30, 30]
    assert [curve.name for curve in part] == ["train/loss"]
    assert 5 <= len(part[0].points) <= 20
    assert part[0].points[-1] == (29, 29.0), "the last point stays"


def test_recipes_nested_too_deeply_are_refused(ada: Browser) -> None:
    deep: Any = 1
    for _ in range(200):
        deep = [deep]
    body = {"recipe": {"objective": "clm", "x": deep}}
    answer = ada.client.post("/api/jobs/ada", json=body, headers={"origin": ORIGIN})
    assert answer.status_code == 400
    assert "nested too deeply" in answer.text
