"""The house holds: import order, raw-path parameters, a policy on every route, docs that are true."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from fastapi.routing import APIRoute

from llmos.app.asgi import build_api, flat_routes
from llmos.cli.reference import all_pages
from llmos.core.names import RESERVED_NAMESPACES

ROOT = Path(__file__).parents[2]
# Addresses that answer everybody alike, or check a credential of their own inside.
OPEN_ROUTES = re.compile(
    r"^/(-/(health|static|patterns|lfs|claim|preferences|feeds|diagram|schemas)|oauth/|\.well-known/|avatars/"
    r"|api/runners|api/telemetry|api/tasks|api/buckets|api/agent-harnesses|api/(models|datasets)-tags-by-type|api/spaces/templates|api/openapi"
    r"|cas|v1|robots|favicon"
    r"|settings$|-/admin$|collections/{ns:seg}$)"  # redirects to pages that ask
)


def _tracked_files() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [ROOT / line for line in listed.stdout.splitlines() if (ROOT / line).is_file()]


def test_rooms_import_downwards_only() -> None:
    done = subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports")), "--no-logo"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_every_path_parameter_is_decoded_once() -> None:
    bad = [
        route.path
        for route in flat_routes(build_api())
        if isinstance(route, APIRoute)
        for name in re.findall(r"{([^}]*)}", route.path)
        if not name.endswith((":seg", ":rev", ":rest", ":int", ":plural", ":repoverb", ":tail"))
    ]
    assert not bad, f"declare these parameters as seg, rev, rest or int: {bad}"


def _dependency_names(route: APIRoute) -> set[str]:
    names: set[str] = set()
    stack = list(route.dependant.dependencies)
    while stack:
        dependant = stack.pop()
        names.add(getattr(dependant.call, "__name__", ""))
        stack.extend(dependant.dependencies)
    return names


def test_every_route_asks_who_is_calling() -> None:
    bad = [
        route.path
        for route in flat_routes(build_api())
        if isinstance(route, APIRoute)
        and not OPEN_ROUTES.match(route.path)
        and "_actor" not in _dependency_names(route)
        and not {"resolve_actor", "_ask"} & set(route.endpoint.__code__.co_names)
    ]
    assert not bad, f"declare ActorDep on: {bad}"


def test_no_person_can_take_the_first_word_of_a_route() -> None:
    words = {str(getattr(route, "path", "")).split("/")[1] for route in flat_routes(build_api())}
    taken = {word for word in words if word and not word.startswith("{")} - RESERVED_NAMESPACES
    assert not taken, f"add to the reserved names: {taken}"


@pytest.mark.parametrize("name", sorted(all_pages()))
def test_reference_docs_are_fresh(name: str) -> None:
    written = (ROOT / "docs" / "reference" / name).read_text()
    assert written == all_pages()[name], f"run `make docs`: docs/reference/{name} is out of date"


def test_no_large_binary_is_tracked() -> None:
    large = [str(path) for path in _tracked_files() if path.stat().st_size > 1_000_000]
    assert not large


def test_modules_stay_readable() -> None:
    long = {
        str(path.relative_to(ROOT)): count
        for path in (ROOT / "src").rglob("*.py")
        if path.parent.name != "versions" and (count := len(path.read_text().splitlines())) > 400
    }
    assert not long, f"split these modules: {long}"


def test_broad_excepts_stand_only_where_the_house_allows() -> None:
    allowed = {
        "app/middleware.py", "app/worker.py", "app/doctor.py", "infra/queue/outbox.py", "app/supervisor.py",
    }  # fmt: skip
    found = {
        str(path.relative_to(ROOT / "src/llmos"))
        for path in (ROOT / "src").rglob("*.py")
        if re.search(r"except Exception\b", path.read_text())
    }
    assert found <= allowed, found - allowed
