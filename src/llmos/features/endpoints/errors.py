"""Refusals of the one door to models. Codes are stable: faces translate them into their own shapes."""

from __future__ import annotations

from llmos.core.errors import Forbidden, LlmosError, NotFound, TooManyRequests, Unavailable, Unprocessable


class ModelNotFound(NotFound):
    """No such model, endpoint or revision that the actor may know of."""

    code = "model_not_found"


class NotServable(Unprocessable):
    """The repository is there, but nothing here can serve it; the message says why."""

    code = "not_servable"


class ServingOff(Forbidden):
    """The instance, or the endpoint's owner, does not let the actor start this model."""

    code = "serving_off"


class QueueFull(TooManyRequests):
    """As many calls wait as may; `data["retry_after_s"]` says when to come back."""

    code = "queue_full"


class RateLimited(TooManyRequests):
    """The endpoint's own limit is used up; `data["retry_after_s"]` says when to come back."""

    code = "rate_limited"


class NoRunner(Unavailable):
    """No machine that can serve this is connected."""

    code = "no_runner"


class EngineLost(LlmosError):
    """The engine ended, or its machine cannot be reached any more."""

    status = 503
    code = "engine_lost"
