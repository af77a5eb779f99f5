"""Does a simulation run the real thing, tell people's deeds once, and never touch a real store?"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from journeys.project import shipped_project
from providers.nature import Stage
from providers.world import World, accepted_log, populate
from recall.clock import DAY, HOUR, Instant
from recall.engine.feed import bring_people, feed
from recall.engine.publish import publish_project
from recall.engine.setup import Setup, open_setup
from recall.engine.simulate import (
    Passes,
    engine_passes,
    routed_to_world,
    set_time,
    simulate,
    start_simulation,
)
from recall.engine.violations import find_violations
from recall.errors import Misconfigured
from recall.measure.account import Account, read_account
from recall.settings import Settings
from recall.store import schema
from recall.store.connect import Store
from recall.store.simulated import throw_away

JOURNEY = "settled-30d"
DAYS = 9
TROUBLES = {
    "throttle_rate": "0.1",
    "lost_answer_rate": "0.1",
    "server_error_rate": "0.05",
    "late_receipt_rate": "0.2",
    "doubled_receipt_rate": "0.2",
}


@pytest.fixture
def start(now: Instant) -> Instant:
    return now - 10 * HOUR  # midnight in Shanghai


@contextmanager
def _world(store: Store, settings: Settings, start: Instant, **options: Any) -> Iterator[tuple[Setup, World]]:
    settings = settings.model_copy(update={"provider_options": {"world": options}})
    path = Path(settings.var_dir) / "world.db"
    populate(path, n=80, seed=3, start=start, days=DAYS + 1, stages={Stage.SETTLED: 1.0})
    start_simulation(store, at=start)
    publish_project(store, routed_to_world(shipped_project()), now=start, who="test", only=[JOURNEY])
    setup = open_setup(settings, store=store)
    world = setup.providers["world"]
    assert isinstance(world, World)
    yield setup, world


def _account(setup: Setup) -> Account:
    with setup.store.reading() as connection:
        return read_account(connection, JOURNEY, now=setup.clock.now())


def _count(store: Store, table: Any) -> int:
    with store.reading() as connection:
        return int(connection.execute(select(func.count()).select_from(table)).scalar_one())


def test_everybody_is_walked_through_and_nothing_is_violated(store: Store, settings: Settings, start: Instant):
    with _world(store, settings, start, **TROUBLES) as (setup, world):
        days: list[int] = []
        done = simulate(
            setup, world, [JOURNEY], days=DAYS, passes=engine_passes(setup), runs="15 */3 * * *", on_day=days.append
        )
        account = _account(setup)
        assert days == list(range(1, DAYS + 1))
        assert (done.users, done.days, done.enrol_passes, done.run_passes) == (80, DAYS, DAYS, DAYS * 8 + 1)
        assert find_violations(store, accepted_log(world.path)) == []
        assert account.enrolled > 20
        assert account.sent.keys() == {"push", "sms", "call"}
        assert _count(store, schema.doubts) > 0
        assert {step.people for step in account.steps} == {account.treated}
        assert account.not_sent["holdout"] == account.shadows


def test_the_same_seed_gives_the_same_account(sqlite_store: Store, settings: Settings, start: Instant, tmp_path: Path):
    def once() -> Account:
        with _world(sqlite_store, settings, start) as (setup, world):
            simulate(setup, world, [JOURNEY], days=3, passes=engine_passes(setup), runs="15 11 * * *")
            return _account(setup)

    first = once()
    (settings.var_dir / "world.db").unlink()
    with sqlite_store.writing() as connection:
        for table in reversed(schema.metadata.sorted_tables):
            connection.execute(table.delete().where(table.c.id != 0) if table.name == "addresses" else table.delete())
    assert once() == first


def test_passes_may_be_anything_and_see_the_virtual_time(sqlite_store: Store, settings: Settings, start: Instant):
    seen: list[tuple[str, int]] = []

    def at(what: str) -> Any:
        return lambda *_: seen.append((what, (setup.clock.now() - start) // HOUR))

    with _world(sqlite_store, settings, start) as (setup, world):
        passes = Passes(at("enrol"), at("run"), at("reconcile"))
        simulate(setup, world, [JOURNEY], days=1, passes=passes, runs="0 9,18 * * *", reconciles="30 12 * * *")
    assert seen == [("enrol", 8), ("run", 9), ("reconcile", 12), ("run", 18), ("run", 24), ("reconcile", 24)]


# --- the doors ----------------------------------------------------------------------------------------------


def test_a_crash_before_the_acknowledgement_repeats_nothing(
    store: Store, settings: Settings, start: Instant, monkeypatch: pytest.MonkeyPatch
):
    class Killed(Exception):
        pass

    def die(*_: object) -> None:
        raise Killed

    with _world(store, settings, start) as (setup, world):
        bring_people(store, world)
        with monkeypatch.context() as patched:
            patched.setattr(world, "ack", die)
            with pytest.raises(Killed):
                feed(setup, world, start)
        kept = _count(store, schema.events)
        assert kept > 80
        assert feed(setup, world, start).events == kept
        assert _count(store, schema.events) == kept
        assert feed(setup, world, start).total == 0


def test_people_are_imported_once_with_addresses_consents_and_zones(store: Store, settings: Settings, start: Instant):
    with _world(store, settings, start) as (_, world):
        assert bring_people(store, world) == bring_people(store, world) == 80
        assert _count(store, schema.users) == 80
        with store.reading() as connection:
            users = connection.execute(select(schema.users)).all()
        assert all(user.phone_id > 0 and user.zone_id for user in users)
        assert 0 < sum(user.push_id > 0 for user in users) < 80
        assert _count(store, schema.consent_state) > 4 * 80


# --- the store ----------------------------------------------------------------------------------------------


def test_a_store_with_real_data_is_never_made_a_simulation(store: Store, now: Instant):
    with store.writing() as connection:
        zone = connection.execute(schema.zones.insert().values(names="UTC").returning(schema.zones.c.id)).scalar_one()
        connection.execute(schema.users.insert().values(user_id="u-1", zone_id=zone, created_at=now))
    with pytest.raises(Misconfigured, match=r"real data \(users\)"):
        start_simulation(store, at=now)
    assert store.fact("simulated") is None


def test_only_a_simulated_store_has_a_clock_and_it_never_goes_back(store: Store, now: Instant):
    with pytest.raises(Misconfigured, match="only a simulated store"):
        set_time(store, now)
    start_simulation(store, at=now)
    set_time(store, now + DAY)
    with pytest.raises(Misconfigured, match="cannot go back"):
        set_time(store, now)
    assert store.fact("virtual_now") == str(now + DAY)


def test_only_a_simulated_store_may_forget_a_commit(sqlite_store: Store, now: Instant):
    with pytest.raises(Misconfigured):
        throw_away(sqlite_store)
    start_simulation(sqlite_store, at=now)
    throw_away(sqlite_store)
    with sqlite_store.reading() as connection:
        assert connection.exec_driver_sql("pragma synchronous").scalar_one() == 0
