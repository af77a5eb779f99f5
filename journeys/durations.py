"""How long is `3d`, and when does it end on a person's own clock?

Days are calendar days (same local clock time, n days on); hours and minutes are elapsed time.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from recall.clock import DAY, HOUR, MINUTE, Instant, to_datetime, to_instant

_PATTERN = re.compile(r"(\d{1,4})(d|h|m)", re.ASCII)
_MAX_DAYS = 3650


@dataclass(frozen=True, order=True)
class Duration:
    """Either whole calendar days or elapsed minutes; never both."""

    days: int = 0
    minutes: int = 0

    @classmethod
    def parse(cls, text: str) -> Duration:
        """Read `3d`, `12h` or `30m`; raises ValueError saying what to write instead."""
        match = _PATTERN.fullmatch(text.strip())
        if not match:
            raise ValueError(f"{text!r} is not a duration; write a whole number and d, h or m, such as 3d, 12h or 30m")
        number, unit = int(match[1]), match[2]
        duration = cls(days=number) if unit == "d" else cls(minutes=number * (60 if unit == "h" else 1))
        if duration.micros > _MAX_DAYS * DAY:
            raise ValueError(f"{text!r} is longer than ten years; write a shorter time")
        return duration

    @property
    def micros(self) -> int:
        """Nominal length in microseconds (a calendar day counted as 24 hours), for rolling limits."""
        return self.days * DAY + self.minutes * MINUTE

    @property
    def is_zero(self) -> bool:
        return self.days == 0 and self.minutes == 0

    def __str__(self) -> str:
        if self.days or not self.minutes:
            return f"{self.days}d"
        return f"{self.minutes * MINUTE // HOUR}h" if self.minutes % 60 == 0 else f"{self.minutes}m"


def local_to_instant(local: datetime, zone: ZoneInfo) -> Instant:
    """The instant of a naive local time: a missing hour gives the first valid instant, a repeated hour the first.

    Rule: design, "Waits". A missing local time is the one that does not survive the way to UTC and back.
    """
    first = local.replace(tzinfo=zone, fold=0)
    back = first.astimezone(UTC).astimezone(zone)
    if back.replace(tzinfo=None) == local:
        return to_instant(first)
    return _end_of_gap(local, zone)


def _end_of_gap(local: datetime, zone: ZoneInfo) -> Instant:
    """The transition instant of the gap that swallows `local`, by bisection on the zone's offset."""
    low = to_instant(local.replace(tzinfo=UTC)) - DAY
    high = low + 2 * DAY
    before = to_datetime(low).astimezone(zone).utcoffset()
    while high - low > 1:
        middle = (low + high) // 2
        if to_datetime(middle).astimezone(zone).utcoffset() == before:
            low = middle
        else:
            high = middle
    return high


def add(instant: Instant, duration: Duration, zone: ZoneInfo) -> Instant:
    """`duration` after `instant`, by the clock of `zone` for days and by elapsed time otherwise."""
    if not duration.days:
        return instant + duration.micros
    local = to_datetime(instant).astimezone(zone).replace(tzinfo=None)
    return local_to_instant(local + timedelta(days=duration.days), zone)


def subtract(instant: Instant, duration: Duration, zone: ZoneInfo) -> Instant:
    """`duration` before `instant`, by the clock of `zone` for days and by elapsed time otherwise."""
    if not duration.days:
        return instant - duration.micros
    local = to_datetime(instant).astimezone(zone).replace(tzinfo=None)
    return local_to_instant(local - timedelta(days=duration.days), zone)
