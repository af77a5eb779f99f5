"""May real messages leave at all? Only where the doctor found everything in place, lately, for these very providers."""

from __future__ import annotations

from collections.abc import Iterable

from recall.clock import DAY, Instant
from recall.errors import Misconfigured
from recall.store.connect import Store
from recall.store.fitness import read_fitness


class Fit:
    """Asked before each batch in live mode."""

    def __init__(self, store: Store, providers: Iterable[str], *, days: int) -> None:
        self._store, self._providers, self._days = store, sorted(providers), days

    def check(self, now: Instant) -> None:
        """Raise Misconfigured unless the last preflight was green, fresh, and about every real provider in use."""
        found = read_fitness(self._store)
        if found is None:
            raise Misconfigured(f"nothing is sent live before a preflight: {_RUN}")
        if found.wrong:
            raise Misconfigured(
                f"the last preflight was not green ({', '.join(found.wrong)}): put that right, then {_RUN}"
            )
        if now - found.at > self._days * DAY:
            raise Misconfigured(f"the last preflight is older than {self._days} days (RECALL_PREFLIGHT_DAYS): {_RUN}")
        new = sorted(set(self._providers) - set(found.providers))
        if new:
            raise Misconfigured(f"the last preflight did not look at {', '.join(new)}: {_RUN}")


_RUN = "run `recall doctor`"
