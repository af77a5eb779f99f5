"""To whom do processes send while harm is done to them, and what became of everybody? The vendor's own log says."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields, replace

from sqlalchemy import func, select

from recall.clock import MINUTE, SECOND, FixedClock, SystemClock
from recall.engine.reconcile import raise_doubts, reconcile
from recall.engine.setup import Setup
from recall.errors import StoreBusy
from recall.store import schema
from tests.engine.conftest import Scene
from tests.faults.far import LAW_SECONDS, Far
from tests.faults.kills import gather


@dataclass
class Harmed:
    """What the vendor's own log says after so much harm."""

    kills: int = 0  # of processes at work
    pauses: int = 0  # of processes at work, beyond the deadline of what they did
    restarts: int = 0  # of PostgreSQL, under load
    torn: int = 0  # messages left between the gate and the record
    sends: int = 0
    duplicates: int = 0
    lost: int = 0  # people with neither a message nor a doubt nor an outcome that says so
    silent_doubt: int = 0
    late: int = 0  # messages of a process frozen inside the write itself: see "Not promised" in docs/reliability.md
    unsent: int = 0  # messages that evidence says never left

    @property
    def broken(self) -> dict[str, int]:
        """What must be nothing."""
        wrong = ("duplicates", "lost", "silent_doubt")
        return {each.name: getattr(self, each.name) for each in fields(self) if each.name in wrong}


class Crowd:
    """People who are all due now; more come before the last have got their message."""

    def __init__(self, scene: Scene, wave: int) -> None:
        self._scene, self._wave = scene, wave
        self.users = self.torn = 0
        self.grow()

    def grow(self) -> None:
        gather(self._scene, self._wave, first=self.users)
        self.users += self._wave

    def waiting(self) -> int:
        due = schema.enrolments.c
        with self._scene.store.reading() as connection:
            return connection.execute(select(func.count()).where(due.active, due.retry_send_id.is_(None))).scalar_one()

    @contextmanager
    def kept_waiting(self) -> Iterator[None]:
        """Meanwhile the reconciler works, and new people come."""
        done = threading.Event()
        keeper = threading.Thread(target=self._keep, args=(done,), daemon=True)
        keeper.start()
        try:
            yield
        finally:
            done.set()
            keeper.join()

    def _keep(self, done: threading.Event) -> None:
        setup = self._setup(FixedClock(0))
        while not done.wait(1.0):
            with suppress(StoreBusy):  # somebody who stands still holds it
                if self.waiting() < self._wave // 2:
                    self.grow()
                self.look_after(setup)

    def look_after(self, setup: Setup) -> None:
        """As `recall serve` does it each minute, for calls older than the law allows a call to be."""
        now = replace(setup, clock=SystemClock())
        self.torn += raise_doubts(now, older_than=int((LAW_SECONDS + 1) * SECOND))
        reconcile(now)

    def _setup(self, clock: FixedClock) -> Setup:
        return replace(
            self._scene.setup, clock=clock, providers={"outbox": Far(self._scene.outbox, "", clock=SystemClock())}
        )

    def count(self, done: Harmed) -> Harmed:
        """Raise what doubts there are, ask the vendor, and hold our ledger against its log."""
        later = FixedClock(SystemClock().now() + 3 * MINUTE)
        far = Far(self._scene.outbox, "", clock=later)
        looked = reconcile(replace(self._scene.setup, clock=later, providers={"outbox": far}))
        log, sends = self._scene.accepted(), self._scene.sends()
        states = Counter(send.state for send in sends)
        accepted, gates = {s.ref for s in sends if s.state == "accepted"}, {s.ref: s.gate_at for s in sends}
        done.torn = self.torn + looked.raised
        done.sends = len(log)
        done.duplicates = len(log) - len({each.user for each in log})
        done.silent_doubt = states["calling"] + abs(states["in_doubt"] - looked.open)
        done.lost = self.users - len(sends) + len(accepted ^ {each.ref for each in log})
        done.late = sum(each.at - gates.get(each.ref, 0) > LAW_SECONDS * SECOND for each in log)
        done.unsent = states["not_sent"]
        return done
