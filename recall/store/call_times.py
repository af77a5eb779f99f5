"""How long do providers take to answer? One row per provider, added to once per batch, read by `/metrics`."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlalchemy import Connection, select

from recall.clock import SECOND
from recall.store import schema
from recall.store.upserts import insert

BOUNDS_SECONDS = tuple(bound / 1000 for bound in schema.CALL_BOUNDS_MS)
_C = schema.provider_calls
_WITHIN = tuple(f"within_{bound}ms" for bound in schema.CALL_BOUNDS_MS)


@dataclass
class CallTimes:
    """Calls of one provider; `within` counts those that took at most a bound and longer than the one before."""

    calls: int = 0
    messages: int = 0
    micros: int = 0
    within: list[int] = field(default_factory=lambda: [0] * len(_WITHIN))

    def add(self, seconds: float, messages: int) -> None:
        self.calls += 1
        self.messages += messages
        self.micros += round(seconds * SECOND)
        place = bisect_left(BOUNDS_SECONDS, seconds)
        if place < len(self.within):
            self.within[place] += 1


def add_call_times(connection: Connection, times: Mapping[str, CallTimes]) -> None:
    """Add what was measured to what is known."""
    new = insert(connection, _C)
    counts = [column.name for column in _C.columns if not column.primary_key]
    adding = new.on_conflict_do_update(
        index_elements=[_C.c.provider], set_={name: _C.c[name] + new.excluded[name] for name in counts}
    )
    rows = [
        {"provider": name, "calls": each.calls, "messages": each.messages, "micros": each.micros}
        | dict(zip(_WITHIN, each.within, strict=True))
        for name, each in sorted(times.items())
    ]
    if rows:
        connection.execute(adding, rows)


def read_call_times(connection: Connection) -> dict[str, CallTimes]:
    """Since the store was made, by provider."""
    return {
        row.provider: CallTimes(row.calls, row.messages, row.micros, [getattr(row, name) for name in _WITHIN])
        for row in connection.execute(select(_C).order_by(_C.c.provider))
    }
