"""At which moment may a process die, or an operation fail? Each statement, commit, request and file operation, counted.

Nothing is named by hand: whatever the code under test does while the moments are on is a moment. A process that
dies does so by an exception nobody may catch; from then on its store, its files and its provider refuse everything,
so that nothing that stands in `finally` is done. Its connections are rolled back, as a server does for a lost client.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

Error = Callable[[], Exception]


class Killed(BaseException):
    """This process is gone; nothing in the code under test may catch it."""


@dataclass(frozen=True)
class Fault:
    """What goes wrong at the n-th moment of a kind: `dies`, `dies after`, or the name of an error."""

    kind: str
    number: int
    how: str

    def __str__(self) -> str:
        return f"{self.kind} {self.number} {self.how}"


class Moments:
    """What the one process under test has done so far, and what happens to it."""

    def __init__(self) -> None:
        self.is_on, self.is_dead, self.has_fired = False, False, False
        self.fault: Fault | None = None
        self.counts: Counter[str] = Counter()
        self.places: list[tuple[str, str]] = []  # (kind, which function of ours), when nothing goes wrong
        self.connections: list[Any] = []

    @contextmanager
    def on(self, fault: Fault | None) -> Iterator[None]:
        """Count from here on; a process that died is told by nothing but `is_dead`."""
        self.is_on, self.is_dead, self.has_fired, self.fault = True, False, False, fault
        self.counts.clear()
        self.places.clear()
        try:
            yield
        except Killed:
            pass
        finally:
            self.is_on = False

    def bury(self) -> None:
        """The dead process is forgotten; the next one may work."""
        self.is_dead = False
        self.connections.clear()

    def reach(self, kind: str, **errors: Error) -> None:
        """Before an operation: it may be the last thing this process wanted to do, or fail."""
        if self.is_dead:
            raise Killed
        if not self.is_on:
            return
        self.counts[kind] += 1
        if self.fault is None:
            self.places.append((kind, _place()))
        elif self._is_here(kind):
            self._strike(self.fault.how, "dies", errors)

    def leave(self, kind: str, **errors: Error) -> None:
        """After an operation: it was done, and nobody lives to tell, or is told."""
        if self.is_on and self.fault is not None and self._is_here(kind):
            self._strike(self.fault.how, "dies after", errors)

    def strike(self, kind: str, hows: Collection[str]) -> str:
        """Which of these is to happen here, done by somebody else? "" for none."""
        if not (self.is_on and self.fault is not None and self._is_here(kind) and self.fault.how in hows):
            return ""
        self.has_fired = True
        return self.fault.how

    def is_torn(self, kind: str) -> bool:
        """Shall this operation be done by half?"""
        return self.is_on and self.fault is not None and self._is_here(kind) and self.fault.how == "is torn"

    def die(self) -> None:
        self.has_fired = self.is_dead = True
        for connection in self.connections:
            connection.give_up()
        raise Killed

    def _is_here(self, kind: str) -> bool:
        return self.fault is not None and self.fault.kind == kind and self.counts[kind] == self.fault.number

    def _strike(self, how: str, last_words: str, errors: dict[str, Error]) -> None:
        if how == last_words:
            self.die()
        if how in errors:
            self.has_fired = True
            raise errors[how]()


MOMENTS = Moments()
_PASSED_BY = {"recall.store.connect", "recall.store.bulk"}


def _place() -> str:
    """Which function of ours does this?"""
    frame: Any = sys._getframe(2)
    while frame is not None:
        name = frame.f_globals.get("__name__", "")
        if name.startswith(("recall.", "providers.")) and name not in _PASSED_BY:
            return f"{name}.{frame.f_code.co_name}"
        frame = frame.f_back
    return "?"
