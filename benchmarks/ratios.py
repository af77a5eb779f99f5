"""Which ratios are looked at, and what must each be? Computed from the runs of one measurement, both sides interleaved.

A ratio is the median over the rounds; in a round both sides ran one after the other, so that what else the machine did
touches both. `value` is by wall time, `cpu` the same by CPU of client and store; only `value` is held to the target.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks import growth, memory
from benchmarks.places import KINDS

Run = dict[str, Any]
Runs = dict[str, list[Run]]  # by name, in rounds


NONE = "-"  # the target of what is told for comparison


@dataclass(frozen=True)
class Ratio:
    """One figure with its target; `value` None: it could not be measured."""

    name: str
    target: str  # ">= 0.8"
    value: float | None
    cpu: float | None = None
    about: str = ""
    rounds: int = 0

    @property
    def is_met(self) -> bool:
        if self.target == NONE:
            return True
        if self.value is None:
            return False
        sign, limit = self.target.split()
        return self.value >= float(limit) if sign == ">=" else self.value <= float(limit)

    def told(self) -> dict[str, Any]:
        return {"value": self.value, "cpu": self.cpu, "target": self.target, "met": self.is_met, "rounds": self.rounds}


@dataclass
class Found:
    """All ratios that the runs allow."""

    runs: Runs
    ratios: list[Ratio] = field(default_factory=list)

    def speed(self, name: str, mine: str, other: str, target: str, about: str) -> None:
        """How fast is `mine` against `other`? Messages or users per second."""
        rounds = list(zip(self.runs.get(mine, []), self.runs.get(other, []), strict=False))
        by_wall = [_rate(run, "wall") / _rate(each, "wall") for run, each in rounds]
        by_cpu = [_rate(run, "cpu") / _rate(each, "cpu") for run, each in rounds]
        self._add(name, target, by_wall, by_cpu, about)

    def cost(self, name: str, mine: str, other: str, target: str, about: str, *, wall: str, cpu: str) -> None:
        """How many times as dear is `mine` as `other`?"""
        rounds = list(zip(self.runs.get(mine, []), self.runs.get(other, []), strict=False))
        by_wall = [run[wall] / each[wall] for run, each in rounds]
        self._add(name, target, by_wall, [run[cpu] / each[cpu] for run, each in rounds], about)

    def figure(self, name: str, runs: str, target: str, about: str, read: Callable[[Run], tuple[float, float]]) -> None:
        """A figure of single runs: `read` gives it by wall and by CPU."""
        read_all = [read(run) for run in self.runs.get(runs, [])]
        self._add(name, target, [wall for wall, _ in read_all], [cpu for _, cpu in read_all], about)

    def whole(self, name: str, target: str, about: str, value: Callable[[], tuple[float, float]], rounds: int) -> None:
        """A figure of all runs together."""
        wall, cpu = value() if rounds else (None, None)
        self.ratios.append(Ratio(name, target, wall, cpu, about, rounds))

    def _add(self, name: str, target: str, by_wall: Sequence[float], by_cpu: Sequence[float], about: str) -> None:
        value = round(statistics.median(by_wall), 3) if by_wall else None
        cpu = round(statistics.median(by_cpu), 3) if by_cpu else None
        self.ratios.append(Ratio(name, target, value, cpu, about, len(by_wall)))


def _rate(run: Run, measure: str) -> float:
    return float(run["users"]) / float(run[measure])


def ratios(runs: Runs) -> list[Ratio]:
    """Every ratio of the design, and those of enrolment, intake and neighbours."""
    found = Found(runs)
    for kind in KINDS:
        _of_store(found, kind)
    about = "rates, each run steadily; one message per request"
    found.speed("times_a_prefect_task_per_user", "peer engine", "peer tasks", ">= 100", about)
    found.speed("times_a_loop_of_16_threads", "peer engine", "peer loop", ">= 10", about)
    about = "rates, each run steadily; the engine's messages in batches of 500"
    found.speed("times_a_prefect_task_per_user_batch", "peer batch", "peer tasks", ">= 100", about)
    found.speed("times_a_loop_of_16_threads_batch", "peer batch", "peer loop", ">= 10", about)
    found.speed("three_workers_of_one", "workers 3", "workers 1", ">= 1.6", "PostgreSQL, 32 connections each")
    found.figure("client_mib", "big null postgresql", "<= 150", "peak of the sending process, PostgreSQL, MiB", _peak)
    for name in ("help", "lint", "lint_all"):
        found.figure(f"{name}_seconds", "startup", "<= 0.5", "a whole process", _startup(name))
    found.figure("explain_of_sqlalchemy", "startup", "<= 1.5", "against `import sqlalchemy` alone", _explain)
    return found.ratios


def _of_store(found: Found, kind: str) -> None:
    least = ">= 0.8" if kind == "postgresql" else ">= 0.5"
    about = "without dispatch, same rows, same tables"
    found.speed(f"engine_of_floor_{kind}", f"null {kind}", f"floor {kind}", least, about)
    if kind == "postgresql":
        beside, about = f"floor beside {kind}", "against three connections that write side by side"
        found.speed(f"engine_of_floor_beside_{kind}", f"null {kind}", beside, NONE, about)
    found.speed(f"batch_of_engine_{kind}", f"batch {kind}", f"null {kind}", ">= 0.85", "500 messages per request")
    about = "50 ms per answer, 256 connections"
    found.speed(f"one_message_of_bare_client_{kind}", f"single {kind}", f"bare client {kind}", ">= 0.9", about)
    found.speed(f"prefect_of_engine_batch_{kind}", f"prefect batch {kind}", f"direct batch {kind}", ">= 0.9", "batches")
    about = "batches, and what the first run of a day counts for people: funnel, yesterday"
    found.speed(f"whole_run_of_engine_batch_{kind}", f"prefect whole {kind}", f"direct batch {kind}", NONE, about)
    if kind == "postgresql":
        one, direct = f"prefect single {kind}", f"direct single {kind}"
        found.speed(f"prefect_of_engine_single_{kind}", one, direct, ">= 0.9", "one message per request")
    small, big = found.runs.get(f"small null {kind}", []), found.runs.get(f"big null {kind}", [])
    rounds = min(len(small), len(big))

    def exponents() -> tuple[float, float]:
        return growth.exponent(small, big, "wall"), growth.exponent(small, big, "cpu")

    def peaks() -> tuple[float, float]:
        return memory.times_more(small, big), memory.times_more(small, big, own=True)

    found.whole(f"growth_exponent_{kind}", "<= 1.1", "1 is proportional", exponents, rounds)
    found.whole(f"peak_memory_times_{kind}", "<= 1.3", "the second figure: without mapped files", peaks, rounds)
    idle = {"wall": "wall_us", "cpu": "us"}
    found.cost(f"idle_times_{kind}", f"idle big {kind}", f"idle small {kind}", "<= 2", "nobody due", **idle)
    beside, alone = f"neighbours beside {kind}", f"neighbours alone {kind}"
    names = {"wall": "idle_wall_us", "cpu": "idle_us"}
    found.cost(f"idle_beside_busy_times_{kind}", beside, alone, "<= 1.25", "an idle journey beside a busy one", **names)
    names = {"wall": "refresh_wall", "cpu": "refresh_cpu"}
    selects = {"wall": "select_wall", "cpu": "select_cpu"}
    for run in found.runs.get(f"audience {kind}", []):
        found.ratios.append(
            Ratio(
                f"audience_of_select_{kind}",
                "<= 3",
                round(run[names["wall"]] / run[selects["wall"]], 3),
                round(run[names["cpu"]] / run[selects["cpu"]], 3),
                "daily refresh of the catalogue",
                1,
            )
        )
    found.speed(f"intake_of_floor_{kind}", f"intake {kind}", f"intake floor {kind}", ">= 0.5", "events from a file")


def _peak(run: Run) -> tuple[float, float]:
    return run["peak_mib"], run["peak_own_mib"]


def _startup(name: str) -> Callable[[Run], tuple[float, float]]:
    return lambda run: (run[name]["wall"], run[name]["cpu"])


def _explain(run: Run) -> tuple[float, float]:
    mine, other = run["explain"], run["import sqlalchemy"]
    return round(mine["wall"] / other["wall"], 2), round(mine["cpu"] / other["cpu"], 2)


def by_name(found: Sequence[Ratio]) -> dict[str, Any]:
    return {ratio.name: ratio.told() for ratio in found}


def missed(found: Sequence[Ratio]) -> Iterator[str]:
    return (ratio.name for ratio in found if not ratio.is_met)
