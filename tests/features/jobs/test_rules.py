"""The small rules: every state with every proposal, dependencies, quorum."""

from __future__ import annotations

import itertools

import pytest

from llmos.features.jobs.rules import (
    ACTIVE,
    FINAL,
    MAX_LOST,
    STATES,
    Result,
    StateRefused,
    accept,
    after_cancel,
    after_loss,
    after_needs,
    agreed,
)

PROPOSED = ("preparing", "running", "succeeded", "failed", "canceled", "timed_out", "released")
# What follows when nobody asked to stop and one attempt is all there is; "-": refused.
TABLE = {
    "waiting": "- - - - - - -",
    "queued": "- - - - - - -",
    "preparing": "preparing running succeeded failed - timed_out queued",
    "running": "- running succeeded failed - timed_out queued",
    "succeeded": "- - - - - - -",
    "failed": "- - - - - - -",
    "canceled": "- - - - - - -",
    "timed_out": "- - - - - - -",
}


def _outcome(state: str, proposed: str, *, cancel: bool = False, failures: int = 0, attempts: int = 1) -> str:
    try:
        ends = accept(state, proposed, is_cancel_requested=cancel, failures=failures, max_attempts=attempts)
    except StateRefused as error:
        return "-" if error.data["state"] == state else "?"
    assert ends.ends_attempt == (ends.state not in ACTIVE)
    return ends.state


def test_every_state_with_every_proposal() -> None:
    assert set(TABLE) == set(STATES)
    for state, row in TABLE.items():
        for proposed, expected in zip(PROPOSED, row.split(), strict=True):
            assert _outcome(state, proposed) == expected, (state, proposed)


@pytest.mark.parametrize("proposed", ["failed", "timed_out", "released", "canceled"])
@pytest.mark.parametrize("state", ACTIVE)
def test_a_job_that_was_asked_to_stop_ends_canceled(state: str, proposed: str) -> None:
    assert _outcome(state, proposed, cancel=True) == "canceled"
    assert _outcome(state, "succeeded", cancel=True) == "succeeded"


def test_a_failure_is_tried_again_while_attempts_remain() -> None:
    assert [_outcome("running", "failed", failures=done, attempts=3) for done in range(3)] == [
        "queued",
        "queued",
        "failed",
    ]
    released = accept("running", "released", is_cancel_requested=False, failures=0, max_attempts=1)
    assert not released.counts_as_failure


def test_a_lost_runner_is_not_the_fault_of_the_job_at_first() -> None:
    states = [after_loss(is_cancel_requested=False, losses=count) for count in range(1, MAX_LOST + 1)]
    assert states == ["queued"] * (MAX_LOST - 1) + ["failed"]
    assert after_loss(is_cancel_requested=True, losses=1) == "canceled"


def test_cancelling() -> None:
    assert after_cancel("queued") == after_cancel("waiting") == "canceled"
    assert after_cancel("running") is None
    for state in FINAL:
        with pytest.raises(StateRefused):
            after_cancel(state)


def test_needs() -> None:
    assert after_needs([]) == "queued"
    assert after_needs(["succeeded", "running"]) is None
    assert after_needs(["succeeded", "succeeded"]) == "queued"
    for bad in ("failed", "canceled", "timed_out"):
        assert after_needs(["running", bad]) == "canceled"


def _results(*votes: tuple[int, str]) -> list[Result]:
    return [Result(owner, False, (digest,) if digest else ()) for owner, digest in votes]


def test_two_machines_of_different_people_have_to_agree() -> None:
    assert agreed(_results((1, "a")), 1) is True
    assert agreed(_results((1, "a")), 2) is None
    assert agreed(_results((1, "a"), (1, "a")), 2) is None, "one person, twice"
    assert agreed(_results((1, "a"), (2, "b")), 2) is None
    assert agreed(_results((1, "a"), (2, "b"), (3, "a")), 2) is True
    assert agreed(_results((1, "a"), (2, "b"), (3, "c")), 2) is False
    assert agreed(_results((1, ""), (2, "")), 2) is None, "no digest agrees with nothing"
    assert agreed([Result(1, True, ())], 2) is True, "a trusted machine is enough"


def test_the_order_of_votes_changes_nothing() -> None:
    votes = [(1, "a"), (2, "b"), (3, "a")]
    assert {agreed(_results(*order), 2) for order in itertools.permutations(votes)} == {True}
