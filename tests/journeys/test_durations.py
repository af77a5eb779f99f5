"""Do days follow the wall clock and hours the stopwatch?"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from journeys.durations import Duration, add, local_to_instant, subtract
from recall.clock import HOUR, to_datetime, to_instant

NEW_YORK = ZoneInfo("America/New_York")
ZONES = [
    NEW_YORK,
    *map(ZoneInfo, ("Asia/Shanghai", "Europe/London", "Australia/Lord_Howe", "America/Sao_Paulo", "Asia/Kathmandu")),
]
INSTANTS = st.integers(to_instant(datetime(2010, 1, 1, tzinfo=UTC)), to_instant(datetime(2030, 1, 1, tzinfo=UTC)))
ZONE = st.sampled_from(ZONES)


def wall(instant: int, zone: ZoneInfo) -> datetime:
    return to_datetime(instant).astimezone(zone).replace(tzinfo=None)


@pytest.mark.parametrize(
    ("text", "shown"), [("3d", "3d"), ("72h", "72h"), ("90m", "90m"), ("120m", "2h"), ("0d", "0d")]
)
def test_a_duration_is_read_and_shown(text, shown):
    assert str(Duration.parse(text)) == shown
    assert Duration.parse(shown) == Duration.parse(text)


@pytest.mark.parametrize(
    "text", ["", "3", "d", "3 d", "-3d", "1.5d", "3w", "３d", "²d", "1e3d", "99999d", "4000d", "3d12h"]
)
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(ValueError, match="; write "):
        Duration.parse(text)


@pytest.mark.parametrize(
    ("local", "expected"),
    [
        ("2026-03-08T02:30", "2026-03-08T07:00:00+00:00"),  # missing: 03:00 EDT
        ("2026-03-08T03:00", "2026-03-08T07:00:00+00:00"),
        ("2026-11-01T01:30", "2026-11-01T05:30:00+00:00"),  # repeated: the first
    ],
)
def test_a_missing_hour_gives_the_first_valid_instant_and_a_repeated_one_the_first(local, expected):
    assert to_datetime(local_to_instant(datetime.fromisoformat(local), NEW_YORK)).isoformat() == expected


def test_midnight_missing_in_sao_paulo_is_one_o_clock():
    zone = ZoneInfo("America/Sao_Paulo")
    midnight = datetime.fromisoformat("2017-10-15T00:00")
    assert wall(local_to_instant(midnight, zone), zone) == midnight + timedelta(hours=1)


@settings(max_examples=300, deadline=None)
@given(INSTANTS, st.integers(0, 800), ZONE)
def test_days_later_the_wall_shows_the_same_time_unless_it_never_shows_it(instant, days, zone):
    later = wall(add(instant, Duration(days=days), zone), zone)
    late = later - (wall(instant, zone) + timedelta(days=days))
    assert timedelta(0) <= late <= timedelta(hours=1)


@settings(max_examples=300, deadline=None)
@given(INSTANTS, st.integers(0, 100_000), ZONE)
def test_hours_elapse(instant, minutes, zone):
    duration = Duration(minutes=minutes)
    assert add(instant, duration, zone) - instant == duration.micros
    assert subtract(add(instant, duration, zone), duration, zone) == instant


@settings(max_examples=300, deadline=None)
@given(INSTANTS, INSTANTS, st.integers(0, 60), ZONE)
def test_who_came_earlier_is_never_due_more_than_an_hour_later(first, second, days, zone):
    first, second = sorted((first, second))
    assert add(first, Duration(days=days), zone) <= add(second, Duration(days=days), zone) + HOUR
