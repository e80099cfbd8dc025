"""What the pages say of endpoints: words for states, rows of lists, charts of what was used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote

from llmos.features.endpoints.models import Endpoint, EndpointUsage, Replica
from llmos.features.endpoints.queries import state_of
from llmos.features.endpoints.usage import quantile_ms
from llmos.infra.i18n import Locale, lazy, localize
from llmos.ui.views import Series

STATES: dict[str, tuple[Any, str, str]] = {
    "ready": (lazy("Ready"), "success", "circle-check"),
    "starting": (lazy("Starting"), "info", "activity"),
    "asleep": (lazy("Asleep"), "neutral", "clock"),
    "failed": (lazy("Does not start"), "danger", "circle-x"),
    "paused": (lazy("Paused"), "warning", "ban"),
    "draining": (lazy("Finishing"), "neutral", "undo-2"),
    "ended": (lazy("Ended"), "neutral", "circle-slash"),
    "away": (lazy("Not reached"), "warning", "triangle-alert"),
}
STAGES: dict[str, Any] = {
    "scheduled": lazy("Waits for a machine"),
    "fetching": lazy("Fetches the model"),
    "starting": lazy("Starts the engine"),
    "import": lazy("Loads its libraries"),
    "load": lazy("Reads the weights"),
    "warm": lazy("Warms up"),
}
ACCESS_LABELS = {
    "public": lazy("Whoever may read the model"),
    "members": lazy("Only members of its owner"),
    "named": lazy("Members, and the people below"),
}


@dataclass(frozen=True)
class Badge:
    label: Any
    kind: str
    icon: str


def badge(state: str) -> Badge:
    return Badge(*STATES[state])


def shown_state(endpoint: Endpoint, replicas: Sequence[Replica]) -> str:
    state = state_of(endpoint, list(replicas))
    return "failed" if state == "asleep" and endpoint.failed_count else state


def endpoint_href(endpoint: Endpoint) -> str:
    return f"/endpoints/{quote(endpoint.name or endpoint.object_id)}"


@dataclass(frozen=True)
class EndpointRow:
    """A line of the list."""

    name: str
    href: str
    model: str
    model_href: str
    badge: Badge
    task: str
    owner: str
    last_called_at: datetime | None
    is_on_demand: bool


def endpoint_row(endpoint: Endpoint, replicas: Sequence[Replica]) -> EndpointRow:
    model = endpoint.repo.repo_name if endpoint.repo is not None else endpoint.upstream_model
    return EndpointRow(
        name=endpoint.shown_name,
        href=endpoint_href(endpoint),
        model=model,
        model_href=f"/{quote(model)}" if endpoint.repo is not None else "",
        badge=badge(shown_state(endpoint, replicas)),
        task=endpoint.task,
        owner=endpoint.namespace.name,
        last_called_at=endpoint.last_called_at,
        is_on_demand=endpoint.name is None,
    )


def replica_row(replica: Replica) -> dict[str, Any]:
    is_away = replica.state == "ready" and not replica.holder
    job = replica.job
    return {
        "badge": badge("away" if is_away else replica.state),
        "stage": STAGES.get(replica.stage, "") if replica.state == "starting" else "",
        "commit": replica.oid[:8],
        "runner": replica.runner_name,
        "log_href": f"/jobs/{quote(job.namespace.name)}/{job.object_id}" if job is not None else "",
        "memory_bytes": replica.facts.get("memory_bytes", 0),
        "max_streams": replica.facts.get("max_streams", 0),
        "created_at": replica.created_at,
        "reason": replica.reason,
    }


def usage_charts(rows: Sequence[EndpointUsage], locale: Locale) -> list[dict[str, Any]]:
    """Calls and tokens of each hour, and how long answers took; empty without any."""
    if not rows:
        return []

    def line(label: str, values: Sequence[float | None]) -> Series:
        return Series(localize(label, locale), values)

    labels = [row.hour.strftime("%m-%d %H:%M") for row in rows]
    calls, tokens = sum(row.calls for row in rows), sum(row.completion_tokens for row in rows)
    latency = [
        line(lazy("Half of them within"), [quantile_ms(row.latency, 0.5) for row in rows]),
        line(lazy("19 of 20 within"), [quantile_ms(row.latency, 0.95) for row in rows]),
        line(lazy("First token, half within"), [quantile_ms(row.first, 0.5) for row in rows]),
    ]
    return [
        _chart(lazy("Calls an hour"), labels, [line(lazy("Calls"), [row.calls for row in rows])], str(calls)),
        _chart(
            lazy("Tokens an hour"),
            labels,
            [
                line(lazy("Written"), [row.completion_tokens for row in rows]),
                line(lazy("Read"), [row.prompt_tokens for row in rows]),
            ],
            str(tokens),
        ),
        _chart(lazy("How long answers took, in ms"), labels, latency, ""),
    ]


def _chart(title: Any, labels: list[str], series: list[Series], summary: str) -> dict[str, Any]:
    return {"title": title, "labels": labels, "series": series, "summary": summary}
