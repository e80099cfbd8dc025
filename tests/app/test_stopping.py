"""A signal to stop counts whenever it comes: at any line of the loop that waits for it."""

from __future__ import annotations

import subprocess
import sys

import pytest

# Counts the lines that the loop runs through, and sends the signal to itself at one of them. Every fourth
# line is enough: whatever holds a lock does so for several.
BEGIN = """
import os, signal, sys

def at_line(wanted, has_begun, run):
    count = 0

    def trace(frame, event, _argument):
        nonlocal count
        if event == "line" and has_begun():
            count += 1
            if count == wanted:
                os.kill(os.getpid(), signal.SIGTERM)
        return trace

    sys.settrace(trace)
    try:
        return run()
    finally:
        sys.settrace(None)
"""
WATCH = """
from llmos.app.supervisor import Part, Supervisor

for wanted in range(1, 40, 4):
    watcher = Supervisor([Part("sleeper", ["sleep", "30"])])
    assert at_line(wanted, lambda: watcher.parts[0].process is not None, watcher.run) == 0
    assert watcher.parts[0].process.poll() == -signal.SIGTERM
print("all ended")
"""
WORK = """
from llmos.app.stopping import told_to_stop

for wanted in range(1, 40, 4):
    stop = told_to_stop()

    def loop():
        while not stop.is_set():
            stop.wait(0.001)
        return stop.wait(100)

    assert at_line(wanted, lambda: True, loop) is True
print("all ended")
"""


@pytest.mark.parametrize("code", [WATCH, WORK], ids=["watcher", "worker"])
def test_a_signal_at_any_moment_ends_the_wait(code: str) -> None:
    done = subprocess.run([sys.executable, "-c", BEGIN + code], capture_output=True, text=True, timeout=60)
    assert done.stdout == "all ended\n", done.stderr
