"""Who of this process writes next? On SQLite one at a time, in the order in which they came.

SQLite itself lets waiting writers ask again after ever longer pauses, so that one who writes all the time (the inbox
being drained) shuts out all others, however short each of its transactions is.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from recall.errors import StoreBusy


class Turns:
    """A lock that is handed on in order."""

    def __init__(self, *, patience_seconds: float = 30.0) -> None:
        self._patience = patience_seconds
        self._lock = threading.Lock()
        self._waiting: deque[threading.Event] = deque()
        self._taken = False

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for our turn and keep it during the block; raises StoreBusy when it does not come."""
        self._take()
        try:
            yield
        finally:
            self._hand_on()

    def _take(self) -> None:
        with self._lock:
            if not self._taken:
                self._taken = True
                return
            called = threading.Event()
            self._waiting.append(called)
        if called.wait(self._patience):
            return
        with self._lock:
            if called in self._waiting:
                self._waiting.remove(called)
                raise StoreBusy("another writer of this process did not come to an end")

    def _hand_on(self) -> None:
        with self._lock:
            if self._waiting:
                self._waiting.popleft().set()
            else:
                self._taken = False
