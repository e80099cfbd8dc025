"""How much energy a run took: measured where the machine tells, else estimated and said to be so."""

from __future__ import annotations

import importlib
import logging
import os
import resource
import secrets
import shutil
import subprocess
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

_RAPL = Path("/sys/class/powercap")
_JOULES_PER_KWH = 3.6e6
# A busy server core with its share of memory, board and fans; laptops take half of it.
WATTS_PER_CORE = 12.0
_GPU_EVERY_S = 5.0
# What a library that looks at hardware may stumble over; a card without a figure is no reason to end a run.
_TROUBLES = (
    OSError, RuntimeError, ValueError, TypeError, LookupError, AttributeError, subprocess.SubprocessError,
)  # fmt: skip
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Energy:
    """`method` is how `kwh` was found. `co2_grams` only where the carbon of the grid is known."""

    kwh: float
    method: str
    seconds: float
    cpu_seconds: float
    co2_grams: float | None = None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


class EnergyMeter:
    """`with EnergyMeter() as meter: …; meter.result`. Counts this process and its ended children.

    In this order: codecarbon if it is installed; the counters of the processor (RAPL) and the power
    readings of the graphics cards, if this user may read them; processor time x 12 W a core.
    LLMOS_GRID_G_PER_KWH, grams of CO2 a kWh, gives the emissions as well.
    """

    def __init__(self) -> None:
        self.result: Energy | None = None
        self._tracker: Any = None
        self._gpu_joules = 0.0
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._before: dict[str, Any] = {}
        # Whose figures a checkpoint holds: this meter's own are not added to what it counts.
        self.name = secrets.token_hex(8)

    def __enter__(self) -> EnergyMeter:
        self._started, self._cpu = time.monotonic(), cpu_seconds()
        self._tracker = _codecarbon()
        self._joules = _rapl_joules()
        if shutil.which("nvidia-smi"):
            self._thread = threading.Thread(target=self._watch_gpus, name="energy", daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        self.result = self._read()

    def joules(self) -> tuple[float, bool]:
        """What was used so far, and whether that was measured: by the counters of the machine, for
        codecarbon tells only the whole."""
        now = _rapl_joules()
        if self._joules is not None and now is not None and now >= self._joules:
            return now - self._joules + self._gpu_joules, True
        return (cpu_seconds() - self._cpu) * WATTS_PER_CORE + self._gpu_joules, False

    def own_state(self) -> dict[str, Any]:
        """What was used until now, earlier attempts of the run with it: for a checkpoint."""
        return self._whole(self.joules()[0] / _JOULES_PER_KWH, "").to_json() | {"meter": self.name}

    def take_state(self, state: dict[str, Any]) -> None:
        """Go on from what an earlier attempt had used when its checkpoint was written."""
        if state.get("meter") != self.name:
            self._before = state

    def _read(self) -> Energy:
        return self._whole(*self._kwh(cpu_seconds() - self._cpu))

    def _whole(self, kwh: float, method: str) -> Energy:
        """Of this attempt and those before it."""
        grid, before = os.environ.get("LLMOS_GRID_G_PER_KWH", ""), self._before
        grams = kwh * float(grid) if grid.replace(".", "", 1).isdigit() else None
        return Energy(
            kwh + float(before.get("kwh", 0)),
            method,
            time.monotonic() - self._started + float(before.get("seconds", 0)),
            cpu_seconds() - self._cpu + float(before.get("cpu_seconds", 0)),
            grams + float(before.get("co2_grams") or 0) if grams is not None else None,
        )

    def _kwh(self, cpu: float) -> tuple[float, str]:
        if self._tracker is not None and (found := _read_codecarbon(self._tracker)):
            return found
        gpu = " and graphics cards (nvidia-smi)" if self._thread else ""
        joules, is_measured = self.joules()
        if is_measured:
            return joules / _JOULES_PER_KWH, f"measured: processor (RAPL, whole machine){gpu}"
        joules = cpu * WATTS_PER_CORE + self._gpu_joules
        gpu = f" plus measured{gpu.removeprefix(' and')}" if gpu else ""
        return joules / _JOULES_PER_KWH, f"estimated: processor time x {WATTS_PER_CORE:g} W a core{gpu}"

    def _watch_gpus(self) -> None:
        command = ["nvidia-smi", "--query-gpu=power.draw", "--format=csv,noheader,nounits"]
        before = time.monotonic()
        while not self._stop.wait(_GPU_EVERY_S):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            watts = sum(float(x) for x in done.stdout.split() if x.replace(".", "", 1).isdigit())
            now = time.monotonic()
            self._gpu_joules, before = self._gpu_joules + watts * (now - before), now


def cpu_seconds() -> float:
    """Processor time of this process and of its children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def _rapl_joules() -> float | None:
    found = []
    for package in _RAPL.glob("intel-rapl:*") if _RAPL.is_dir() else ():
        if package.name.count(":") != 1:
            continue
        try:
            found.append(int((package / "energy_uj").read_text()) / 1e6)
        except (OSError, ValueError):
            return None
    return sum(found) if found else None


def _codecarbon() -> Any:
    """A running tracker that reaches no network, or None where codecarbon is not installed."""
    try:
        codecarbon = importlib.import_module("codecarbon")
        # It speaks before it has read how loud it may be.
        logging.getLogger("codecarbon").setLevel(logging.CRITICAL)
        tracker = codecarbon.OfflineEmissionsTracker(
            country_iso_code="USA", save_to_file=False, log_level="critical", allow_multiple_runs=True
        )
        tracker.start()
    except ImportError:
        return None
    except _TROUBLES as error:
        log.warning("codecarbon does not work here: %s", error)
        return None
    return tracker


def _read_codecarbon(tracker: Any) -> tuple[float, str] | None:
    """Stop it; what it found and how. None when it found nothing."""
    try:
        tracker.stop()
        data = tracker.final_emissions_data
        kwh, cards = float(data.energy_consumed), float(data.gpu_energy)
    except _TROUBLES as error:
        log.warning("codecarbon did not count: %s", error)
        return None
    if _rapl_joules() is not None:
        return kwh, "measured by codecarbon"
    also = "; graphics cards measured" if cards > 0 else ""
    return kwh, f"estimated by codecarbon from the rated power and the load of the processor{also}"
