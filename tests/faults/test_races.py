"""Two at once: what was answered as done is there, and nothing is done twice."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import httpx

from faults.live import Visitor

_numbers = itertools.count(1)


def at_once(*calls: Callable[[], httpx.Response]) -> list[httpx.Response]:
    gate = Barrier(len(calls))

    def start(call: Callable[[], httpx.Response]) -> httpx.Response:
        gate.wait(30)
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return [future.result() for future in [pool.submit(start, call) for call in calls]]


def test_commits_on_one_branch_all_land(ada: Visitor) -> None:
    repo = ada.create(f"race-{next(_numbers)}")
    calls = [lambda number=number: ada.commit(repo, {f"{number}.txt": str(number)}) for number in range(8)]
    answers = at_once(*calls)
    assert [answer.status_code for answer in answers] == [200] * 8, [answer.text for answer in answers]
    assert {f"{number}.txt" for number in range(8)} <= ada.files(repo)
    history = ada.http.get(f"/api/models/{repo}/commits/main").json()
    assert {answer.json()["commitOid"] for answer in answers} <= {item["id"] for item in history}
    assert ada.head(repo) == history[0]["id"]


def test_of_commits_on_one_parent_one_lands(ada: Visitor) -> None:
    repo = ada.create(f"race-{next(_numbers)}")
    ada.commit(repo, {"a.txt": "0"})
    parent = ada.head(repo) or ""
    calls = [
        lambda number=number: ada.commit(repo, {"a.txt": str(number)}, parentCommit=parent)
        for number in range(1, 5)
    ]
    answers = at_once(*calls)
    assert sorted(answer.status_code for answer in answers) == [200, 412, 412, 412]
    [winner] = [number for number, answer in enumerate(answers, 1) if answer.status_code == 200]
    assert ada.http.get(f"/{repo}/resolve/main/a.txt").text == str(winner)


def test_of_two_deletes_one_finds_nothing(ada: Visitor) -> None:
    name = f"race-{next(_numbers)}"
    repo = ada.create(name)
    ada.commit(repo, {"a.txt": "0"})

    def delete() -> httpx.Response:
        return ada.http.request("DELETE", "/api/repos/delete", json={"name": repo})

    assert sorted(answer.status_code for answer in at_once(delete, delete)) == [200, 404]
    assert ada.http.get(f"/api/models/{repo}").status_code == 404
    ada.create(name)
    assert ada.head(repo) != "0"


def test_of_two_creates_one_is_told_of_the_other(ada: Visitor) -> None:
    name = f"race-{next(_numbers)}"

    def create() -> httpx.Response:
        return ada.http.post("/api/repos/create", json={"name": name})

    answers = at_once(create, create, create)
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409]
    assert all(answer.json()["url"].endswith(f"/ada/{name}") for answer in answers)


def test_a_move_and_a_commit_do_not_lose_each_other(ada: Visitor) -> None:
    for _ in range(3):
        old, new = f"ada/race-{next(_numbers)}", f"ada/raced-{next(_numbers)}"
        ada.create(old.split("/")[1])
        ada.commit(old, {"a.txt": "0"})

        def move(old: str = old, new: str = new) -> httpx.Response:
            body = {"fromRepo": old, "toRepo": new, "type": "model"}
            return ada.http.post("/api/repos/move", json=body)

        def commit(old: str = old) -> httpx.Response:
            return ada.commit(old, {"b.txt": "1"})

        moved, written = at_once(move, commit)
        assert (moved.status_code, written.status_code) == (200, 200), (moved.text, written.text)
        assert {"a.txt", "b.txt"} <= ada.files(new)
        assert ada.head(new) == written.json()["commitOid"]


def test_a_delete_and_a_commit_end_in_one_of_two_ways(ada: Visitor) -> None:
    for _ in range(3):
        repo = ada.create(f"race-{next(_numbers)}")
        ada.commit(repo, {"a.txt": "0"})

        def delete(repo: str = repo) -> httpx.Response:
            return ada.http.request("DELETE", "/api/repos/delete", json={"name": repo})

        def commit(repo: str = repo) -> httpx.Response:
            return ada.commit(repo, {"b.txt": "1"})

        deleted, written = at_once(delete, commit)
        assert deleted.status_code == 200
        assert written.status_code in (200, 404), written.text
        assert ada.http.get(f"/api/models/{repo}").status_code == 404
