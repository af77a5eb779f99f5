"""Is nobody messaged twice, and nobody left behind, when the connection to the store is lost, in COMMIT or anywhere?"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import pytest

from providers.outbox import Outbox
from recall.clock import MINUTE, FixedClock, Instant
from recall.engine.reconcile import reconcile
from recall.engine.setup import Setup
from recall.errors import StoreBusy
from recall.settings import Settings
from recall.store import connect
from recall.store.connect import Store, open_store
from tests.engine.conftest import Scene
from tests.faults.proxy import Proxy

LOSSES, NEWCOMERS = 20, 6
STEPS = "  - {sms: come-back}\n  - {wait: 1h}\n  - {push: come-back}"


@pytest.fixture
def near(postgresql_store: Store, settings: Settings, now: Instant) -> Scene:
    """A scene whose connection holds."""
    clock, outbox = FixedClock(now), settings.var_dir / "outbox"
    setup = Setup(postgresql_store, {"outbox": Outbox(outbox, clock=clock)}, clock, settings.var_dir / "spool")
    return Scene(postgresql_store, clock, setup, outbox)


@pytest.fixture
def proxy(near: Scene) -> Iterator[Proxy]:
    made = Proxy(near.store.engine.url)
    yield made
    made.close()


@pytest.fixture
def far(near: Scene, proxy: Proxy, settings: Settings) -> Iterator[Scene]:
    """The same scene, its store behind the proxy."""
    url = proxy.url.render_as_string(hide_password=False)
    store = open_store(settings.model_copy(update={"database_url": url, "allow_weak_durability": True}))
    yield replace(near, store=store, setup=replace(near.setup, store=store))
    store.close()


def one_turn(scene: Scene) -> bool:
    """A run and a look for evidence; whether both came through."""
    try:
        failed = scene.run().failed
        reconcile(scene.setup)
    except StoreBusy:
        return False
    return not failed


@pytest.mark.parametrize(("word", "most"), [(b"COMMIT", 8), (b"", 60)], ids=["in COMMIT", "anywhere"])
def test_twenty_lost_connections_send_nothing_twice_and_lose_nobody(
    near: Scene, far: Scene, proxy: Proxy, word: bytes, most: int
) -> None:
    version = near.publish(STEPS)
    draw, broken, people = random.Random(7), 0, list[str]()
    for n in range(LOSSES):
        newcomers = [f"u{n}-{number}" for number in range(NEWCOMERS)]
        for user in newcomers:
            near.add_user(user)
        near.enrol(version, *newcomers)
        people += newcomers
        proxy.drop(draw.randint(1, most), word=word, delivers=n % 2 == 0)
        broken += not one_turn(far)
        near.later(3 * MINUTE)
    for _ in range(9):
        assert one_turn(far)
        near.later(20 * MINUTE)
    got = Counter(near.sent())
    assert (proxy.dropped, broken > LOSSES // 2) == (LOSSES, True)
    assert max(got.values()) == 1, "nobody got a message twice"
    assert set(got) == {(user, channel) for user in people for channel in ("sms", "push")}
    assert {send.state for send in near.sends()} == {"accepted"}


def test_people_locked_by_a_connection_that_nobody_holds_any_more_are_freed(
    near: Scene, proxy: Proxy, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connect, "_IDLE_SECONDS", 1)
    url = proxy.url.render_as_string(hide_password=False)
    store = open_store(settings.model_copy(update={"database_url": url, "allow_weak_durability": True}))
    far = replace(near, store=store, setup=replace(near.setup, store=store))
    version = near.publish(STEPS)
    near.add_user("u1")
    near.enrol(version, "u1")
    proxy.drop(1, word=b"SKIP LOCKED", delivers=True, silent=True)
    assert not one_turn(far)
    assert near.sent() == []
    for _ in range(100):
        near.run()
        if near.sent():
            break
        time.sleep(0.1)
    assert near.sent() == [("u1", "sms")]
    store.close()
