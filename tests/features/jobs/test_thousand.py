"""A thousand trivial jobs through one queue: none lost, none doubled."""

from __future__ import annotations

import threading
from collections import Counter

import pytest
from sqlalchemy.orm import lazyload

from features.jobs.conftest import MACHINE, Hub
from llmos.features.accounts.policy import get_namespace
from llmos.features.jobs.claiming import claim_job, find_candidates
from llmos.features.jobs.models import Job, Runner
from llmos.features.jobs.reporting import take_proposal
from llmos.features.jobs.requests import parse_request
from llmos.features.jobs.service import submit
from llmos.wire.jobs import StateProposal
from llmos.wire.runners import RunnerHello


@pytest.mark.parametrize("count", [60, pytest.param(1000, marks=pytest.mark.slow)])
def test_a_thousand_jobs_through_two_runners(hub: Hub, count: int) -> None:
    ada = hub.actor("ada")
    request = parse_request({"command": ["true"]})
    with hub.rt.database.writing() as db:
        owner = get_namespace(db, "ada")
        assert owner is not None
        ids = {submit(db, hub.rt, ada, owner, request).object_id for _ in range(count)}
    hub.runner()
    hub.runner()
    with hub.rt.database.reading() as db:
        runners = [row.id for row in db.query(Runner)]
    done: list[str] = []
    threads = [threading.Thread(target=_work, args=(hub, runner_id, done)) for runner_id in runners]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Counter(done) == Counter(ids)
    with hub.rt.database.reading() as db:
        assert db.query(Job).filter(Job.state == "succeeded").count() == count


def _work(hub: Hub, runner_id: int, done: list[str]) -> None:
    """What the calls of a runner do, without the way through HTTP."""
    hello = RunnerHello.model_validate({"name": "box", "resources": MACHINE})
    misses = 0
    while misses < 3:
        with hub.rt.database.reading() as db:
            runner = db.get_one(Runner, runner_id)
            candidates = find_candidates(db, hub.rt, runner, hello)
        with hub.rt.database.writing() as db:
            claim = claim_job(db, hub.rt, runner_id, hello, candidates, "http://hub") if candidates else None
        if claim is None:
            misses += 1
            continue
        misses = 0
        with hub.rt.database.writing() as db:
            runner = db.get_one(Runner, runner_id, options=[lazyload("*")])
            proposal = StateProposal(state="succeeded", exit_code=0)
            take_proposal(db, hub.rt, runner, claim.spec.job_id, claim.lease.lease_token, proposal)
        done.append(claim.spec.job_id)
