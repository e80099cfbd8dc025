"""Which change of state is accepted. Pure: no clock, no database.

waiting -> queued -> preparing -> running -> succeeded | failed | canceled | timed_out
             ^______________________|   (lost, released, tried again)
"""

from __future__ import annotations

from dataclasses import dataclass

from llmos.core.errors import Conflict
from llmos.infra.i18n import lazy

ACTIVE = ("preparing", "running")
PENDING = ("waiting", "queued")
FINAL = ("succeeded", "failed", "canceled", "timed_out")
# The kind of job that serves a model: never tried again by the queue, its endpoint decides.
ENGINE = "engine"
STATES = (*PENDING, *ACTIVE, *FINAL)
# A job whose runners vanish again and again is the job's fault sooner or later.
MAX_LOST = 5

# What a runner may propose in each state of the job.
_PROPOSALS: dict[str, tuple[str, ...]] = {
    "preparing": ("preparing", "running", "succeeded", "failed", "canceled", "timed_out", "released"),
    "running": ("running", "succeeded", "failed", "canceled", "timed_out", "released"),
}


class StateRefused(Conflict):
    """The proposal does not follow from the present state, which `data["state"]` names."""

    code = "StateRefused"


class LeaseLost(Conflict):
    """The lease is not, or no longer, the one that counts."""

    code = "LeaseLost"


@dataclass(frozen=True, slots=True)
class Ends:
    """`state`: the job's next one. `ends_attempt`: whether the lease is over with it."""

    state: str
    ends_attempt: bool
    counts_as_failure: bool = False


def accept(
    state: str,
    proposed: str,
    *,
    is_cancel_requested: bool,
    failures: int,
    max_attempts: int,
    is_engine: bool = False,
) -> Ends:
    """What a runner's proposal leads to. `failures`: how many attempts have failed so far.

    Raises StateRefused. A job that was asked to stop and ends in any way but success is canceled;
    a failed or timed-out attempt is tried again while attempts remain.
    """
    if proposed not in _PROPOSALS.get(state, ()):
        raise _refused(state, proposed)
    if proposed == "canceled" and not is_cancel_requested:
        raise _refused(state, proposed)
    if proposed in ACTIVE:
        return Ends(proposed, ends_attempt=False)
    if proposed == "succeeded":
        return Ends("succeeded", ends_attempt=True)
    if is_cancel_requested:
        return Ends("canceled", ends_attempt=True)
    if proposed == "released":
        return Ends("failed" if is_engine else "queued", ends_attempt=True)
    again = failures + 1 < max_attempts
    return Ends("queued" if again else proposed, ends_attempt=True, counts_as_failure=True)


def missing_events(state: str, accepted_seq: int) -> StateRefused:
    """For last events that do not follow on what is held, as after the restore of a backup."""
    return StateRefused(
        lazy("Events are missing: send them from number %(next)d on first.", next=accepted_seq + 1),
        data={"state": state, "code": StateRefused.code},
    )


def _refused(state: str, proposed: str) -> StateRefused:
    return StateRefused(
        lazy(
            "This job is %(state)s: it cannot become %(proposed)s.",
            state=state,
            proposed=proposed,
        ),
        data={"state": state, "code": StateRefused.code},
    )


def after_loss(*, is_cancel_requested: bool, losses: int, is_engine: bool = False) -> str:
    """The state of a job whose lease ran out; `losses` counts this one, too."""
    if is_cancel_requested:
        return "canceled"
    return "queued" if losses < MAX_LOST and not is_engine else "failed"


def after_cancel(state: str) -> str | None:
    """The state a job takes at once when somebody cancels it; None: a runner has to stop it first.

    Raises StateRefused when it is over.
    """
    if state in FINAL:
        raise StateRefused(
            lazy("This job is over (%(state)s): there is nothing to cancel.", state=state),
            data={"state": state, "code": StateRefused.code},
        )
    return "canceled" if state in PENDING else None


def after_needs(states: list[str]) -> str | None:
    """The state of a waiting job whose needs are in `states`; None: it waits on."""
    if any(state in FINAL and state != "succeeded" for state in states):
        return "canceled"
    return "queued" if all(state == "succeeded" for state in states) else None


@dataclass(frozen=True, slots=True)
class Result:
    """A successful attempt: whose machine it was, and the digests of what it made."""

    runner_owner_id: int
    is_trusted: bool
    digests: tuple[str, ...]


def agreed(results: list[Result], quorum: int) -> bool | None:
    """Whether enough machines of different people made the same thing.

    None: not yet. False: never, as the results contradict each other. A result without a digest
    agrees with nothing; a trusted machine needs no second one.
    """
    if quorum <= 1 or (results and results[-1].is_trusted):
        return True
    voters: dict[tuple[str, ...], set[int]] = {}
    for result in results:
        if result.digests and all(result.digests):
            voters.setdefault(result.digests, set()).add(result.runner_owner_id)
    best = max((len(people) for people in voters.values()), default=0)
    if best >= quorum:
        return True
    return None if len(results) < 2 * quorum - 1 else False
