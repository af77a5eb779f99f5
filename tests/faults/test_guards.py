"""Is nothing sent when the store forgot, when the clock went back, and when one of us calls too often?"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from journeys.words import NO_TURN, Cause, Outcome
from providers.accepted import accept as accepted
from providers.accepted import to_line
from providers.base import SendResult
from recall.clock import DAY, HOUR, MINUTE, SECOND
from recall.engine.dispatch import Dispatcher
from recall.engine.guards import MARK_FILE, Marker
from recall.engine.spool import replay as replay_spool
from recall.engine.spool import spool, spool_dir
from recall.engine.tripwire import Tripwire
from recall.errors import Misconfigured, Transient
from recall.settings import Settings
from recall.store import schema
from recall.store.connect import Store, open_store
from recall.store.controls import ControlKind, read_controls, set_control
from recall.store.guards import store_epoch
from recall.store.ledger import Answer
from tests.cli.conftest import recall as recall
from tests.engine.conftest import Scene
from tests.engine.doubles import Scripted, accept, message, refuse, throttle


@pytest.fixture
def guarded(scene: Scene, tmp_path: Path) -> Scene:
    """A scene whose provider counts as real, with a mark beside the store."""
    provider = Scripted()
    provider.caps = replace(provider.caps, simulated=False)
    marker = Marker(scene.store, tmp_path / "var" / MARK_FILE)
    scene.setup = replace(scene.setup, providers={"outbox": provider}, marker=marker)
    version = scene.publish("  - {sms: come-back}\n  - {wait: 1d}\n  - {push: come-back}")
    for user in ("u1", "u2"):
        scene.add_user(user)
    scene.enrol(version, "u1")
    return scene


def forget_everything(store: Store) -> None:
    """As after a restored backup of before the first message."""
    with store.writing() as connection:
        for statement in ("update enrolments set retry_send_id = null", "delete from sends"):
            connection.exec_driver_sql(statement)


def test_a_store_that_forgot_a_message_sends_nothing_more(guarded: Scene) -> None:
    assert not guarded.run().failed
    guarded.later(DAY)
    forget_everything(guarded.store)
    with pytest.raises(Misconfigured, match="recall recover"):
        guarded.run()


def test_a_clock_that_went_back_stops_everything_until_it_is_right(guarded: Scene) -> None:
    guarded.run()
    guarded.enrol(guarded.publish("  - {sms: come-back}", name="other"), "u2")
    right = guarded.now
    guarded.clock.instant = right - 2 * MINUTE
    marker = guarded.setup.marker
    assert marker is not None
    with pytest.raises(Misconfigured, match="clock"):
        marker.check(guarded.now)
    marker.check(right - 30 * SECOND)
    guarded.clock.instant = right + MINUTE
    assert not guarded.run("other").failed


def test_the_mark_is_written_once_a_second_and_outlives_the_process(guarded: Scene, tmp_path: Path) -> None:
    guarded.run()
    marker = guarded.setup.marker
    assert marker is not None
    kept = marker.path.read_text()
    marker.passed(["f" * 24], guarded.now + SECOND // 2)
    assert marker.path.read_text() == kept
    marker.passed(["f" * 24], guarded.now + SECOND)
    with pytest.raises(Misconfigured, match="f" * 24):
        Marker(guarded.store, tmp_path / "var" / MARK_FILE).check(guarded.now)


def test_an_unreadable_mark_is_said_and_not_taken_for_none(guarded: Scene, tmp_path: Path) -> None:
    guarded.run()
    marker = Marker(guarded.store, tmp_path / "var" / MARK_FILE)
    for torn in ("{torn", "[]", '{"what": 1}'):
        marker.path.write_text(torn)
        with pytest.raises(Misconfigured, match="recover"):
            marker.check(guarded.now)


def test_two_stores_in_one_folder_have_a_mark_each(guarded: Scene, other_store: Store, tmp_path: Path) -> None:
    """As after a move from SQLite to PostgreSQL: neither blocks the other, neither lets the other go on."""
    mine, theirs = (Marker(each, tmp_path / "var" / MARK_FILE) for each in (guarded.store, other_store))
    guarded.run()
    theirs.check(guarded.now - HOUR)  # our clock is none of theirs
    theirs.passed(["f" * 24], guarded.now)
    mine.check(guarded.now)
    with pytest.raises(Misconfigured, match="f" * 24):
        theirs.check(guarded.now)
    mine.path.write_text("{torn")
    mine.trust_store(guarded.now)
    mine.check(guarded.now)
    with pytest.raises(Misconfigured, match="f" * 24):
        theirs.check(guarded.now)


def test_answers_kept_for_one_store_are_not_dropped_by_another(
    guarded: Scene, other_store: Store, tmp_path: Path
) -> None:
    mine, theirs = (spool_dir(tmp_path, each) for each in (guarded.store, other_store))
    guarded.run()
    [send] = guarded.sends()
    with guarded.store.writing() as connection:
        connection.execute(schema.sends.update().values(state="calling"))
    spool(mine, [Answer(send.ref, Outcome.ACCEPTED)])
    assert replay_spool(other_store, theirs, now=guarded.now) == 0
    assert replay_spool(guarded.store, mine, now=guarded.now) == 1


def test_processes_that_open_a_new_store_at_once_agree_on_its_name(store: Store) -> None:
    with ThreadPoolExecutor(8) as threads:
        names = set(threads.map(lambda _: store_epoch(store), range(8)))
    assert names == {store.fact("epoch")}


@pytest.fixture
def other_store(settings: Settings, _migrated_file: Path, tmp_path: Path) -> Iterator[Store]:
    """A second store with the same address key."""
    shutil.copy(_migrated_file, tmp_path / "other.db")
    store = open_store(settings.model_copy(update={"database_url": f"sqlite:///{tmp_path / 'other.db'}"}))
    yield store
    store.close()


def test_recover_ends_what_the_store_forgot_and_lets_recall_send_again(
    recall: Any, sqlite_store: Store, guarded_file: Scene, tmp_path: Path
) -> None:
    scene = guarded_file
    scene.run()
    sent = scene.setup.providers["outbox"].calls  # type: ignore[attr-defined]
    log = tmp_path / "provider.jsonl"
    log.write_text("".join(to_line(accepted(one, at=scene.now, provider_id="x")) + "\n" for one in sent))
    assert scene.setup.marker is not None
    shutil.copy(scene.setup.marker.path, tmp_path / "kept.json")
    forget_everything(sqlite_store)
    done = recall("recover", "--log", log, "--why", "a backup came back", "--json")
    assert done.data | {"forgotten": 1, "ended": 1} == done.data
    marker = Marker(sqlite_store, tmp_path / "var" / MARK_FILE)
    marker.check(scene.now + 400 * DAY * 100)
    assert recall("recover", "--log", tmp_path / "kept.json", "--why", "no log at all").code == 2


@pytest.fixture
def guarded_file(request: pytest.FixtureRequest, sqlite_store: Store, settings: Any, now: int) -> Scene:
    from recall.clock import FixedClock
    from recall.engine.setup import Setup

    clock, provider = FixedClock(now), Scripted()
    setup = Setup(sqlite_store, {"outbox": provider}, clock, settings.var_dir / "spool")
    scene = Scene(sqlite_store, clock, setup, settings.var_dir / "outbox")
    scene.setup = replace(setup, marker=Marker(sqlite_store, settings.var_dir / MARK_FILE))
    version = scene.publish("  - {sms: come-back}\n  - {wait: 1d}\n  - {push: come-back}")
    scene.add_user("u1")
    scene.enrol(version, "u1")
    return scene


# --- tripwire ---------------------------------------------------------------------------------------------


def test_a_vendor_too_slow_for_its_rate_loses_nobody(guarded: Scene, tmp_path: Path) -> None:
    """Their turn never came, ten times over: that is no attempt, no call, and no reason to rest for good."""
    wire = Tripwire(tmp_path / "tripwire.db", key=b"key", now=guarded.clock.now, trip=lambda why: None)
    guarded.setup = replace(guarded.setup, dispatcher=Dispatcher(wire))
    provider = guarded.setup.providers["outbox"]
    assert isinstance(provider, Scripted)
    provider.answer = lambda each: SendResult(each.ref, Outcome.NOT_SENT, Cause.THROTTLED, code=NO_TURN)
    for _ in range(10):
        assert guarded.run().steps == {"sms-1": {"not_sent": 1}}
        guarded.later(MINUTE)
    provider.answer = accept
    guarded.run()
    wire.close()
    assert [(send.state, send.attempt) for send in guarded.sends()] == [("accepted", 1)]


def test_a_long_outage_switches_nothing_off_and_the_message_leaves_afterwards(guarded: Scene, tmp_path: Path) -> None:
    tripped: list[str] = []
    wire = Tripwire(tmp_path / "tripwire.db", key=b"key", now=guarded.clock.now, trip=tripped.append)
    guarded.setup = replace(guarded.setup, dispatcher=Dispatcher(wire))
    provider = guarded.setup.providers["outbox"]
    assert isinstance(provider, Scripted)
    provider.down = Transient("no route")
    for _ in range(12):
        assert guarded.run().failed
        guarded.later(31 * MINUTE)  # beyond the breaker's longest pause: each run tries
    provider.down = None
    assert not guarded.run().failed
    wire.close()
    assert tripped == []
    assert [(send.state, send.attempt) for send in guarded.sends()] == [("accepted", 1)]


def test_when_it_trips_nothing_is_called_and_everything_is_off(guarded: Scene, tmp_path: Path) -> None:
    def trip(why: str) -> None:
        with guarded.store.writing() as connection:
            set_control(connection, ControlKind.KILL_SWITCH, "", who="recall", why=why, at=guarded.now)

    wire = Tripwire(tmp_path / "tripwire.db", key=b"key", now=guarded.clock.now, trip=trip)
    guarded.setup = replace(guarded.setup, dispatcher=Dispatcher(wire))
    phone = f"+86138{int.from_bytes(b'u1', 'big') % 10**8:08d}"
    for ref in "abc":
        wire.before([message(ref, phone)])
    failed = guarded.run().failed
    wire.close()
    provider = guarded.setup.providers["outbox"]
    assert isinstance(provider, Scripted)
    assert (provider.calls, list(failed)) == ([], ["sms-1"])
    with guarded.store.reading() as connection:
        assert "tripwire" in (read_controls(connection).kill_switch or "")
    assert [(send.state, send.attempt) for send in guarded.sends()] == [("not_sent", 0)]


def test_refusals_and_throttles_are_calls_too(guarded: Scene, tmp_path: Path) -> None:
    wire = Tripwire(tmp_path / "tripwire.db", key=b"key", now=guarded.clock.now, trip=lambda why: None)
    guarded.setup = replace(guarded.setup, dispatcher=Dispatcher(wire))
    provider = guarded.setup.providers["outbox"]
    assert isinstance(provider, Scripted)
    for answer in (throttle, throttle, refuse(Cause.ADDRESS)):
        provider.answer = answer
        guarded.run()
        guarded.later(HOUR)
    [send] = guarded.sends()
    assert send.state == "refused"
    assert "called" not in wire.before([message(send.ref)])
    wire.close()
