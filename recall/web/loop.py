"""Who settles doubts while nobody runs a flow? A thread beside the web door, once a minute."""

from __future__ import annotations

import logging
import threading

from recall.clock import elapsed_seconds
from recall.engine.reconcile import reconcile
from recall.engine.setup import Setup
from recall.store.preferences import end_all_pauses

EVERY_SECONDS = 60.0
LATE_SECONDS = 180.0  # a pass that did not end for so long: not alive

log = logging.getLogger("recall.reconciler")


class Beat:
    """When the reconciler last came through."""

    def __init__(self) -> None:
        self._at = elapsed_seconds()

    def mark(self) -> None:
        self._at = elapsed_seconds()

    @property
    def age_seconds(self) -> float:
        return elapsed_seconds() - self._at

    @property
    def is_alive(self) -> bool:
        return self.age_seconds < LATE_SECONDS


class Reconciler:
    """Reconciles until stopped; what goes wrong is logged and tried again at the next beat."""

    def __init__(self, setup: Setup, *, every_seconds: float = EVERY_SECONDS) -> None:
        self.beat = Beat()
        self._setup = setup
        self._every = every_seconds
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="recall-reconciler", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(timeout=5)  # killed in mid-pass it loses nothing

    def pass_once(self) -> None:
        """Spool, receipts, dead calls, lookups, and pauses that are over."""
        done = reconcile(self._setup)
        with self._setup.store.writing() as connection:
            ended = end_all_pauses(connection, self._setup.store, at=self._setup.clock.now())
        self.beat.mark()
        if done.raised or done.accepted or done.not_sent or done.spooled or ended:
            log.info(
                "reconciled: %s from the spool, %s doubts raised, %s accepted, %s not sent, %s open, %s pauses ended",
                done.spooled, done.raised, done.accepted, done.not_sent, done.open, ended,
            )  # fmt: skip

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self.pass_once()
            except (
                Exception
            ) as error:  # the loop must outlive any bad minute; /readyz tells when it does not come through
                log.error("reconciling failed (%s); tried again in a minute", type(error).__name__)
            self._stop.wait(self._every)
