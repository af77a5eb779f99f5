"""Is an attribute a number or an instant only when it plainly is one?"""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest

from recall.store.attributes import as_instant, as_number


@pytest.mark.parametrize(
    ("value", "number"),
    [("12", 12.0), ("-12.50", -12.5), ("+3", 3.0), ("0138", 138.0)],
)
def test_a_number_is_what_plainly_is_one(value: str, number: float):
    assert as_number(value) == number


@pytest.mark.parametrize(
    "value", ["", "1,234.56", "1e5", "nan", "inf", "1234567890123456789", "１２", "²", "12 EUR", " 12"]
)
def test_what_is_not_plainly_a_number_is_none(value: str):
    assert as_number(value) is None


@pytest.mark.parametrize(
    ("value", "instant"),
    [
        ("2026-03-02T10:00:00+08:00", 1_772_416_800_000_000),
        ("2026-03-02 02:00Z", 1_772_416_800_000_000),
        ("2026-03-02 10:00", 1_772_416_800_000_000),
        ("2026-03-02", 1_772_380_800_000_000),
        ("2026-02-30", None),
        ("02/03/2026", None),
        ("20260302", None),
        ("9999-12-31T23:59:59-12:00", None),
    ],
)
def test_an_instant_is_what_plainly_is_one(value: str, instant: int | None):
    assert as_instant(value, ZoneInfo("Asia/Shanghai")) == instant


def test_a_date_without_a_zone_is_no_instant():
    assert as_instant("2026-03-02", None) is None
