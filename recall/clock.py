"""What time is it? The only place that reads the wall clock.

Instants are integers: UTC microseconds since 1970. A `Clock` is handed down and read once per chunk.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

Instant = int  # UTC microseconds since 1970-01-01

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
SLOT = 15 * MINUTE  # due times are rounded up to this, so that one run walks index pages in order

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Clock(Protocol):
    """Hands out the current instant."""

    def now(self) -> Instant: ...


class SystemClock:
    """The wall clock."""

    def now(self) -> Instant:
        return time.time_ns() // 1_000


class FixedClock:
    """A clock that stands where it was put (tests, plans)."""

    def __init__(self, now: Instant) -> None:
        self.instant = now

    def now(self) -> Instant:
        return self.instant


def elapsed_seconds() -> float:
    """Seconds on a clock that also counts suspend, for deadlines inside one process.

    CLOCK_BOOTTIME is Linux; elsewhere the monotonic clock is the nearest thing.
    """
    source = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    return time.clock_gettime(source)


def to_instant(moment: datetime) -> Instant:
    """Convert an aware datetime; raises ValueError for a naive one."""
    if moment.tzinfo is None:
        raise ValueError("a time without a zone is not an instant")
    return (moment - _EPOCH) // _MICROSECOND


def to_datetime(instant: Instant) -> datetime:
    """Convert to an aware UTC datetime."""
    return _EPOCH + timedelta(microseconds=instant)


def slot_up(instant: Instant) -> Instant:
    """Round up to the next quarter-hour slot (an instant on a slot stays)."""
    return -(-instant // SLOT) * SLOT
