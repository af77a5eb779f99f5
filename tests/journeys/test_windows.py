"""Is a window open exactly when the clock on the person's wall says so, and never for somebody who may be elsewhere?"""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from journeys.loader import load_policy, read_journey
from journeys.program import Delay
from journeys.project import SHIPPED
from journeys.windows import (
    WindowRules,
    closes_at,
    common_spans,
    due_after,
    is_open,
    next_open,
    open_spans,
    window_rules,
)
from journeys.words import Channel
from recall.clock import DAY, HOUR, MINUTE, SECOND, SLOT, to_datetime, to_instant

SHANGHAI = ZoneInfo("Asia/Shanghai")
NEW_YORK = ZoneInfo("America/New_York")
LONDON = ZoneInfo("Europe/London")
LORD_HOWE = ZoneInfo("Australia/Lord_Howe")
KATHMANDU = ZoneInfo("Asia/Kathmandu")
SAO_PAULO = ZoneInfo("America/Sao_Paulo")
ZONES = [SHANGHAI, NEW_YORK, LONDON, LORD_HOWE, KATHMANDU, SAO_PAULO, ZoneInfo("Africa/Casablanca")]


def daily(*spans: str, **more) -> WindowRules:
    """The same hours on every type of day."""
    minutes = tuple(tuple(int(t[:2]) * 60 + int(t[3:]) for t in span.split("-")) for span in spans)
    return WindowRules(minutes, minutes, minutes, **more)


def at(zone: ZoneInfo, text: str, fold: int = 0) -> int:
    return to_instant(datetime.fromisoformat(text).replace(tzinfo=zone, fold=fold))


def local(instant: int | None, zone: ZoneInfo) -> str | None:
    return None if instant is None else to_datetime(instant).astimezone(zone).strftime("%Y-%m-%d %H:%M:%S")


DAYTIME = daily("09:00-20:00")
NIGHT = daily("22:00-06:00")


def test_hours_that_are_alike_on_all_days_need_no_calendar():
    program = (
        "import sys; from datetime import date; from journeys.windows import WindowRules, open_spans; "
        "nine = ((540, 1200),); ask = lambda *days: open_spans(WindowRules(*days, calendar='CN'), date(2026, 10, 1)); "
        "print(ask(nine, nine, nine), 'holidays' in sys.modules, ask(nine, nine, ()), 'holidays' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "((540, 1200),) False () True"


# --- the edges ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("zone", ZONES, ids=str)
def test_a_window_opens_at_its_start_and_is_closed_at_its_end(zone):
    start, end = at(zone, "2026-03-03T09:00"), at(zone, "2026-03-03T20:00")
    assert [is_open(DAYTIME, (zone,), t) for t in (start - 1, start, end - 1, end)] == [False, True, True, False]


def test_the_hours_are_those_of_the_persons_wall_not_of_utc():
    assert is_open(DAYTIME, (KATHMANDU,), to_instant(datetime(2026, 3, 3, 3, 15, tzinfo=UTC)))  # +5:45: 09:00
    assert not is_open(DAYTIME, (KATHMANDU,), to_instant(datetime(2026, 3, 3, 3, 14, 59, tzinfo=UTC)))


def test_next_open_is_exact_to_the_second():
    evening = at(SHANGHAI, "2026-03-03T20:00:00")
    assert local(next_open(DAYTIME, (SHANGHAI,), evening), SHANGHAI) == "2026-03-04 09:00:00"
    assert next_open(DAYTIME, (SHANGHAI,), evening - SECOND) == evening - SECOND


def test_a_window_that_never_opens_says_so():
    closed = WindowRules((), (), ())
    assert next_open(closed, (SHANGHAI,), at(SHANGHAI, "2026-03-03T12:00")) is None
    assert closes_at(closed, (SHANGHAI,), 0) == 0


def test_several_windows_a_day_have_a_noon_rest():
    rules = daily("09:00-12:00", "14:00-18:00")
    noon = at(SHANGHAI, "2026-03-03T12:00")
    assert local(next_open(rules, (SHANGHAI,), noon), SHANGHAI) == "2026-03-03 14:00:00"
    assert local(closes_at(rules, (SHANGHAI,), noon - 1), SHANGHAI) == "2026-03-03 12:00:00"


def test_a_window_of_whole_days_stays_open_for_as_long_as_one_looks():
    always = daily("00:00-24:00")
    now = at(NEW_YORK, "2026-03-07T12:00")
    assert is_open(always, (NEW_YORK,), now)
    assert closes_at(always, (NEW_YORK,), now) >= now + 14 * DAY


# --- overnight ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("clock", "expected"),
    [("21:59", False), ("22:00", True), ("23:59", True), ("00:00", True), ("05:59", True), ("06:00", False)],
)
def test_an_overnight_window_is_not_turned_around(clock, expected):
    assert is_open(NIGHT, (SHANGHAI,), at(SHANGHAI, f"2026-03-03T{clock}")) is expected


def test_an_overnight_window_closes_in_the_morning_of_the_next_day():
    assert local(closes_at(NIGHT, (SHANGHAI,), at(SHANGHAI, "2026-03-03T23:00")), SHANGHAI) == "2026-03-04 06:00:00"


def test_the_tail_of_a_night_belongs_to_the_day_on_which_it_began():
    only_workdays = WindowRules(workday=((1320, 360),), weekend=(), holiday=())
    assert is_open(only_workdays, (SHANGHAI,), at(SHANGHAI, "2026-03-07T05:00"))  # Saturday, begun on Friday
    assert not is_open(only_workdays, (SHANGHAI,), at(SHANGHAI, "2026-03-07T23:00"))
    assert not is_open(only_workdays, (SHANGHAI,), at(SHANGHAI, "2026-03-09T05:00"))  # Monday, begun on Sunday


# --- daylight saving ------------------------------------------------------------------------------------


@pytest.mark.parametrize("zone", [NEW_YORK, LONDON, LORD_HOWE, SAO_PAULO], ids=str)
@pytest.mark.parametrize("year", [2017, 2026])
def test_daytime_is_eleven_hours_long_on_every_day_of_the_year(zone, year):
    """The clocks change at night, so 09:00 to 20:00 never loses or gains an hour; in UTC terms it moves."""
    for n in range(365):
        day = date(year, 1, 1) + timedelta(days=n)
        start = at(zone, f"{day}T09:00")
        assert next_open(DAYTIME, (zone,), start - HOUR) == start
        assert closes_at(DAYTIME, (zone,), start) == start + 11 * HOUR


@pytest.mark.parametrize(
    ("zone", "night", "hours"),
    [
        (NEW_YORK, "2026-03-07", 7),  # 02:00 to 03:00 does not exist
        (NEW_YORK, "2026-10-31", 9),  # 01:00 to 02:00 comes twice
        (LONDON, "2026-03-28", 7),
        (LONDON, "2026-10-24", 9),
        (LORD_HOWE, "2026-10-03", 7.5),  # half an hour
        (LORD_HOWE, "2026-04-04", 8.5),
        (SAO_PAULO, "2017-10-14", 7),  # midnight itself does not exist
        (SAO_PAULO, "2018-02-17", 9),
        (SAO_PAULO, "2026-10-17", 8),  # abolished in 2019
    ],
    ids=str,
)
def test_a_night_of_changing_clocks_is_as_long_as_it_is(zone, night, hours):
    evening = at(zone, f"{night}T22:00")
    assert closes_at(NIGHT, (zone,), evening) - evening == hours * HOUR


def test_a_window_that_begins_in_a_missing_hour_opens_when_the_gap_ends():
    rules = daily("02:30-05:00")
    before = at(NEW_YORK, "2026-03-08T01:00")
    assert local(next_open(rules, (NEW_YORK,), before), NEW_YORK) == "2026-03-08 03:00:00"


def test_a_window_that_ends_in_a_repeated_hour_opens_twice():
    rules = daily("00:00-01:30")
    first, second = at(NEW_YORK, "2026-11-01T01:30"), at(NEW_YORK, "2026-11-01T01:00", fold=1)
    assert second - first == 30 * MINUTE
    assert not is_open(rules, (NEW_YORK,), first)
    assert next_open(rules, (NEW_YORK,), first) == second
    assert closes_at(rules, (NEW_YORK,), second) == second + 30 * MINUTE


# --- candidate zones ------------------------------------------------------------------------------------


def test_a_person_without_a_zone_is_never_inside_a_window():
    assert not is_open(daily("00:00-24:00"), (), 0)
    assert next_open(DAYTIME, (), 0) is None


def test_only_what_is_open_in_every_candidate_zone_is_open():
    zones = (NEW_YORK, ZoneInfo("America/Los_Angeles"))
    now = at(NEW_YORK, "2026-03-03T06:00")
    assert local(next_open(DAYTIME, zones, now), NEW_YORK) == "2026-03-03 12:00:00"  # 09:00 in Los Angeles
    opened = next_open(DAYTIME, zones, now)
    assert opened is not None
    assert local(closes_at(DAYTIME, zones, opened), NEW_YORK) == "2026-03-03 20:00:00"


def test_zones_on_two_sides_of_the_world_may_share_no_open_minute():
    assert next_open(daily("09:00-18:00"), (SHANGHAI, NEW_YORK), at(SHANGHAI, "2026-03-03T12:00")) is None


# --- holidays, blackout, the journey's own window -------------------------------------------------------

CN_CALLS = WindowRules(((540, 1200),), ((540, 1080),), ((600, 960),), calendar="CN")


@pytest.mark.parametrize(
    ("day", "minutes"),
    [
        ("2026-03-03", 660),  # Tuesday
        ("2026-03-07", 540),  # Saturday
        ("2026-02-17", 360),  # Spring Festival
        ("2026-02-14", 660),  # a Saturday worked for the festival
        ("2035-03-06", 360),  # not decreed yet: all holiday
    ],
)
def test_hours_follow_the_type_of_the_local_day(day, minutes):
    ((start, end),) = open_spans(CN_CALLS, date.fromisoformat(day))
    assert end - start == minutes


def test_a_blackout_date_is_closed_with_the_night_before_and_the_night_after():
    rules = daily("22:00-06:00", blackout=("2026-03-04",))
    hours = [at(SHANGHAI, f"2026-03-{day:02d}T{hour:02d}:00") for day in (3, 4, 5) for hour in range(24)]
    assert [local(t, SHANGHAI)[8:13] for t in hours if is_open(rules, (SHANGHAI,), t)] == [
        *(f"03 {hour:02d}" for hour in range(6)),
        *("03 22", "03 23"),
        *("05 22", "05 23"),
    ]


def test_a_journey_may_only_narrow_the_policys_window():
    policy = load_policy(SHIPPED / "policies" / "cn-consumer-finance.yaml").noun
    text = (
        (SHIPPED / "catalogue" / "settled-30d.yaml")
        .read_text()
        .replace("holdout:", "window: {sms: 08:00-12:00}\nholdout:")
    )
    journey = read_journey(text.encode(), "x").noun
    tuesday = date(2026, 3, 3)
    assert open_spans(window_rules(policy, journey, Channel.SMS), tuesday) == ((540, 720),)
    assert open_spans(window_rules(policy, journey, Channel.CALL), tuesday) == ((540, 1200),)
    assert open_spans(window_rules(policy, None, Channel.SMS), tuesday) == ((540, 1200),)


def test_a_channel_without_a_window_is_never_open():
    policy = load_policy(SHIPPED / "policies" / "cn-consumer-finance.yaml").noun
    without = policy.model_copy(update={"windows": {}})
    assert open_spans(window_rules(without, None, Channel.SMS), date(2026, 3, 3)) == ()


def test_overnight_windows_narrow_each_other_across_midnight():
    assert common_spans(((1320, 360),), ((1380, 120),)) == ((0, 120), (1380, 1440))
    assert common_spans(((1320, 360),), ((540, 1200),)) == ()


# --- properties -----------------------------------------------------------------------------------------

_SPANS = st.lists(
    st.tuples(st.integers(0, 1439), st.integers(1, 1440)).filter(lambda span: span[0] != span[1]), max_size=3
).map(tuple)
_RULES = st.builds(WindowRules, _SPANS, _SPANS, _SPANS, st.none() | _SPANS)
_INSTANTS = st.integers(to_instant(datetime(2015, 1, 1, tzinfo=UTC)), to_instant(datetime(2030, 1, 1, tzinfo=UTC)))
_ZONES = st.lists(st.sampled_from(ZONES), min_size=1, max_size=2, unique=True).map(tuple)


def wall_says_open(rules: WindowRules, zone: ZoneInfo, instant: int) -> bool:
    """The slow oracle: look at the wall clock, and at what yesterday left."""
    wall = to_datetime(instant).astimezone(zone)
    minute = wall.hour * 60 + wall.minute

    def within(spans_of) -> bool:
        today, yesterday = spans_of(wall.date()), spans_of(wall.date() - timedelta(days=1))
        own = any(a <= minute < b if a < b else minute >= a for a, b in today)
        return own or any(b < a and minute < b for a, b in yesterday)

    def policy(day: date):
        return rules.weekend if day.weekday() >= 5 else rules.workday

    return within(policy) and (rules.journey is None or within(lambda day: rules.journey))


@settings(max_examples=300, deadline=None)
@given(_RULES, _ZONES, _INSTANTS)
def test_open_means_that_every_wall_clock_says_so(rules, zones, instant):
    assert is_open(rules, zones, instant) is all(wall_says_open(rules, zone, instant) for zone in zones)


@settings(max_examples=200, deadline=None)
@given(_RULES, _ZONES, _INSTANTS, st.data())
def test_next_open_is_open_and_nothing_before_it_is(rules, zones, instant, data):
    opens = next_open(rules, zones, instant)
    end = opens if opens is not None else instant + 14 * DAY
    if opens is not None:
        assert opens >= instant
        assert all(wall_says_open(rules, zone, opens) for zone in zones)
        assert opens == instant or not is_open(rules, zones, opens - 1)
    if end > instant:
        before = data.draw(st.integers(instant, end - 1))
        assert not all(wall_says_open(rules, zone, before) for zone in zones)


@settings(max_examples=200, deadline=None)
@given(_RULES, _ZONES, _INSTANTS, st.data())
def test_a_window_stays_open_until_it_closes(rules, zones, instant, data):
    closes = closes_at(rules, zones, instant)
    if not is_open(rules, zones, instant):
        assert closes == instant
        return
    assert closes > instant
    between = data.draw(st.integers(instant, closes - 1))
    assert all(wall_says_open(rules, zone, between) for zone in zones)
    if closes < instant + 13 * DAY:
        assert not is_open(rules, zones, closes)


# --- waits ----------------------------------------------------------------------------------------------


def due(text: str, zone: ZoneInfo, *delays: Delay) -> str:
    return local(due_after(delays, at(zone, text), (zone,)), zone)[:16]


def length(text: str) -> Delay:
    return Delay(length=text)


@pytest.mark.parametrize(
    ("base", "zone", "delays", "expected"),
    [
        ("2026-03-03T10:07", SHANGHAI, [], "2026-03-03 10:15"),
        ("2026-03-03T10:15", SHANGHAI, [], "2026-03-03 10:15"),
        ("2026-03-03T10:07", SHANGHAI, [length("3d")], "2026-03-06 10:15"),
        ("2026-03-03T10:07", SHANGHAI, [length("30m")], "2026-03-03 10:45"),
        ("2026-03-07T10:00", NEW_YORK, [length("1d")], "2026-03-08 10:00"),  # 23 hours
        ("2026-03-07T10:00", NEW_YORK, [length("24h")], "2026-03-08 11:00"),
        ("2026-03-07T02:30", NEW_YORK, [length("1d")], "2026-03-08 03:00"),  # 02:30 does not exist
        ("2026-10-31T01:30", NEW_YORK, [length("1d")], "2026-11-01 01:30"),  # the first of two
        ("2026-03-03T10:00", KATHMANDU, [length("1d")], "2026-03-04 10:00"),
        ("2026-03-03T10:00", SHANGHAI, [Delay(next="thu 11:00")], "2026-03-05 11:00"),
        ("2026-03-05T10:59", SHANGHAI, [Delay(next="thu 11:00")], "2026-03-05 11:00"),
        ("2026-03-05T11:00", SHANGHAI, [Delay(next="thu 11:00")], "2026-03-12 11:00"),
        ("2026-03-03T10:00", SHANGHAI, [length("3d"), Delay(next="thu 11:00")], "2026-03-12 11:00"),
        ("2026-03-03T10:00", SHANGHAI, [length("1d"), length("12h")], "2026-03-04 22:00"),
    ],
)
def test_a_step_is_due_after_its_waits_by_the_persons_clock(base, zone, delays, expected):
    assert due(base, zone, *delays) == expected


def test_of_several_candidate_zones_the_first_counts_the_days():
    base = at(NEW_YORK, "2026-03-07T10:00")
    assert due_after([length("1d")], base, (NEW_YORK, SHANGHAI)) == base + 23 * HOUR
    assert due_after([length("1d")], base, (SHANGHAI, NEW_YORK)) == base + 24 * HOUR
    assert due_after([length("1d")], base, ()) == base + 24 * HOUR


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 400), st.sampled_from(ZONES), _INSTANTS)
def test_days_keep_the_clock_time_but_for_a_missing_hour_and_a_slot(days, zone, instant):
    found = due_after([length(f"{days}d")], instant, (zone,))
    before, after = (to_datetime(t).astimezone(zone).replace(tzinfo=None) for t in (instant, found))
    late = after - (before + timedelta(days=days))
    assert found % SLOT == 0
    assert timedelta(hours=-1) <= late < timedelta(hours=1, minutes=15)


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 5000), _INSTANTS)
def test_minutes_elapse_whatever_the_clock_does(minutes, instant):
    found = due_after([length(f"{minutes}m")], instant, (NEW_YORK,))
    assert 0 <= found - (instant + minutes * MINUTE) < SLOT
