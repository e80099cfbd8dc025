"""A hub that serves models; `kit.engines` plays the machines."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from starlette.testclient import TestClient

from kit.engines import Serving
from llmos.infra.runtime import Runtime


@pytest.fixture
def serving(rt: Runtime, app_client: TestClient, tokens: dict[str, str]) -> Iterator[Serving]:
    with ThreadPoolExecutor(12) as pool:
        yield Serving(rt, app_client, tokens, pool)
