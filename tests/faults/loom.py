"""How do several workers share one seed? Each is a thread that moves only when the seed says so.

Exactly one thread runs at a time. At every named point it may be delayed, frozen past its deadline, or killed (the
thread is abandoned there, as a process would be). Time is virtual: when nobody can move, it jumps to whoever wakes
next. Everything is drawn from one stream, so the same seed gives the same history, byte by byte.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from recall.clock import SECOND, Instant
from recall.engine import caller, calling, send
from recall.engine.dispatch import Dispatcher
from recall.errors import StoreBusy
from recall.store.connect import Connection, Store


class Died(BaseException):
    """The process of this worker is gone; nothing in the code under test may catch it."""


def closed_door() -> threading.Lock:
    """A lock that is held: whoever acquires it waits until somebody releases it."""
    door = threading.Lock()
    door.acquire()
    return door


@dataclass
class Strand:
    """One thread of a process at work."""

    name: str
    wake_at: Instant
    is_mortal: bool
    family: list[Strand]  # the threads of the same process, which live and die together
    go: threading.Lock = field(default_factory=closed_door)
    is_over: bool = False
    is_doomed: bool = False
    inside: int = 0  # transactions it is in: nobody else moves meanwhile
    error: BaseException | None = None


@dataclass
class Rates:
    """What may go wrong with processes and the store, as chances per point."""

    kill: float = 0.0
    freeze: float = 0.0
    busy: float = 0.0  # a transaction cannot begin
    lost_commit: float = 0.0  # it was committed, and the answer to COMMIT is lost


class Loom:
    """Workers, the virtual time they share, and the trace of what they did."""

    def __init__(self, dice: random.Random, start: Instant, rates: Rates) -> None:
        self.dice, self.rates, self.time, self.start = dice, rates, start, start
        self.strands: list[Strand] = []
        self.current: Strand | None = None
        self.back = closed_door()
        self.trace = hashlib.sha256()
        self.history: list[str] = []
        self.counts: dict[str, int] = {}

    # --- the clock ---------------------------------------------------------------------------------------------

    def now(self) -> Instant:
        """A moment is never told twice: what happens later has a later time."""
        self.time += 1
        return self.time

    def elapsed(self) -> float:
        return (self.time - self.start) / SECOND  # small, so that no float loses microseconds

    # --- workers -----------------------------------------------------------------------------------------------

    def spawn(
        self,
        name: str,
        work: Callable[[], object],
        *,
        after: int = 0,
        is_mortal: bool = True,
        beside: Strand | None = None,
    ) -> None:
        """Begin a process, or another thread of the process `beside`."""
        strand = Strand(name, self.time + after, is_mortal, beside.family if beside else [])
        strand.family.append(strand)

        def live() -> None:
            strand.go.acquire()
            try:
                if not strand.is_doomed:
                    work()
            except Died:
                self.note(f"{strand.name} dies")
            except Exception as error:
                strand.error = error
            strand.is_over = True
            self.back.release()

        self.strands.append(strand)
        threading.Thread(target=live, daemon=True).start()

    def run(self) -> None:
        """Until every worker is done or dead; raises what a worker raised that nobody expected."""
        while self.strands:
            ready = [strand for strand in self.strands if strand.wake_at <= self.time]
            if not ready:
                self.time = min(strand.wake_at for strand in self.strands)
                continue
            strand = ready[0] if len(ready) == 1 else self.dice.choice(ready)
            self._let_move(strand)
            if strand.is_over:
                self.strands.remove(strand)
                if strand.error is not None:
                    self._abandon()
                    raise strand.error

    def _let_move(self, strand: Strand) -> None:
        self.current = strand
        strand.go.release()
        self.back.acquire()
        self.current = None

    def _abandon(self) -> None:
        for strand in self.strands:
            strand.is_doomed = True
            self._let_move(strand)
        self.strands.clear()

    # --- points ------------------------------------------------------------------------------------------------

    def note(self, what: str) -> None:
        line = f"{self.time} {what}"
        self.trace.update(line.encode())
        self.history.append(line)

    def count(self, what: str) -> None:
        self.counts[what] = self.counts.get(what, 0) + 1

    def chance(self, rate: float) -> bool:
        return rate > 0 and self.dice.random() < rate

    def point(self, name: str, *, may_freeze: bool = True) -> None:
        """Somewhere a process may be killed, delayed or frozen."""
        strand = self.current
        if strand is None:
            return
        self.may_die(name)
        if strand.inside:
            return
        wait = self.dice.randint(1, 200_000)
        if may_freeze and strand.is_mortal and self.chance(self.rates.freeze):
            wait = self.dice.choice((6, 16, 50, 130, 600)) * SECOND
            self.count("freezes")
            self.note(f"{strand.name} freezes for {wait // SECOND} s at {name}")
        self.sleep(wait)

    def may_die(self, name: str) -> None:
        strand = self.current
        if strand is None:
            return
        _do_nothing_dead(strand)
        if strand.is_mortal and self.chance(self.rates.kill):
            self.count("kills")
            self.note(f"{strand.name} is killed at {name}")
            for each in strand.family:
                each.is_doomed, each.wake_at = True, self.time
            raise Died

    def sleep(self, micros: int) -> None:
        strand = self.current
        if strand is None:
            self.time += micros
            return
        _do_nothing_dead(strand)
        strand.wake_at = self.time + micros
        self.back.release()
        strand.go.acquire()
        _do_nothing_dead(strand)


def _do_nothing_dead(strand: Strand) -> None:
    """What stands in `finally` and `__exit__` is not done by a process that is gone."""
    if strand.is_doomed:
        raise Died


@dataclass(frozen=True)
class WovenStore(Store):
    """The real store, whose transactions begin and commit at points of the loom."""

    loom: Loom = field(kw_only=True)

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        loom, strand = self.loom, self.loom.current
        loom.point("begin")
        if strand and loom.chance(loom.rates.busy):
            raise StoreBusy("the store is locked (drawn)")
        with Store.writing(self) as connection:
            if strand:
                strand.inside += 1
            try:
                yield connection
                loom.may_die("before commit")
            finally:
                if strand:
                    strand.inside -= 1
        if strand and loom.chance(loom.rates.lost_commit):
            loom.count("lost commits")
            loom.note(f"{strand.name} loses the answer to its commit")
            raise StoreBusy("the connection was lost in COMMIT (drawn)")
        loom.point("after commit")


class _Selector:
    """Nothing to wait for but time, which is virtual."""

    def __init__(self, real: Any, loom: Loom) -> None:
        self._real, self._loom = real, loom

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise RuntimeError("a provider call waits for something that never happens")
        if timeout > 0:
            self._loom.sleep(int(timeout * SECOND) + 1)
        return []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


class WovenDispatcher(Dispatcher):
    """Provider calls in the worker's own thread, on a loop whose time is the loom's."""

    def __init__(self, loom: Loom) -> None:
        super().__init__()
        self._loom = loom
        self._woven: asyncio.SelectorEventLoop | None = None  # most processes call nobody

    def run(self, work: Any) -> Any:
        if self._woven is None:
            self._woven = _weave(self._loom)
        return self._woven.run_until_complete(work)

    def close(self) -> None:
        """A loop in which another thread of the same process was killed stays as it is."""
        if self._woven is not None and not self._woven.is_running():
            self._woven.close()


def _weave(loom: Loom) -> asyncio.SelectorEventLoop:
    made = asyncio.SelectorEventLoop()
    made._selector = _Selector(made._selector, loom)  # type: ignore[attr-defined]
    made._clock_resolution = 1e-6  # type: ignore[attr-defined]
    made.time = loom.elapsed  # type: ignore[method-assign]
    return made


class WovenPool:
    """Stands for the caller's thread pool: another thread of the same process, moved by the loom."""

    def __init__(self, loom: Loom) -> None:
        self._loom = loom

    def submit(self, work: Callable[..., Any], *given: Any) -> WovenFuture:
        future, process = WovenFuture(self._loom), self._loom.current
        assert process is not None  # only processes call
        self._loom.spawn(f"{process.name} (caller)", lambda: future.fill(work, *given), beside=process)
        self._loom.count("chunks called aside")
        return future

    def shutdown(self) -> None:
        return None


class WovenFuture:
    def __init__(self, loom: Loom) -> None:
        self._loom, self._is_done, self._value = loom, False, None
        self._error: BaseException | None = None

    def fill(self, work: Callable[..., Any], *given: Any) -> None:
        try:
            self.set_result(work(*given))
        except Exception as error:
            self.set_exception(error)

    def set_result(self, value: Any) -> None:
        self._value, self._is_done = value, True

    def set_exception(self, error: BaseException) -> None:
        self._error, self._is_done = error, True

    def result(self) -> Any:
        while not self._is_done:
            self._loom.sleep(self._loom.dice.randint(1, 50_000))
        if self._error is not None:
            raise self._error
        return self._value


class _Time:
    def __init__(self, loom: Loom) -> None:
        self._loom = loom

    def sleep(self, seconds: float) -> None:
        if seconds:
            self._loom.sleep(int(seconds * SECOND))


@contextmanager
def woven(loom: Loom) -> Iterator[None]:
    """The engine's stopwatch, sleeps and threads are the loom's."""
    replaced: list[tuple[Any, str, Any]] = [
        *((place, "elapsed_seconds", loom.elapsed) for place in (caller, calling, send)),
        *((place, "time", _Time(loom)) for place in (calling, send)),
        (caller, "ThreadPoolExecutor", lambda *_: WovenPool(loom)),
        (caller, "Future", lambda: WovenFuture(loom)),
    ]
    before = [(place, name, getattr(place, name)) for place, name, _ in replaced]
    try:
        for place, name, ours in replaced:
            setattr(place, name, ours)
        yield
    finally:
        for place, name, theirs in before:
            setattr(place, name, theirs)
