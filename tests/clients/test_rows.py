"""Row by row: every address of the Hub's table, by each version of the client."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

import pytest

from clients.rows import ROWS
from clients.rows.parts import PARTS
from clients.versions import VERSIONS, client_python
from kit.programs import client_env, run_python
from kit.server import LiveServer

for part in PARTS:
    importlib.import_module(part)
pytestmark = pytest.mark.clients

# What came with a later version of the client, and what went again.
_SINCE_1_33 = {"POST /oauth/device", "POST /oauth/token", "GET /api/spaces/templates"}
_SINCE_2 = {"GET /api/models/{id}/safetensors-metadata/{path}", "POST /uploads"}
_SINCE_1 = {
    "POST /api/{T}/{id}/duplicate",
    "GET /api/settings/repositories",
    "GET /api/organizations/{org}/settings/repositories",
    "POST /api/{T}/{id}/lfs-files/duplicate",
    "GET /api/spaces/semantic-search",
    "GET /api/kernels/{id}",
    "GET /api/datasets/{id}/leaderboard",
    "GET /api/organizations/{org}/followers",
    "GET /api/{T}/{id}/auth-check/write",
    *(name for name in ROWS if "bucket" in name),
}
ABSENT: dict[str, set[str]] = {
    "0.36": _SINCE_1 | _SINCE_1_33 | _SINCE_2,
    "1.18": _SINCE_1_33 | _SINCE_2 | {"PUT /api/buckets/{id}/settings"},
    "1.33": _SINCE_2,
    "2.4": {"POST /api/spaces/{id}/duplicate", "POST /api/{T}/{id}/commit/{rev} (a large folder)"},
}
# Methods without a row: of other hosts, and of parts that have tests of their own.
_OTHER_PARTS = re.compile(
    r".*(job|inference|space_|_space$|_gpu_|paper).*|list_spaces_hardware"
    r"|update_collection_resource_group|list_dataset_parquet_files"
)


@pytest.fixture(scope="module", params=VERSIONS)
def found(
    request: pytest.FixtureRequest, server: LiveServer, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, dict[str, Any]]:
    """What came of the rows with one version."""
    home = tmp_path_factory.mktemp("rows")
    env = client_env(server, home, GRACE_TOKEN=server.tokens["grace"])
    env["PYTHONPATH"] = str(Path(__file__).parents[1])
    code = "import runpy; runpy.run_module('clients.rows', run_name='__main__')"
    return request.param, run_python(code, env, python=client_python(request.param), limit_s=600)


@pytest.mark.parametrize("name", ROWS)
def test_row(found: tuple[str, dict[str, Any]], name: str) -> None:
    version, results = found
    expected = "absent" if name in ABSENT[version] else "ok"
    assert results["rows"][name] == expected, results["rows"][name]


def test_no_method_is_left_out(found: tuple[str, dict[str, Any]]) -> None:
    _, results = found
    assert [name for name in results["unused"] if not _OTHER_PARTS.fullmatch(name)] == []
