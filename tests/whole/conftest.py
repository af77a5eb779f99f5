"""What stands around one journey, from file to end? A project folder, the real doors on the loopback, a clock."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
import uvicorn
from sqlalchemy import select

from journeys.project import load_project
from providers.registry import KINDS
from recall.clock import DAY, FixedClock, Instant, SystemClock
from recall.engine.enrol import enrol
from recall.engine.publish import publish_project
from recall.engine.setup import Setup, open_setup
from recall.settings import Settings
from recall.store import schema
from recall.store.connect import Store, open_store
from recall.store.fitness import record_fitness
from recall.store.suppressions import declare_suppressions
from recall.store.versions import current_version
from recall.web.app import create_app
from recall.web.loop import Reconciler
from recall.web.signatures import sign, sign_card
from tests.engine.conftest import Scene
from tests.whole.project import write_project
from tests.whole.twilio_speaks import Twilio

SECRET = "a secret of the host system"
PHONE_BROWSER = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 Version/18.0 Safari/604.1"


@dataclass
class Whole(Scene):
    """One project from its files to the answers of its vendors; `setup` is a worker's, the door has one of its own."""

    settings: Settings = field(default_factory=Settings)
    door: Setup | None = None
    people: httpx.Client = field(default_factory=httpx.Client)  # everybody who asks our door
    told: Iterator[int] = field(default_factory=lambda: iter(range(10**6)))

    @property
    def url(self) -> str:
        return self.settings.public_url

    def settle(self, user: str, **about: Any) -> None:
        """Somebody who settled a loan 40 days ago and may be sent everything."""
        self.add_user(user, **about)
        self.event(user, "loan_settled", at=self.now - 40 * DAY)

    def enter(self, *people: str, **about: Any) -> None:
        """These people come to be, and whoever may enter the journey does."""
        for user in people:
            self.settle(user, **about)
        with self.store.reading() as connection:
            version = current_version(connection, "settled-30d")
        assert enrol(self.store, version, now=self.now).enrolled >= len(people)

    def go(self, micros: int = 0) -> dict[str, dict[str, int]]:
        """Time passes, then a run; what it did by step. A step that failed fails the test."""
        self.later(micros)
        done = self.run()
        assert done.failed == {}
        return done.steps

    def reconcile(self) -> None:
        """One beat of the loop in `recall serve`."""
        assert self.door is not None
        Reconciler(self.door).pass_once()

    def host(self, path: str, body: Any) -> Any:
        """What the host's own system posts, signed; returns the answer."""
        content, stamp = json.dumps(body).encode(), str(SystemClock().now() // 1_000_000)
        signature = sign(SECRET, stamp, "POST", path, content)
        headers = {"x-recall-key": "host", "x-recall-timestamp": stamp, "x-recall-signature": signature}
        answer = self.people.post(self.url + path, content=content, headers=headers)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def converts(self, user: str, amount: str = "1000.00") -> None:
        """The host tells that this user drew a loan now."""
        at = f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(self.now // 1_000_000))}Z"
        event = {"id": f"e{next(self.told)}", "user": user, "name": "loan_drawn", "at": at}
        answer = self.host("/events", {"source": "core", "events": [{**event, "properties": {"amount": amount}}]})
        assert (answer["added"], answer["refused"]) == (1, [])

    def app(self, user: str) -> httpx.Client:
        """The app of one user, with the token the host's server made for it."""
        expires = SystemClock().now() // 1_000_000 + 3600
        token = sign_card(SECRET, "host", user, expires)
        return httpx.Client(base_url=self.url, headers={"authorization": f"Bearer {token}"}, trust_env=False)

    def rows(self, table: Any) -> list[Any]:
        with self.store.reading() as connection:
            return list(connection.execute(select(table).order_by(*table.primary_key.columns)))

    def passage(self, user: str) -> Any:
        """The one enrolment of a user."""
        (mine,) = [row for row in self.rows(schema.enrolments) if row.user_id == self.row(user).id]
        return mine

    def sends_of(self, user: str) -> list[Any]:
        return [send for send in self.sends() if send.user_id == self.row(user).id]

    def receipts_of(self, ref: str) -> list[tuple[str, str]]:
        return [(row.kind, row.detail) for row in self.rows(schema.receipts) if row.ref == ref]


Begin = Callable[..., Whole]


@contextmanager
def served(setup: Setup, settings: Settings, listening: socket.socket) -> Iterator[None]:
    """The whole web door on its socket, as `recall serve` opens it."""
    config = uvicorn.Config(create_app(setup, settings), log_config=None, access_log=False, lifespan="off", ws="none")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    for _ in range(1000):
        if server.started:
            break
        time.sleep(0.01)
    assert server.started
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(timeout=20)


@contextmanager
def whole_way(store: Store, settings: Settings, clock: FixedClock, steps: str, **how: Any) -> Iterator[Whole]:
    """Write, publish and serve: `routes` by channel (`abroad`: in the US), `options` by provider."""
    now = clock.now()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        settings = settings.model_copy(
            update={
                "public_url": f"http://127.0.0.1:{listening.getsockname()[1]}",
                "provider_options": how.get("options", {}),
                "database_url": store.engine.url.render_as_string(hide_password=False),
                "allow_weak_durability": True,  # of the tests' PostgreSQL
            }
        )
        write_project(settings.project_dir, steps, how.get("routes", {}), abroad=how.get("abroad"))
        publish_project(store, load_project(settings.project_dir), now=now, who="test")
        with store.writing() as connection:
            declare_suppressions(connection, "none", at=now)
            names = [*KINDS, *settings.provider_options]
            record_fitness(connection, providers=names, wrong=[], at=SystemClock().now())
        worker, door = open_setup(settings, store=store), open_setup(settings, store=open_store(settings))
        try:
            with served(door, settings, listening), httpx.Client(trust_env=False) as people:
                people.headers["user-agent"] = PHONE_BROWSER
                yield Whole(store, clock, worker, settings.var_dir / "outbox", {}, settings, door, people)
        finally:
            _close(worker)
            _close(door)
            door.store.close()


def _close(setup: Setup) -> None:
    for provider in setup.providers.values():
        setup.dispatcher.run(provider.close())


@pytest.fixture
def door_settings(settings: Settings) -> Settings:
    given = {"signing_keys": ["a signing key of the tests"], "web_api_keys": {"host": SECRET}}
    return type(settings)(**{**settings.model_dump(), **given, "link_hosts": ["shop.example.com"]})


@pytest.fixture
def clock(now: Instant, monkeypatch: pytest.MonkeyPatch) -> FixedClock:
    """The one thing that is not real, for us and for the vendors."""
    clock = FixedClock(now)
    for room in ("recall.engine.setup", "recall.store.connect"):
        monkeypatch.setattr(f"{room}.clock_of", lambda _: clock)
    return clock


@pytest.fixture
def twilio(clock: FixedClock) -> Iterator[Twilio]:
    far = Twilio(clock)
    yield far
    far.close()


@pytest.fixture
def begin(door_settings: Settings, clock: FixedClock) -> Iterator[Begin]:
    """`begin(store, steps, routes=…, options=…)`: from now on the project is published and its door open."""
    open_ways = []

    def enter(store: Store, steps: str, **how: Any) -> Whole:
        way = whole_way(store, door_settings, clock, steps, **how)
        open_ways.append(way)
        return way.__enter__()

    yield enter
    for way in open_ways:
        way.__exit__(None, None, None)
