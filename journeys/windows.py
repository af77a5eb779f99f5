"""Is this channel open now where the person lives, and if not, when does it open?

Spans are half-open [start, end) in local minutes; an overnight span belongs to the day on which it starts.
Where a person's zone is a set of candidates, only what is open in all of them is open; an empty set is never open.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

from journeys.calendars import DayType, day_type
from journeys.durations import add, local_to_instant
from journeys.journey import Journey
from journeys.policy import Policy
from journeys.program import Delay
from journeys.spans import Span
from journeys.values import clock_minutes
from journeys.words import Channel
from recall.clock import DAY, HOUR, MINUTE, Instant, slot_up, to_datetime

_FULL_DAY = 24 * 60
_HORIZON_DAYS = 14
_WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


@dataclass(frozen=True)
class WindowRules:
    """Everything that decides whether one channel is open for one journey at a local time."""

    workday: tuple[Span, ...]
    weekend: tuple[Span, ...]
    holiday: tuple[Span, ...]
    journey: tuple[Span, ...] | None = None  # the journey's stricter window; None = the policy's alone
    calendar: str | None = None
    blackout: tuple[str, ...] = ()  # ISO dates on which nothing goes out


def window_rules(policy: Policy, journey: Journey | None, channel: Channel) -> WindowRules:
    """The rules of one channel; a channel the policy gives no window is never open."""
    days = policy.windows.get(channel)
    stricter = (journey.window or {}).get(channel) if journey else None
    return WindowRules(
        workday=days.workday if days else (),
        weekend=days.weekend if days else (),
        holiday=days.holiday if days else (),
        journey=stricter,
        calendar=policy.calendar,
        blackout=policy.blackout,
    )


def open_spans(rules: WindowRules, day: date) -> tuple[Span, ...]:
    """The local minutes of one calendar date on which the channel is open, merged, with what the night before left."""
    return _open_spans(rules, day)


@lru_cache(maxsize=8192)
def _open_spans(rules: WindowRules, day: date) -> tuple[Span, ...]:
    if day.isoformat() in rules.blackout:
        return ()
    allowed = _on_date(lambda on: _policy_spans(rules, on), day)
    stricter = rules.journey
    if stricter is None:
        return allowed
    return _intersect(allowed, _on_date(lambda on: stricter, day))


def _policy_spans(rules: WindowRules, day: date) -> tuple[Span, ...]:
    if day.isoformat() in rules.blackout:
        return ()
    if rules.workday == rules.weekend == rules.holiday:
        return rules.workday  # without the calendar: its library imports every country of the world
    match day_type(rules.calendar, day):
        case DayType.WORKDAY:
            return rules.workday
        case DayType.WEEKEND:
            return rules.weekend
        case DayType.HOLIDAY:
            return rules.holiday


def _on_date(spans_of: Any, day: date) -> tuple[Span, ...]:
    """What falls on one date: its own spans up to midnight, and the tails of overnight spans begun the day before."""
    own = [(start, end if end > start else _FULL_DAY) for start, end in spans_of(day)]
    tails = [(0, end) for start, end in spans_of(day - timedelta(days=1)) if end < start]
    return _merge([*own, *tails])


def common_spans(left: Sequence[Span], right: Sequence[Span]) -> tuple[Span, ...]:
    """The local minutes of a day that lie in both, when every day is like it (so overnight tails count)."""
    some_day = date(2000, 1, 1)
    return _intersect(_on_date(lambda on: left, some_day), _on_date(lambda on: right, some_day))


def _merge(spans: Iterable[Span]) -> tuple[Span, ...]:
    merged: list[Span] = []
    for start, end in sorted(span for span in spans if span[0] < span[1]):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return tuple(merged)


def _intersect(left: tuple[Span, ...], right: tuple[Span, ...]) -> tuple[Span, ...]:
    """What both have; works on minutes and on instants alike."""
    both = ((max(a, c), min(b, d)) for a, b in left for c, d in right)
    return tuple(sorted(span for span in both if span[0] < span[1]))


@lru_cache(maxsize=65536)
def _open_on_utc_day(rules: WindowRules, zone: ZoneInfo, utc_day: int) -> tuple[tuple[Instant, Instant], ...]:
    """Open stretches of time within one UTC day (counted from 1970), by the local clock of `zone`."""
    found: list[tuple[Instant, Instant]] = []
    for start, end, offset in _pieces(zone, utc_day):
        local = start + offset
        for number in range(local // DAY, (end + offset - 1) // DAY + 1):
            midnight = number * DAY - offset
            for opens, closes in _open_spans(rules, date.fromordinal(_EPOCH_ORDINAL + number)):
                found.append((max(start, midnight + opens * MINUTE), min(end, midnight + closes * MINUTE)))
    return _merge(found)


_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()


def _pieces(zone: ZoneInfo, utc_day: int) -> list[tuple[Instant, Instant, int]]:
    """The UTC day cut where the zone's offset changes: (start, end, offset in microseconds)."""
    start = utc_day * DAY
    marks = [start]
    for hour in range(24):
        low, high = start + hour * HOUR, start + (hour + 1) * HOUR
        if _offset(zone, low) != _offset(zone, high):
            marks.append(_change(zone, low, high))
    marks.append(start + DAY)
    return [(a, b, _offset(zone, a)) for a, b in pairwise(marks) if a < b]


def _change(zone: ZoneInfo, low: Instant, high: Instant) -> Instant:
    """The first instant after `low` with the offset of `high`."""
    after = _offset(zone, high)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _offset(zone, middle) == after else (middle, high)
    return high


def _offset(zone: ZoneInfo, instant: Instant) -> int:
    offset = to_datetime(instant).astimezone(zone).utcoffset()
    assert offset is not None  # a ZoneInfo always has one
    return offset // timedelta(microseconds=1)


def _open_for_all(rules: WindowRules, zones: Sequence[ZoneInfo], utc_day: int) -> tuple[tuple[Instant, Instant], ...]:
    stretches = [_open_on_utc_day(rules, zone, utc_day) for zone in zones]
    common = stretches[0] if stretches else ()
    for other in stretches[1:]:
        common = _intersect(common, other)
    return common


def is_open(rules: WindowRules, zones: Sequence[ZoneInfo], instant: Instant) -> bool:
    """Is it open now in every zone the person may be in? No zone: never."""
    return any(start <= instant < end for start, end in _open_for_all(rules, zones, instant // DAY))


def next_open(rules: WindowRules, zones: Sequence[ZoneInfo], instant: Instant) -> Instant | None:
    """The first instant from `instant` on at which it is open in all zones; None if not within 14 days."""
    limit = instant + _HORIZON_DAYS * DAY
    for utc_day in range(instant // DAY, limit // DAY + 1):
        for start, end in _open_for_all(rules, zones, utc_day):
            if end > instant:
                opens = max(start, instant)
                return opens if opens <= limit else None
    return None


def closes_at(rules: WindowRules, zones: Sequence[ZoneInfo], instant: Instant) -> Instant:
    """When the window open at `instant` closes (looking 14 days ahead); `instant` itself when it is not open."""
    closes = instant
    for utc_day in range(instant // DAY, instant // DAY + _HORIZON_DAYS + 1):
        for start, end in _open_for_all(rules, zones, utc_day):
            if start <= closes < end:
                closes = end
        if closes < (utc_day + 1) * DAY:
            break
    return closes


def due_after(delays: Sequence[Delay], base: Instant, zones: Sequence[ZoneInfo]) -> Instant:
    """When a step is due that follows `base` after these waits, by the local clock of the first zone and up to a slot.

    Days keep the local clock time, hours and minutes elapse, `next` is the first such weekday and time after.
    Without a zone the UTC clock is used; such a person is never inside a window anyway.
    """
    zone = zones[0] if zones else _UTC
    due = base
    for delay in delays:
        if delay.length is not None:
            due = add(due, delay.length, zone)
        if delay.next is not None:
            due = _next_weekday(delay.next, due, zone)
    return slot_up(due)


_UTC = ZoneInfo("UTC")


def _next_weekday(text: str, after: Instant, zone: ZoneInfo) -> Instant:
    """The first `thu 11:00` of the local clock strictly after an instant."""
    weekday, _, clock = text.partition(" ")
    minutes = clock_minutes(clock)
    local = to_datetime(after).astimezone(zone).replace(tzinfo=None)
    ahead = (_WEEKDAYS.index(weekday) - local.weekday()) % 7
    midnight = datetime(local.year, local.month, local.day) + timedelta(days=ahead)  # noqa: DTZ001  # local clock time
    found = local_to_instant(midnight + timedelta(minutes=minutes), zone)
    return found if found > after else local_to_instant(midnight + timedelta(days=7, minutes=minutes), zone)
