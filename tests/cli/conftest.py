"""How is a verb called in tests? In this process, through the one door."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import pytest
from sqlalchemy import text

from journeys.assignment import holdout_of
from journeys.words import Holdout
from providers.outbox import Outbox
from recall.cli.main import run
from recall.clock import DAY, FixedClock, Instant
from recall.engine.setup import Setup
from recall.engine.spool import spool_dir
from recall.settings import Settings
from recall.store.connect import Store, write_fact
from tests.engine.conftest import Scene


@dataclass(frozen=True)
class Answer:
    """What a person sees of one call."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        """The one JSON object on stdout."""
        return json.loads(self.out)


Recall = Callable[..., Answer]


@pytest.fixture
def recall(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Recall:
    """Call `recall` in the test's own folder; the SQLite store there, if any, is `sqlite_store`."""
    monkeypatch.setenv("RECALL_ADDRESS_KEY", "a key that is only used in tests")

    def call(*arguments: object) -> Answer:
        capfd.readouterr()
        code = run([str(argument) for argument in arguments])
        return Answer(code, *capfd.readouterr())

    return call


@pytest.fixture
def recall_on(recall: Recall, store: Store, monkeypatch: pytest.MonkeyPatch) -> Recall:
    """Call `recall` on the store of the test, SQLite or PostgreSQL."""
    monkeypatch.setenv("RECALL_ALLOW_WEAK_DURABILITY", "true")  # the tests' PostgreSQL forgets at a power cut
    monkeypatch.setenv("RECALL_DATABASE_URL", store.engine.url.render_as_string(hide_password=False))
    return recall


@dataclass
class Growth:
    """A project folder (the test's own) with a store whose time the test sets, and people in it."""

    recall: Recall
    scene: Scene
    people: list[str] = field(default_factory=list)  # who may enter settled-30d and is not held out

    def at(self, now: Instant) -> None:
        """Let it be this time for every verb."""
        self.scene.clock.instant = now
        with self.scene.store.writing() as connection:
            write_fact(connection, "virtual_now", str(now))

    def later(self, micros: int) -> None:
        self.at(self.scene.now + micros)

    def settled(self, *users: str, **about: Any) -> None:
        """People who settled a loan 40 days ago and may be sent everything."""
        for user in users:
            self.scene.add_user(user, **about)
            self.scene.event(user, "loan_settled", at=self.scene.now - 40 * DAY)

    def treated(self, count: int = 3) -> list[str]:
        """Let there be people who may enter settled-30d and are not held out of anything."""
        about = {"policy": "cn-consumer-finance", "programme_percent": 5, "journey": "settled-30d"}
        names = (f"u{n}" for n in range(1000))
        treated = (name for name in names if holdout_of(name, journey_percent=10, **about) is Holdout.TREATED)
        self.people = list(islice(treated, count))
        self.settled(*self.people)
        return self.people

    def actions(self) -> list[tuple[str, str, str]]:
        """(verb, subject, why) of everything a person did."""
        with self.scene.store.reading() as connection:
            rows = connection.execute(text("select verb, subject, why from operator_actions order by id"))
            return [tuple(row) for row in rows]


@pytest.fixture
def growth(recall: Recall, sqlite_store: Store, settings: Settings, now: Instant) -> Growth:
    """`recall init` was called in the test's folder; the store is simulated, so that its clock can be set."""
    assert recall("init", ".").code == 0
    with sqlite_store.writing() as connection:
        write_fact(connection, "simulated", "true")
    clock = FixedClock(now)
    outbox = settings.var_dir / "outbox"
    setup = Setup(
        sqlite_store, {"outbox": Outbox(outbox, clock=clock)}, clock, spool_dir(settings.var_dir, sqlite_store)
    )
    made = Growth(recall, Scene(sqlite_store, clock, setup, outbox))
    made.at(now)
    return made


@pytest.fixture
def published(growth: Growth) -> Growth:
    """The same, with settled-30d published."""
    assert growth.recall("journey", "publish", "--all").code == 0
    return growth
