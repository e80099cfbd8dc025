"""The database schema of this version."""

from __future__ import annotations

import llmos.features.accounts.models
import llmos.features.auth.models
import llmos.features.repos.models
import llmos.features.storage.models
import llmos.infra.queue.outbox  # noqa: F401  # each import registers its tables
from llmos.infra.db.base import Base
from llmos.infra.runtime import Runtime


def ensure_schema(rt: Runtime) -> None:
    """Create what is missing; safe to call at every start."""
    Base.metadata.create_all(rt.database.engine)
