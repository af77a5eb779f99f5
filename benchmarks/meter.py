"""What did a piece of work cost? Wall time, CPU by whom, memory, and what else the machine was doing.

CPU of PostgreSQL is that of all its server processes, the background ones too. Sections add up, so that what lies
between them (preparing rows, reading them) counts nowhere.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

_NANO = 1e9
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Family:
    """CPU seconds of a process and everything below it, alive or dead."""

    root: int
    _at_start: dict[int, float] = field(default_factory=dict)
    _buried_at_start: float = 0.0

    def start(self) -> None:
        self._at_start = self._alive()
        self._buried_at_start = _buried(self.root)

    def spent(self) -> float:
        """CPU seconds since `start`."""
        now = self._alive()
        lived = sum(seconds - self._at_start.get(pid, 0.0) for pid, seconds in now.items())
        died = sum(seconds for pid, seconds in self._at_start.items() if pid not in now)
        return lived + max(_buried(self.root) - self._buried_at_start - died, 0.0)

    def _alive(self) -> dict[int, float]:
        try:
            process = psutil.Process(self.root)
            members = [process, *process.children(recursive=True)]
        except psutil.NoSuchProcess:
            return {}
        return {each.pid: seconds for each in members if (seconds := _cpu(each.pid)) is not None}


def _cpu(pid: int) -> float | None:
    """CPU seconds of all threads of a living process, in nanoseconds' precision."""
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / _NANO
    except (OSError, IndexError):
        return None


def _buried(pid: int) -> float:
    """CPU seconds of a process's children that ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[13]) + int(fields[14])) / _TICKS


@dataclass
class Meter:
    """Adds up the sections of one run; `families` are roots of other processes, by name."""

    families: dict[str, Family] = field(default_factory=dict)
    wall: float = 0.0
    cpu: dict[str, float] = field(default_factory=lambda: {"self": 0.0})
    _peak_anonymous: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)

    @classmethod
    def of(cls, **roots: int | None) -> Meter:
        return cls({name: Family(pid) for name, pid in roots.items() if pid is not None})

    @contextmanager
    def section(self) -> Iterator[None]:
        """Count what happens inside."""
        for family in self.families.values():
            family.start()
        cpu, wall = time.process_time(), time.perf_counter()
        try:
            yield
        finally:
            self.wall += time.perf_counter() - wall
            self.cpu["self"] += time.process_time() - cpu
            for name, family in self.families.items():
                self.cpu[name] = self.cpu.get(name, 0.0) + family.spent()

    @contextmanager
    def watching_memory(self) -> Iterator[None]:
        """Look ten times a second how much memory of our own (no mapped files) is in use."""
        watcher = threading.Thread(target=self._watch, daemon=True)
        watcher.start()
        try:
            yield
        finally:
            self._stop.set()
            watcher.join()

    def _watch(self) -> None:
        while not self._stop.wait(0.1):
            self._peak_anonymous = max(self._peak_anonymous, _status("RssAnon"))

    def told(self, users: int, *, not_ours: Iterable[str] = ()) -> dict[str, Any]:
        """One flat account; `us` is CPU microseconds per user of everybody but `not_ours` (the provider's stub)."""
        ours = sum(seconds for name, seconds in self.cpu.items() if name not in set(not_ours))
        return {
            "users": users,
            "wall": round(self.wall, 4),
            "cpu": round(ours, 4),
            "cpu_by": {name: round(seconds, 4) for name, seconds in self.cpu.items()},
            "per_second": round(users / self.wall) if self.wall else 0,
            "us": round(ours / users * 1e6, 2) if users else 0.0,
            "peak_mib": round(_status("VmHWM") / 1024, 1),
            "peak_own_mib": round(max(self._peak_anonymous, _status("RssAnon")) / 1024, 1),
            "load": round(os.getloadavg()[0], 2),
        }


def _status(name: str) -> int:
    """A line of this process's memory account, in KiB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    return 0
