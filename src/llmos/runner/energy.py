"""How much energy a job took: measured where the machine tells, otherwise estimated and called so."""

from __future__ import annotations

import time
from pathlib import Path

# A busy core with its share of memory and power supply, on common servers and laptops.
CORE_WATTS = 10.0
_RAPL = Path("/sys/class/powercap")


class EnergyMeter:
    """Adds up one job. With RAPL: the packages' energy by the job's share of all processor time."""

    def __init__(self, *, rapl: Path = _RAPL, core_watts: float = CORE_WATTS) -> None:
        self._core_watts = core_watts
        self._packages = [path for path in sorted(rapl.glob("intel-rapl:?")) if _read(path) is not None]
        self._last_uj = {path: _read(path) or 0 for path in self._packages}
        self._busy_s, self._cpu_s, self._at = _machine_busy_s(), 0.0, time.monotonic()
        self.wh = 0.0

    @property
    def method(self) -> str:
        return "measured" if self._packages else "estimated"

    def add(self, cpu_s: float, gpu_watts: float = 0.0) -> float:
        """Note the job's processor time so far and its GPUs' power now; the energy so far in Wh."""
        now, busy_s = time.monotonic(), _machine_busy_s()
        spent_s, passed_s = max(cpu_s - self._cpu_s, 0.0), now - self._at
        if self._packages:
            share = min(spent_s / max(busy_s - self._busy_s, spent_s, 1e-9), 1.0)
            joules = self._joules() * share
        else:
            joules = spent_s * self._core_watts
        self.wh += (joules + gpu_watts * passed_s) / 3600
        self._cpu_s, self._busy_s, self._at = max(cpu_s, self._cpu_s), busy_s, now
        return self.wh

    def _joules(self) -> float:
        total = 0.0
        for path in self._packages:
            now = _read(path) or 0
            if now >= self._last_uj[path]:  # the counter starts anew from time to time
                total += (now - self._last_uj[path]) / 1e6
            self._last_uj[path] = now
        return total


def _read(package: Path) -> int | None:
    try:
        return int((package / "energy_uj").read_text())
    except (OSError, ValueError):
        return None


def _machine_busy_s() -> float:
    fields = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return (sum(fields) - fields[3] - fields[4]) / 100
