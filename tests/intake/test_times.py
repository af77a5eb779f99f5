"""Does a text mean exactly one instant?"""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recall.clock import HOUR, to_datetime
from recall.errors import Misconfigured
from recall.intake.reasons import Reason, Rejected
from recall.intake.times import Times, _read, read_stated

SHANGHAI = Times(ZoneInfo("Asia/Shanghai"))
NOON = 1_772_424_000_000_000  # 2026-03-02 04:00 UTC


@pytest.mark.parametrize(
    "text",
    [
        "2026-03-02T12:00:00+08:00",
        "2026-03-02 12:00",
        "2026-03-02T12:00:00.000000",
        "2026-03-02 12:00:00,000",
        "2026-03-02T04:00Z",
        "2026-03-02t04:00:00z",
        "2026-03-02 04:00 +00:00",
        "2026-03-02T09:30+0530",
        "2026-03-02T01:00-03",
        "20260302T12:00",
        "  2026-03-02 12:00  ",
    ],
)
def test_one_instant_has_many_spellings(text: str):
    assert SHANGHAI.read(text, "at") == NOON


@pytest.mark.parametrize("text", ["2026-03-02", "20260302"])
def test_a_date_is_midnight_in_the_stated_zone(text: str):
    assert SHANGHAI.read(text, "at") == NOON - 12 * HOUR


def test_fractions_are_kept_to_the_microsecond():
    assert SHANGHAI.read("2026-03-02T04:00:00.123456789Z", "at") == NOON + 123_456


def test_epochs_are_read_when_they_are_said_to_be():
    assert Times(epoch="epoch_s").read("1772424000", "at") == NOON
    assert Times(epoch="epoch_ms").read("1772424000000", "at") == NOON


def test_a_local_time_that_is_missing_is_the_first_valid_one_and_a_repeated_one_the_first():
    york = Times(ZoneInfo("America/New_York"))
    moments = [to_datetime(york.read(text, "at")) for text in ("2026-03-08 02:30", "2026-11-01 01:30")]
    assert [f"{moment:%H:%M}" for moment in moments] == ["07:00", "05:30"]


def test_an_empty_cell_is_no_time():
    assert SHANGHAI.read("  ", "at") is None


def test_clocks_may_differ_by_a_day():
    assert SHANGHAI.read_past("2026-03-03T12:00", "at", now=NOON) == NOON + 24 * HOUR
    with pytest.raises(Rejected, match="time_in_future"):
        SHANGHAI.read_past("2026-03-03T12:00:01", "at", now=NOON)


def test_a_time_a_person_typed_is_told_when_it_is_none():
    assert read_stated("2026-03-02 12:00", SHANGHAI) == NOON
    with pytest.raises(Misconfigured, match="say --zone"):
        read_stated("2026-03-02 12:00", Times())


@pytest.mark.parametrize("text", ["2026-02-30T04:00:00Z", "2026-03-02T24:00:00Z", "2026-03-02T04:00:60+00:00"])
def test_the_commonest_spelling_does_not_excuse_a_moment_that_never_was(text: str):
    with pytest.raises(Rejected) as rejected:
        SHANGHAI.read(text, "at")
    assert rejected.value.reason is Reason.TIME_INVALID


@given(
    moment=st.datetimes(datetime(1899, 1, 1), datetime(2202, 1, 1)),  # noqa: DTZ001  (the zone follows)
    between=st.sampled_from("T t"),
    digits=st.sampled_from(["", ".%f", ".000"]),
    offset=st.from_regex(r"Z|z|[+-](0[0-9]|1[0-9]|2[0-4]):[0-7][0-9]", fullmatch=True),
)
def test_the_quick_way_through_the_commonest_spelling_says_what_the_slow_one_says(
    moment: datetime, between: str, digits: str, offset: str
):
    text = f"{moment:%Y-%m-%d}{between}{moment:%H:%M:%S}{moment.strftime(digits)}{offset}"
    try:
        quick: object = SHANGHAI.read(text, "at")
    except Rejected as rejected:
        quick = rejected.reason
    assert quick == _read(text, SHANGHAI.zone, "")
