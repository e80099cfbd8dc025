"""Tells the hub about one attempt: events in order, signs of life, states; and hears of a cancel.

One thread sends; the attempt's own thread only writes to the spool. While the hub is away the
spool grows and the job goes on: whether the lease still counts is the hub's to say, with 409.
"""

from __future__ import annotations

import json
import logging
import random
import threading
from collections.abc import Iterable
from typing import Any

from llmos.client.runner_api import Refused, RunnerApi, Unreachable
from llmos.runner.spool import Spool

log = logging.getLogger("llmos.runner")

_BATCH_EVENTS, _BATCH_BYTES = 1000, 1024 * 1024
_GATHER_S = 0.05  # wait a little: many lines travel together, and short jobs in two calls
_MAX_BACK_OFF_S = 10.0


class Reporter:
    """Call `start`, then `add`; at the end `finish`, which blocks until the hub has heard all."""

    def __init__(self, api: RunnerApi, spool: Spool, job_id: str, lease: dict[str, Any]) -> None:
        self._api, self._spool, self._job_id = api, spool, job_id
        self._lease_token = str(lease["lease_token"])
        self._heartbeat_s = float(lease["heartbeat_s"])
        self._wake = threading.Event()
        self._sent = 0  # the number of the next event to send
        self._states: list[dict[str, Any]] = []
        self._final: dict[str, Any] | None = None
        self._stop = threading.Event()
        self._ended = threading.Event()
        self._may_join = True  # the last events travel with the final state
        self.cancel = threading.Event()
        # Set when the hub has given the job away or forgotten it: nothing of it counts any more.
        self.lost = threading.Event()
        self.lost_reason = ""
        self.final_state = ""
        self._full = False
        self._batch = _BATCH_EVENTS
        self._thread = threading.Thread(target=self._run, name=f"report-{job_id[:8]}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def add(self, events: Iterable[dict[str, Any]]) -> None:
        """Note events for sending. Log lines beyond what the hub keeps are dropped, and it is said."""
        lines = [json.dumps(event, ensure_ascii=False).encode() for event in events]
        if not lines or self._full:
            return
        if self._spool.is_full:
            self._full = True
            lines = [json.dumps(system_line("The log is full: further events are not kept.")).encode()]
        self._spool.add(lines)
        self._wake.set()

    def say_state(self, state: str) -> None:
        """Propose a state that does not end the attempt; left out when the attempt ends before."""
        self._states.append({"state": state})
        self._wake.set()

    def finish(self, proposal: dict[str, Any], *, limit_s: float | None = None) -> str:
        """Send what is left, then the final proposal; the state of the job afterwards, "" if lost.

        Blocks as long as the hub is away, at most `limit_s`.
        """
        self._final = proposal
        self._ended.set()
        self._wake.set()
        self._thread.join(limit_s)
        return self.final_state

    def abandon(self) -> None:
        """Stop talking about this attempt."""
        self._stop.set()
        self._ended.set()
        self._wake.set()
        self._thread.join(5)

    def _run(self) -> None:
        back_off_s = 0.5
        while not self._stop.is_set() and not self.lost.is_set():
            if not self._has_work():
                self._wake.wait(self._heartbeat_s)
            self._ended.wait(_GATHER_S)
            self._wake.clear()
            try:
                if self._step():
                    break
                back_off_s = 0.5
            except Unreachable as error:
                wait_s = max(error.retry_after_s, back_off_s * random.uniform(0.7, 1.3))
                log.info("job %s: %s; again in %.1f s", self._job_id, error, wait_s)
                self._stop.wait(wait_s)
                back_off_s = min(back_off_s * 2, _MAX_BACK_OFF_S)
        self._api.close()

    def _has_work(self) -> bool:
        return bool(self._states or self._final is not None or self._sent < self._spool.count)

    def _step(self) -> bool:
        """One round of calls; True once the final proposal has been answered."""
        try:
            while self._states and self._final is None:
                self._heard(self._api.propose(self._job_id, self._lease_token, self._states[0]))
                self._states.pop(0)
            last = self._last_events() if self._final is not None else None
            if self._final is not None and last is not None:
                self._propose_final(self._final, last)
                return True
            if self._sent < self._spool.count:
                self._send_batch()
            else:
                self._heard(self._api.heartbeat(self._job_id, self._lease_token, {}))
        except Refused as error:
            return self._refused(error)
        return False

    def _last_events(self) -> list[bytes] | None:
        """What is left to send, if it is few enough to travel with the final state."""
        left = self._spool.count - self._sent
        if not left:
            return []
        if not self._may_join or left > _BATCH_EVENTS:
            return None
        events = self._spool.read(self._sent, limit=left, limit_bytes=_BATCH_BYTES)
        return events if len(events) == left else None

    def _propose_final(self, proposal: dict[str, Any], last: list[bytes]) -> None:
        answer = self._api.propose(
            self._job_id, self._lease_token, proposal, first_seq=self._sent, events=last
        )
        self._sent += len(last)
        self.final_state = str(answer.get("state", ""))

    def _send_batch(self) -> None:
        events = self._spool.read(self._sent, limit=max(self._batch, 1), limit_bytes=_BATCH_BYTES)
        if self._batch == 0:
            events = [json.dumps(system_line("An event that the hub does not take was left out.")).encode()]
        answer = self._api.send_events(self._job_id, self._lease_token, self._sent, events)
        self._heard(answer)
        self._sent = int(answer.get("accepted_seq", self._sent + len(events) - 1)) + 1
        self._batch = _BATCH_EVENTS

    def _heard(self, answer: dict[str, Any]) -> None:
        if answer.get("cancel_requested"):
            self.cancel.set()

    def _refused(self, error: Refused) -> bool:
        is_wrong = error.code == "StateRefused" or error.status in (413, 422)
        if is_wrong and self._final is not None and self._may_join and self._sent < self._spool.count:
            self._may_join = False  # whichever of the two was meant: each by itself
            return False
        if error.code == "StateRefused":
            if self._states and self._final is None:
                self._states.pop(0)
                return False
            log.warning("job %s: %s", self._job_id, error)
            self.final_state = str(error.data.get("state", "refused"))
            return True
        if error.status in (413, 422) and self._sent < self._spool.count:
            log.error("job %s: a batch was refused: %s", self._job_id, error)
            # The numbers must be filled: smaller batches first, in the end a line in its stead.
            self._batch = self._batch // 2
            return False
        if error.status in (413, 422):
            self.final_state = "refused"
            return True
        self.lost_reason = str(error)
        self.lost.set()
        return True


def system_line(text: str) -> dict[str, Any]:
    """A line of the runner's own in the job's log."""
    return {"kind": "log", "stream": "system", "text": text[:4000]}
