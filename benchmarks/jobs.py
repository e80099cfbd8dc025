"""Jobs: how soon one begins on an idle runner, and what a thousand small ones cost."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator

from benchmarks.bench import MB, Bench, memory_bytes
from benchmarks.report import Row
from kit.runners import Jobs, register, runner, wait_until
from llmos.runner.machine import find_lab

STARTS = 5
COUNT = 1000
_ALONE = 50
_RECIPE = {
    "objective": "clm",
    "data": {"sources": [{"dataset": "ada/lines"}]},
    "model": {"preset": "nano"},
    "training": {"max_steps": 1},
}


def start(bench: Bench) -> Iterator[Row]:
    """From the request to the first line of the log, as its reader gets it; the runner waits idle."""
    jobs = Jobs(bench.server)
    with runner(bench.server, bench.scratch / "runner", register(bench.server, "bench")) as process:
        _first_line(jobs, jobs.send("print('warm')"))
        idle_mb = memory_bytes(process.pid) / MB
        took = sorted(_timed(jobs) for _ in range(STARTS))[STARTS // 2]
        yield Row("job: submit to first line", f"{took:.2f} s", "limit 3 s", took, at_most=3.0)
        if find_lab() is not None:
            took = sorted(_timed_recipe(bench, jobs) for _ in range(3))[1]
            name = "job: submit to first line, torch imported"
            yield Row(name, f"{took:.2f} s", "limit 3 s", took, at_most=3.0)
        yield Row("memory of an idle runner", f"{idle_mb:.0f} MB", "limit 25 MB", idle_mb / 25, at_most=1.0)
    jobs.http.close()


def _timed(jobs: Jobs) -> float:
    started = time.perf_counter()
    return _first_line(jobs, jobs.send("print('here')")) - started


def _timed_recipe(bench: Bench, jobs: Jobs) -> float:
    """The lab imports torch before it says its first word."""
    from huggingface_hub import HfApi

    api = HfApi(endpoint=bench.server.url, token=bench.token)
    api.create_repo("ada/lines", repo_type="dataset", exist_ok=True)
    text = b"A line of text that says little.\n" * 2000
    api.upload_file(path_or_fileobj=text, path_in_repo="a.txt", repo_id="ada/lines", repo_type="dataset")
    started = time.perf_counter()
    volume = {"type": "dataset", "source": "ada/lines", "mountPath": "/data", "readOnly": True}
    job = jobs.send("", recipe=_RECIPE, volumes=[volume], dockerImage=None, command=[])
    seen_at = _first_line(jobs, job)
    jobs.wait(job)
    return seen_at - started


def _first_line(jobs: Jobs, job_id: str) -> float:
    """When the first line of the log arrives."""
    with jobs.http.stream("GET", f"/api/jobs/{jobs.person}/{job_id}/logs", timeout=120) as answer:
        for line in answer.iter_lines():
            if line.startswith("data:"):
                return time.perf_counter()
    raise RuntimeError(f"job {job_id} ended without a line: {jobs.info(job_id)}")


def _sandbox_alone_ms() -> float:
    """What the program of such a job costs with nobody to send it: the least that bubblewrap takes."""
    command = ["bwrap", "--unshare-all", "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "echo"]
    started = time.perf_counter()
    for _ in range(_ALONE):
        subprocess.run(command, check=True, capture_output=True)
    return (time.perf_counter() - started) / _ALONE * 1000


def thousand(bench: Bench) -> Iterator[Row]:
    """Jobs that do nothing, one after the other through one runner. Each tells its number once."""
    jobs = Jobs(bench.server)
    ids = [jobs.send("", command=["echo", str(number)]) for number in range(COUNT)]
    token = register(bench.server, "bench")
    started = time.perf_counter()
    with runner(bench.server, bench.scratch / "runner", token, "--jobs", "1"):
        wait_until(lambda: jobs.stage(ids[0]) == "COMPLETED")
        first_at = time.perf_counter()
        # Seldom: whoever asks takes processor time from what is measured.
        wait_until(lambda: jobs.stage(ids[-1]) == "COMPLETED", limit_s=COUNT, every_s=0.5)
        last_at = time.perf_counter()
        wait_until(lambda: all(jobs.stage(job) == "COMPLETED" for job in ids), limit_s=120)
    each_ms = (last_at - first_at) / (COUNT - 1) * 1000
    told = [jobs.log(job) for job in ids]
    wrong = sum(told[number] != [str(number)] for number in range(COUNT))
    yield Row(f"{COUNT} jobs: lost or doubled", str(wrong), "limit 0", wrong, at_most=0)
    alone_ms = _sandbox_alone_ms()
    beside = f"sandbox alone {alone_ms:.0f} ms"
    yield Row(f"{COUNT} jobs: each, all included", f"{each_ms:.0f} ms", beside, each_ms / alone_ms)
    over_ms = each_ms - alone_ms
    yield Row(f"{COUNT} jobs: dispatch, each", f"{over_ms:.0f} ms", "limit 50 ms", over_ms / 50, at_most=1.0)
    print(f"  first of {COUNT} after {first_at - started:.1f} s, runner start included")
    jobs.http.close()
