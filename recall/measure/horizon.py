"""Which look is this? How many there will be is said before looking; else it is a quarter of weeks."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from recall.clock import Instant, to_datetime
from recall.measure.experiment import Plan
from recall.store.connect import Connection, read_fact, write_fact
from recall.store.figures import MONDAY, WEEK, Cohort

LOOKS = 13  # weekly looks when nobody declared another horizon: a quarter
PROGRAMME = "programme"  # the name under which everybody is judged together


def declare_looks(connection: Connection, name: str, looks: int) -> None:
    """Say beforehand at how many weekly looks this journey (or `programme`) is judged."""
    write_fact(connection, f"looks:{name}", json.dumps({"looks": looks}))


def declared_looks(connection: Connection, name: str) -> int | None:
    found = read_fact(connection, f"looks:{name}")
    return int(json.loads(found)["looks"]) if found else None


def plan_of(looks: int | None, cohorts: Iterable[Cohort], window: int, *, offset: int, now: Instant) -> Plan:
    """Which weekly look this is, counted from the first closed window."""
    weeks = [cohort.week for cohort in cohorts]
    all_looks = looks or LOOKS
    if not weeks:
        return Plan(looks=all_looks)
    begins = week_begins(min(weeks), offset)
    return Plan(looks=all_looks, look=look_now(begins, window, all_looks, now=now))


def look_now(began: Instant, window: int, looks: int, *, now: Instant) -> int:
    """Which of the weekly looks this is: the first when a week of windows has closed."""
    return min(max((now - began - window) // WEEK, 1), looks)


def week_begins(week: int, offset: int) -> Instant:
    return week * WEEK + MONDAY - offset


def local_time(at: Instant, zone: str) -> datetime:
    return to_datetime(at).astimezone(ZoneInfo(zone))


def zone_offset(zone: str, at: Instant) -> int:
    """How far the zone is ahead of UTC, in micros."""
    return (local_time(at, zone).utcoffset() or timedelta()) // timedelta(microseconds=1)
