"""Programs that mean harm, each ended or held within seconds and with a reason in words."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from llmos.runner import seccomp, usage
from llmos.runner.bubblewrap import env_script
from llmos.runner.limits import MIB, Mount

from .conftest import RunInside

TOO_SLOW_S = 8.0


def test_a_program_that_behaves_runs_and_its_files_stay(run_inside: RunInside) -> None:
    ran = run_inside("open('out.txt', 'w').write('done'); print('hello')")
    assert ran.outcome.cause == "done"
    assert ran.output == "hello\n"
    assert (ran.box / "job" / "out.txt").read_text() == "done"


def test_an_exit_code_is_told(run_inside: RunInside) -> None:
    outcome = run_inside("raise SystemExit(3)").outcome
    assert (outcome.cause, outcome.exit_code) == ("failed", 3)
    assert outcome.reason == "the program ended with exit code 3"


def test_fork_bomb(run_inside: RunInside) -> None:
    code = "import os, time\nwhile True:\n    try: os.fork()\n    except OSError: time.sleep(0.2)\n"
    ran = run_inside(code, wall_s=1.5)
    assert ran.outcome.cause in ("timeout", "memory")
    assert ran.outcome.cause == "memory" or "limit of 40 processes" in ran.outcome.notes[0]
    assert ran.took_s < TOO_SLOW_S


def test_memory_hog(run_inside: RunInside) -> None:
    ran = run_inside("kept = []\nwhile True: kept.append(b'x' * 2_000_000)")
    # Without control groups the program meets the end of its memory itself.
    assert ran.outcome.cause == "memory" or "MemoryError" in ran.output
    assert ran.took_s < TOO_SLOW_S


def test_memory_hog_of_many_processes(run_inside: RunInside) -> None:
    code = (
        "import os, time\n"
        "for _ in range(9):\n"
        "    if not os.fork(): break\n"
        "kept = [os.urandom(1_000_000) for _ in range(60)]\n"
        "time.sleep(20)\n"
    )
    ran = run_inside(code)
    assert ran.outcome.cause == "memory"
    assert ran.outcome.reason == "the job used more than its 200 MiB of memory"
    assert ran.took_s < TOO_SLOW_S


def test_one_file_that_fills_the_disk(run_inside: RunInside) -> None:
    code = (
        "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_DFL)\n"
        "f = open('big', 'wb')\n"
        "while True: f.write(b'x' * 1_000_000)\n"
    )
    ran = run_inside(code)
    assert ran.outcome.cause == "disk"
    assert ran.outcome.reason == "the job wrote more than its 32 MiB of disk"
    assert ran.took_s < TOO_SLOW_S


@pytest.mark.parametrize("trick", ["many", "deleted", "tmp"])
def test_many_files_that_fill_the_disk(run_inside: RunInside, trick: str) -> None:
    code = (
        "import os, time\n"
        f"folder = '/tmp' if {trick!r} == 'tmp' else '/job'\n"
        "kept = []\n"
        "for number in range(20):\n"
        "    name = f'{folder}/{number}'\n"
        "    kept.append(open(name, 'wb', buffering=0)); kept[-1].write(b'x' * 8_000_000)\n"
        f"    if {trick!r} == 'deleted': os.unlink(name)\n"
        "    time.sleep(0.05)\n"
        "time.sleep(20)\n"
    )
    ran = run_inside(code)
    assert ran.outcome.cause == "disk", ran.output
    assert ran.took_s < TOO_SLOW_S


def test_too_many_names_and_folders_nobody_can_count(run_inside: RunInside) -> None:
    many = run_inside("import time\nfor n in range(3000): open(str(n), 'w')\ntime.sleep(20)", files=1000)
    assert many.outcome.reason == "the job made more than its 1000 files"
    deep = run_inside(
        "import os, time\nfor n in range(3000): os.mkdir('d' * 200); os.chdir('d' * 200)\ntime.sleep(20)"
    )
    assert deep.outcome.reason == "the job nested folders too deeply"
    # Taking the folder away afterwards is the agent's business; pytest's own way recurses.
    subprocess.run(["rm", "-rf", str(deep.box)], check=True)


def test_time_limit_takes_every_process(run_inside: RunInside) -> None:
    ran = run_inside("import subprocess; subprocess.run(['sleep', '77.25'])", wall_s=0.6)
    assert ran.outcome.cause == "timeout"
    assert ran.took_s < TOO_SLOW_S
    assert not _is_running("77.25")


def test_grandchild_that_wants_to_stay(run_inside: RunInside) -> None:
    code = (
        "import os, time\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        "    if os.fork() == 0:\n"
        "        os.close(1); os.close(2)\n"
        "        os.execvp('sleep', ['sleep', '78.25'])\n"
        "    os._exit(0)\n"
        "os.wait(); time.sleep(0.2); print('gone')\n"
    )
    ran = run_inside(code)
    assert ran.outcome.cause == "done"
    assert not _is_running("78.25")


def test_network_is_not_there(run_inside: RunInside) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        code = (
            "import socket\n"
            f"for address in (('127.0.0.1', {port}), ('192.0.2.1', 80)):\n"
            "    try: socket.create_connection(address, 2); print('REACHED')\n"
            "    except OSError as error: print(type(error).__name__)\n"
        )
        shut, granted = run_inside(code), run_inside(code.replace(", ('192.0.2.1', 80)", ","), network=True)
    assert shut.output.split() == ["ConnectionRefusedError", "OSError"]
    assert granted.output.split() == ["REACHED"]


def test_the_hub_and_the_owner_cannot_be_seen(run_inside: RunInside, tmp_path: Path) -> None:
    home, tool = tmp_path / "home", tmp_path / "tool"
    (home / "secrets").mkdir(parents=True)
    (home / "secrets" / "secret_key").write_text("the key")
    (tool / "var").mkdir(parents=True)
    (tool / "var" / "hub.db").write_text("rows")
    (tool / "program.txt").write_text("program")
    code = (
        "import os\n"
        f"print(os.path.exists({str(home)!r}), os.listdir({str(tool)!r}))\n"
        f"print(os.listdir({str(tool / 'var')!r}))\n"
        "for path in ('/root', '/home', '/etc/shadow', '/sys', '/var/lib', '/proc/1/root/root', '/opt'):\n"
        "    print(path, os.path.exists(path))\n"
    )
    ran = run_inside(code, mounts=(Mount(tool, str(tool)),), hide=(home, tool / "var"))
    lines = ran.output.splitlines()
    assert lines[0] == "False ['program.txt', 'var']" or lines[0] == "False ['var', 'program.txt']"
    assert lines[1] == "[]"
    assert [line for line in lines[2:] if line.endswith("True")] == []


def test_nothing_outside_the_box_can_be_written(run_inside: RunInside, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "rows.txt").write_text("one")
    data.chmod(0o777)
    (data / "rows.txt").chmod(0o666)
    code = (
        "import os\n"
        "for path in '/x /usr/x /etc/x /dev/x /data/x /data/rows.txt /run/x /proc/x'.split():\n"
        "    try: open(path, 'w'); print('WROTE', path)\n"
        "    except OSError: pass\n"
        "for call in (lambda: os.chmod('/data/rows.txt', 0), lambda: os.unlink('/data/rows.txt'),\n"
        "             lambda: os.link('/data/rows.txt', '/job/link')):\n"
        "    try: call(); print('CHANGED')\n"
        "    except OSError: pass\n"
        "print(open('/data/rows.txt').read())\n"
    )
    assert run_inside(code, mounts=(Mount(data, "/data"),)).output == "one\n"


def test_no_powers_inside(run_inside: RunInside) -> None:
    code = (
        "import ctypes, os\n"
        "libc = ctypes.CDLL(None, use_errno=True)\n"
        "print('unshare', libc.unshare(0x10000000))\n"
        "print('mount', libc.mount(b'none', b'/tmp', b'tmpfs', 0, None))\n"
        "print('uid', os.getuid() != 0)\n"
        "status = open('/proc/self/status').read()\n"
        "print('caps', *[int(status.split(f'Cap{which}:')[1].split()[0], 16) for which in ('Eff', 'Prm')])\n"
        "try: os.kill(1, 9); print('KILLED')\n"
        "except OSError: pass\n"
        "try: os.setuid(0); print('ROOT')\n"
        "except OSError: pass\n"
        "print(len([name for name in os.listdir('/proc') if name.isdigit()]))\n"
    )
    lines = run_inside(code).output.splitlines()
    assert lines[:3] == ["unshare -1", "mount -1", "uid True"]
    assert lines[3] == "caps 0 0"
    assert "KILLED" not in lines
    assert "ROOT" not in lines
    assert int(lines[-1]) <= 3


def test_shared_memory_is_bounded(run_inside: RunInside) -> None:
    code = (
        "import errno\n"
        "try:\n"
        "    f = open('/dev/shm/x', 'wb', buffering=0)\n"
        "    while True:\n"
        "        if f.write(b'x' * 1_000_000) < 1_000_000: raise OSError(errno.ENOSPC, 'short')\n"
        "except OSError as error: print(errno.errorcode[error.errno])\n"
    )
    ran = run_inside(code, disk_bytes=200 * MIB)
    assert ran.output in ("ENOSPC\n", "EFBIG\n") or ran.outcome.cause == "memory"


def test_environment_cannot_reach_the_keeper(run_inside: RunInside) -> None:
    """A library preloaded by the job must not run before the job has lost every power."""
    env = {"LD_PRELOAD": "/job/evil.so", "TEXT": "it's; $(id)\nfine", "BAD-NAME": "x"}
    ran = run_inside("import os; print(os.environ['LD_PRELOAD'], os.environ['TEXT'])", env=env)
    assert ran.output.endswith("/job/evil.so it's; $(id)\nfine\n")
    before_python = ran.output.split("/job/evil.so it's")[0]
    assert before_python.count("cannot be preloaded") == 1
    assert b"BAD-NAME" not in env_script({"BAD-NAME": "x"})


def test_the_job_ends_with_its_runner(tmp_path: Path) -> None:
    source = Path(usage.__file__).parents[2]
    code = (
        f"import sys; sys.path[:0] = [{str(source)!r}]\n"
        "from pathlib import Path\n"
        "from llmos.runner.limits import Limits, Plan\n"
        "from llmos.runner.sandbox import Sandbox\n"
        f"box = Path({str(tmp_path / 'box')!r})\n"
        "box = Sandbox(Plan(('sleep', '79.25'), {'PATH': '/usr/bin:/bin'}, box, Limits()))\n"
        "box.start(stdout=1, stderr=2); print('up', flush=True); box.process.wait()\n"
    )
    runner = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert runner.stdout is not None
    assert runner.stdout.readline() == b"up\n"
    _wait(lambda: _is_running("79.25"))
    runner.kill()
    runner.wait()
    runner.stdout.close()
    _wait(lambda: not _is_running("79.25"))


def test_filter_is_well_formed_on_each_machine() -> None:
    for machine in ("x86_64", "aarch64"):
        program = seccomp.build_filter(machine)
        assert program is not None
        assert len(program) % 8 == 0
        assert len(program) // 8 < 4096
    assert seccomp.build_filter("riscv64") is None


def _is_running(argument: str) -> bool:
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if argument.encode() in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[:3]:
                return True
        except OSError:
            continue
    return False


def _wait(condition: object) -> None:
    deadline = time.monotonic() + 10
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.02)
