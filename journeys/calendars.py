"""Is this date a workday, a weekend or a holiday?

By the kept `holidays` library; a year it does not know counts as all holiday.
"""

from __future__ import annotations

from datetime import date
from enum import StrEnum
from functools import lru_cache
from typing import Any


class DayType(StrEnum):
    WORKDAY = "workday"
    WEEKEND = "weekend"
    HOLIDAY = "holiday"


# Known to be kept (a test asks the library), so that lint need not import it: 0.15 s of the 0.5 s lint may take.
USUAL = frozenset(
    {"AU", "BR", "CA", "CN", "DE", "ES", "FR", "GB", "IN", "IT", "JP", "KR", "MX", "NL", "PL", "SG", "US"}
)


def is_calendar(code: str) -> bool:
    """Does the library keep a calendar for this country code?"""
    if code in USUAL:
        return True
    import holidays

    try:  # listing all countries would import all of them
        holidays.country_holidays(code)
    except NotImplementedError:
        return False
    return True


def day_type(calendar: str | None, day: date) -> DayType:
    """The type of one date; without a calendar only Saturday and Sunday are told apart.

    A weekend day declared a workday (mainland China's make-up days) is a workday.
    """
    if calendar is None:
        return DayType.WEEKEND if day.weekday() >= 5 else DayType.WORKDAY
    year = _year(calendar, day.year)
    if year is None:
        return DayType.HOLIDAY
    holidays_, make_up, weekend = year
    if day in make_up:
        return DayType.WORKDAY
    if day in holidays_:
        return DayType.HOLIDAY
    return DayType.WEEKEND if day.weekday() in weekend else DayType.WORKDAY


@lru_cache(maxsize=256)
def _year(calendar: str, year: int) -> tuple[frozenset[date], frozenset[date], frozenset[int]] | None:
    """(holidays, make-up workdays, weekend weekdays) of a year; None when the library does not know the year."""
    import holidays

    try:
        # The next year too: its exchange of days may turn a weekend of this December into a workday.
        kept = holidays.country_holidays(calendar, years=(year, year + 1))
    except NotImplementedError:
        return None
    if not kept.start_year <= year <= kept.end_year or not _is_announced(kept, calendar, year):
        return None
    days = frozenset(day for day in kept if day.year == year)
    make_up = frozenset(day for day in kept.weekend_workdays if day.year == year)
    return days, make_up, frozenset(kept.weekend)


# Countries whose workdays are moved by a yearly decree: without it a year is only estimated (holidays 0.109 keeps
# the decrees in `special_public_holidays`, keyed by year; that of CN comes out each November).
_BY_DECREE = frozenset({"CN"})


def _is_announced(kept: Any, calendar: str, year: int) -> bool:
    return calendar not in _BY_DECREE or year in kept.special_public_holidays
