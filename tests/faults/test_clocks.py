"""Is every decision exact to the second around changing clocks, holidays and a host whose clock is wrong?

The expected instants are written by hand, in UTC, from the published dates of each zone's changes.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from recall.clock import DAY, HOUR, MINUTE, SECOND, to_datetime, to_instant
from recall.engine.guards import MARK_FILE, Marker
from recall.errors import Misconfigured
from recall.store import schema
from tests.engine.conftest import Scene
from tests.engine.doubles import Scripted

NEW_YORK, LONDON, LORD_HOWE = "America/New_York", "Europe/London", "Australia/Lord_Howe"
KATHMANDU, SAO_PAULO, SHANGHAI = "Asia/Kathmandu", "America/Sao_Paulo", "Asia/Shanghai"


def at(text: str) -> int:
    return to_instant(datetime.fromisoformat(text + "+00:00"))


def told(instant: int) -> str:
    return to_datetime(instant).isoformat().removesuffix("+00:00")


def someone(scene: Scene, zone: str, now: str, steps: str) -> int:
    """One person in a zone, due now on a journey of these steps."""
    scene.clock.instant = at(now)
    version = scene.publish(steps)
    scene.add_user("u1", zone=zone)
    [enrolment] = scene.enrol(version, "u1")
    return enrolment


# --- the window ---------------------------------------------------------------------------------------------

SENT = "sent"
SMS = [  # 09:00 to 20:00 by the person's clock, on every type of day
    # New York: clocks go forward on 2026-03-08 at 07:00 UTC, back on 2026-11-01 at 06:00 UTC
    (NEW_YORK, "2026-03-08T00:59:59.999999", SENT),
    (NEW_YORK, "2026-03-08T01:00:00", "2026-03-08T13:00:00"),
    (NEW_YORK, "2026-03-08T12:59:59.999999", "2026-03-08T13:00:00"),
    (NEW_YORK, "2026-03-08T13:00:00", SENT),
    (NEW_YORK, "2026-10-31T23:59:59.999999", SENT),
    (NEW_YORK, "2026-11-01T00:00:00", "2026-11-01T14:00:00"),
    (NEW_YORK, "2026-11-01T13:59:59.999999", "2026-11-01T14:00:00"),
    (NEW_YORK, "2026-11-01T14:00:00", SENT),
    # London: 2026-03-29 and 2026-10-25, both at 01:00 UTC
    (LONDON, "2026-03-28T20:00:00", "2026-03-29T08:00:00"),
    (LONDON, "2026-10-24T19:00:00", "2026-10-25T09:00:00"),
    # Lord Howe: half an hour; back on 2026-04-05, forward on 2026-10-04
    (LORD_HOWE, "2026-04-04T08:59:59.999999", SENT),
    (LORD_HOWE, "2026-04-04T09:00:00", "2026-04-04T22:30:00"),
    (LORD_HOWE, "2026-10-03T09:30:00", "2026-10-03T22:00:00"),
    # Kathmandu: +05:45, no changes
    (KATHMANDU, "2026-03-03T14:14:59.999999", SENT),
    (KATHMANDU, "2026-03-03T14:15:00", "2026-03-04T03:15:00"),
    # São Paulo: last summer time from 2018-11-04 00:00 to 2019-02-17 00:00 by its own clock; none since
    (SAO_PAULO, "2018-11-03T23:00:00", "2018-11-04T11:00:00"),
    (SAO_PAULO, "2019-02-16T22:00:00", "2019-02-17T12:00:00"),
    (SAO_PAULO, "2026-11-03T23:00:00", "2026-11-04T12:00:00"),
    # exactly the end, a leap day, the end of a year
    (SHANGHAI, "2026-03-03T11:59:59.999999", SENT),
    (SHANGHAI, "2026-03-03T12:00:00", "2026-03-04T01:00:00"),
    (SHANGHAI, "2028-02-28T12:00:00", "2028-02-29T01:00:00"),
    (SHANGHAI, "2028-02-29T12:00:00", "2028-03-01T01:00:00"),
    (SHANGHAI, "2026-12-31T12:00:00", "2027-01-01T01:00:00"),
]
CALL = [  # 09:00 to 20:00 on workdays, 09:00 to 18:00 on weekends and holidays, calendar of China
    (SHANGHAI, "2026-03-03T10:00:00", SENT),  # Tuesday 18:00
    (SHANGHAI, "2026-03-07T09:59:59.999999", SENT),  # Saturday, a microsecond before 18:00
    (SHANGHAI, "2026-03-07T10:00:00", "2026-03-08T01:00:00"),
    (SHANGHAI, "2026-10-01T10:00:00", "2026-10-02T01:00:00"),  # Thursday, National Day
    (SHANGHAI, "2026-02-14T10:30:00", SENT),  # a Saturday that is worked for the Spring Festival
    (SHANGHAI, "2035-03-06T10:30:00", "2035-03-07T01:00:00"),  # a Tuesday of a year not decreed: all holiday
]


@pytest.mark.parametrize(
    ("channel", "zone", "now", "expected"), [("sms", *each) for each in SMS] + [("call", *each) for each in CALL]
)
def test_the_gate_is_open_to_the_microsecond(scene: Scene, channel: str, zone: str, now: str, expected: str) -> None:
    enrolment = someone(scene, zone, now, f"  - {{{channel}: come-back}}")
    scene.run()
    if expected == SENT:
        assert scene.sent() == [("u1", channel)]
        return
    assert scene.sent() == []
    assert told(scene.enrolment(enrolment).due_at) == expected
    scene.clock.instant = at(expected) - 1
    scene.run()
    assert scene.sent() == []
    scene.clock.instant = at(expected)
    scene.run()
    assert scene.sent() == [("u1", channel)]


# --- the wait -------------------------------------------------------------------------------------------------

WAITS = [  # sent at, wait, due at: the same local time n days later, rounded up to a quarter of an hour in UTC
    (NEW_YORK, "2026-03-07T15:00:00", "1d", "2026-03-08T14:00:00"),
    (NEW_YORK, "2026-03-07T15:00:00", "24h", "2026-03-08T15:00:00"),
    (NEW_YORK, "2026-03-07T15:07:30", "1d", "2026-03-08T14:15:00"),
    (NEW_YORK, "2026-10-31T14:00:00", "1d", "2026-11-01T15:00:00"),
    (NEW_YORK, "2026-10-31T14:00:00", "24h", "2026-11-01T14:00:00"),
    (LONDON, "2026-03-28T10:00:00", "1d", "2026-03-29T09:00:00"),
    (LONDON, "2026-10-24T09:00:00", "3d", "2026-10-27T10:00:00"),
    (LORD_HOWE, "2026-04-04T00:00:00", "1d", "2026-04-05T00:30:00"),
    (LORD_HOWE, "2026-10-03T01:00:00", "1d", "2026-10-04T00:30:00"),
    (KATHMANDU, "2026-03-03T04:22:30", "3d", "2026-03-06T04:30:00"),
    (KATHMANDU, "2026-03-03T04:30:00", "3d", "2026-03-06T04:30:00"),
    (SAO_PAULO, "2018-11-03T13:00:00", "1d", "2018-11-04T12:00:00"),
    (SAO_PAULO, "2019-02-16T12:00:00", "1d", "2019-02-17T13:00:00"),
    (SHANGHAI, "2028-02-28T02:00:00", "1d", "2028-02-29T02:00:00"),
    (SHANGHAI, "2028-02-28T02:00:00", "2d", "2028-03-01T02:00:00"),
    (SHANGHAI, "2026-02-28T02:00:00", "1d", "2026-03-01T02:00:00"),
    (SHANGHAI, "2026-12-31T02:00:00", "1d", "2027-01-01T02:00:00"),
]


@pytest.mark.parametrize(("zone", "sent", "wait", "expected"), WAITS)
def test_a_wait_ends_to_the_second(scene: Scene, zone: str, sent: str, wait: str, expected: str) -> None:
    enrolment = someone(scene, zone, sent, f"  - {{sms: come-back}}\n  - {{wait: {wait}}}\n  - {{push: come-back}}")
    scene.run()
    assert scene.sent() == [("u1", "sms")]
    assert told(scene.enrolment(enrolment).due_at) == expected
    scene.clock.instant = at(expected) - 1
    scene.run()
    assert scene.sent() == [("u1", "sms")]
    scene.clock.instant = at(expected)
    scene.run()
    assert sorted(scene.sent()) == [("u1", "push"), ("u1", "sms")]


# --- a host whose clock is wrong --------------------------------------------------------------------------------


@pytest.fixture
def guarded(scene: Scene, tmp_path: Path) -> Scene:
    """A scene whose provider counts as real; somebody was sent something just now, two more are due."""
    provider = Scripted()
    provider.caps = replace(provider.caps, simulated=False)
    marker = Marker(scene.store, tmp_path / MARK_FILE)
    scene.setup = replace(scene.setup, providers={"outbox": provider}, marker=marker)
    version = scene.publish("  - {sms: come-back}\n  - {wait: 1d}\n  - {push: come-back}")
    for user in ("u1", "u2"):
        scene.add_user(user)
    scene.enrol(version, "u1")
    scene.run()
    scene.enrol(version, "u2")
    return scene


def calls(scene: Scene) -> int:
    provider = scene.setup.providers["outbox"]
    assert isinstance(provider, Scripted)
    return len(provider.calls)


@pytest.mark.parametrize("back", [HOUR, DAY])
def test_a_clock_that_goes_back_stops_everything_until_it_is_right(guarded: Scene, back: int) -> None:
    right = guarded.now
    guarded.clock.instant = right - back
    version = guarded.publish("  - {sms: come-back}", name="other")
    guarded.add_user("u3")
    guarded.enrol(version, "u3")
    with pytest.raises(Misconfigured, match="the clock of this machine went back"):
        guarded.run("other")
    assert calls(guarded) == 1
    guarded.clock.instant = right
    assert not guarded.run("other").failed
    assert not guarded.run().failed
    assert calls(guarded) == 3


def test_a_clock_that_ran_ahead_for_a_while_stops_everything_until_a_person_looked(guarded: Scene) -> None:
    right = guarded.now
    guarded.clock.instant = right + DAY
    guarded.run()
    ahead = calls(guarded)
    assert ahead == 3  # the wait of a day seemed over, and u2 was due
    guarded.clock.instant = right + MINUTE
    version = guarded.publish("  - {sms: come-back}", name="other")
    guarded.add_user("u3")
    guarded.enrol(version, "u3")
    with pytest.raises(Misconfigured, match="the clock of this machine went back"):
        guarded.run("other")
    assert calls(guarded) == ahead
    marker = guarded.setup.marker
    assert marker is not None
    marker.trust_store(guarded.now)  # `recall recover`
    assert not guarded.run("other").failed
    assert calls(guarded) == ahead + 1


def test_a_small_step_back_empties_no_bucket_and_lifts_no_limit(scene: Scene) -> None:
    """The guard lets a clock go back by up to a minute; another worker's clock may be that far behind, too."""
    provider = Scripted()
    provider.caps = replace(provider.caps, simulated=False)
    scene.setup = replace(scene.setup, providers={"outbox": provider})
    version = scene.publish("  - {sms: come-back}")
    scene.add_user("u1")
    scene.enrol(version, "u1")
    scene.run()
    scene.later(-30 * SECOND)
    scene.add_user("u2")
    scene.enrol(version, "u2")
    assert not scene.run().failed
    assert [message.user for message in provider.calls] == ["u1", "u2"]
    with scene.store.reading() as connection:
        assert connection.execute(schema.senders.select()).one().tokens >= 0
