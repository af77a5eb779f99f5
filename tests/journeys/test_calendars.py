"""Is a date the type of day its country says it is?"""

from __future__ import annotations

from datetime import date

import pytest
from holidays import list_supported_countries

from journeys.calendars import USUAL, day_type, is_calendar


@pytest.mark.parametrize(
    ("calendar", "day", "expected"),
    [
        (None, "2026-03-03", "workday"),
        (None, "2026-03-07", "weekend"),
        (None, "2026-12-25", "workday"),
        ("CN", "2026-03-03", "workday"),
        ("CN", "2026-03-07", "weekend"),
        ("CN", "2026-02-17", "holiday"),
        ("CN", "2026-02-14", "workday"),  # make-up day before Spring Festival
        ("CN", "2026-10-10", "workday"),  # make-up day after National Day
        ("CN", "2035-03-06", "holiday"),  # not decreed yet
        ("CN", "1949-03-01", "holiday"),  # before the library's first year
        ("US", "2026-07-03", "holiday"),
        ("US", "2026-07-06", "workday"),
        ("US", "2031-07-04", "holiday"),
        ("US", "2031-07-07", "workday"),
        ("XX", "2026-03-03", "holiday"),
    ],
)
def test_the_type_of_a_day(calendar, day, expected):
    assert day_type(calendar, date.fromisoformat(day)) == expected


def test_a_weekend_worked_for_the_first_days_of_the_next_year_is_a_workday():
    assert day_type("CN", date(2007, 12, 29)) == "workday"


def test_the_usual_calendars_are_kept_by_the_library():
    assert set(list_supported_countries(include_aliases=False)) >= USUAL


def test_unknown_calendars_are_told_apart():
    assert is_calendar("CN")
    assert not is_calendar("XX")
