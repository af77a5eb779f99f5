"""Can any sequence of what people, vendors and operators do break a promise? Hypothesis looks for one.

CI: twenty sequences on SQLite and four on PostgreSQL, always the same, shown as they are when one breaks a promise.
More, drawn anew and made short: FAULTS_SEQUENCES=5000 pytest on this file.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, suppress
from enum import Enum, auto
from hashlib import sha256
from itertools import count, islice
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from journeys.words import Cause, Channel, Outcome, ReceiptKind
from providers.base import Outbound, SendResult
from providers.outbox import Outbox
from recall.clock import DAY, HOUR, MINUTE, FixedClock
from recall.engine import calling, send
from recall.engine.enrol import enrol
from recall.engine.reconcile import reconcile
from recall.engine.replay import Wanted, replay
from recall.engine.setup import Setup
from recall.engine.violations import find_violations
from recall.errors import Misconfigured, Transient
from recall.store.connect import Store
from recall.store.controls import ControlKind, clear_control, set_control
from recall.store.erasure import erase
from recall.store.ledger import open_doubts, read_open, resolve
from recall.store.people import NewAddress
from recall.store.policies import live_policies
from recall.store.receipts import Receipt, record_receipts
from recall.store.suppressions import opt_out_address, suppress_user
from tests.engine.conftest import Scene
from tests.faults.stores import new_engine

pytestmark = pytest.mark.slow  # with the long tests, and in `make faults`

EXAMPLES = int(os.environ.get("FAULTS_SEQUENCES", "20"))  # on SQLite
IS_SMALL = EXAMPLES < 100
ON_POSTGRESQL = 4 if IS_SMALL else EXAMPLES
START = 1_772_416_800_000_000  # Monday 2026-03-02 10:00 in Shanghai
JOURNEYS = {
    "settled-30d": "  - {push: come-back}\n  - {wait: 1d}\n  - {sms: come-back}\n  - {wait: 1d}\n  - {call: come-back}",
    "urgent": "  - {sms: come-back}\n  - {wait: 2h}\n  - {push: come-back}",
}
USERS = [f"u{number}" for number in range(6)]
PHONES = [f"+861380000000{number}" for number in range(4)]  # some people share one
user, journey = st.sampled_from(USERS), st.sampled_from(sorted(JOURNEYS))
who: dict[str, str] = {"who": "ada", "why": "drawn"}


class Mood(Enum):
    """How the provider behaves until it changes."""

    WELL = auto()
    THROTTLES = auto()
    REFUSES = auto()
    LOSES_THE_ANSWER = auto()  # took it
    LOSES_THE_REQUEST = auto()
    IS_AWAY = auto()


class Moody(Outbox):
    """An outbox in a mood; its files are the provider's own log."""

    mood = Mood.WELL

    async def send(self, batch: Sequence[Outbound]) -> AsyncIterator[SendResult]:
        if self.mood is Mood.IS_AWAY:
            raise Transient("away")
        for message in batch:
            yield self._one(message)

    def _one(self, message: Outbound) -> SendResult:
        match self.mood:
            case Mood.THROTTLES:
                return SendResult(message.ref, Outcome.NOT_SENT, Cause.THROTTLED, code="429", retry_after_seconds=60)
            case Mood.REFUSES:
                return SendResult(message.ref, Outcome.REFUSED, Cause.ADDRESS, code="21211")
            case Mood.LOSES_THE_REQUEST:
                return SendResult(message.ref, Outcome.IN_DOUBT, code="timeout")
        [taken] = self._take([message])
        return (
            SendResult(message.ref, Outcome.IN_DOUBT, code="timeout") if self.mood is Mood.LOSES_THE_ANSWER else taken
        )


class Life(RuleBasedStateMachine):
    """People, a vendor and an operator, in any order; after each run the invariants are asked of the vendor's log."""

    is_postgresql = False

    @initialize()
    def begin(self) -> None:
        self.stack = ExitStack()
        folder = Path(self.stack.enter_context(tempfile.TemporaryDirectory(prefix="recall-life-")))
        engine = self.stack.enter_context(new_engine(folder, is_postgresql=self.is_postgresql))
        self.clock = FixedClock(START)
        self.provider = Moody(folder / "outbox", clock=self.clock)
        self.store = Store(engine, b"a key that is only used in tests")
        # Nothing may depend on chance or on how busy the machine is: a sequence is the same whenever it is lived.
        self.refs = (sha256(str(number).encode()).hexdigest()[:24] for number in count())
        patch = self.stack.enter_context(pytest.MonkeyPatch.context())
        for room in (calling, send):
            patch.setattr(room, "elapsed_seconds", lambda: 0.0)
        setup = Setup(self.store, {"outbox": self.provider}, self.clock, folder / "spool", refs=self.new_refs)
        self.scene = Scene(self.store, self.clock, setup, folder / "outbox")
        self.versions = {name: self.scene.publish(steps, name=name) for name, steps in JOURNEYS.items()}
        for number, name in enumerate(USERS):
            self.scene.add_user(name, phone=PHONES[number % len(PHONES)])
        self.gone: set[str] = set()
        for name in USERS[:4]:
            self.settles_a_loan(name, 40)
        self.lets_people_in()
        self.switched: set[tuple[ControlKind, str]] = set()

    def new_refs(self, wanted: int) -> list[str]:
        return list(islice(self.refs, wanted))

    def teardown(self) -> None:
        if hasattr(self, "stack"):
            with self.stack:
                self.end()
            note()

    # --- people ---------------------------------------------------------------------------------------------

    @rule(user=user, ago=st.integers(0, 50))
    def settles_a_loan(self, user: str, ago: int) -> None:
        if user not in self.gone:
            self.scene.event(user, "loan_settled", at=self.clock.instant - ago * DAY)

    @rule(user=user)
    def comes_back(self, user: str) -> None:
        if user not in self.gone:
            self.scene.event(user, "loan_drawn")

    @rule(phone=st.sampled_from(PHONES), channels=st.sampled_from([{Channel.SMS}, {Channel.SMS, Channel.CALL}]))
    def says_stop(self, phone: str, channels: set[Channel]) -> None:
        with self.store.writing() as connection:
            opt_out_address(
                connection, self.store, kind="phone", value=phone, channels=channels, source="t", at=self.clock.instant
            )

    @rule(user=user)
    def is_imported_again(self, user: str) -> None:
        if user not in self.gone:
            number = USERS.index(user)
            self.scene.add_user(user, phone=PHONES[number % len(PHONES)], push=NewAddress(f"token-{user}"))

    # --- the vendor -------------------------------------------------------------------------------------------

    @rule(mood=st.sampled_from(Mood))
    def changes_mood(self, mood: Mood) -> None:
        self.provider.mood = mood

    @rule(data=st.data(), kind=st.sampled_from(list(ReceiptKind)), times=st.integers(1, 2))
    def tells_what_became_of_a_message(self, data: st.DataObject, kind: ReceiptKind, times: int) -> None:
        taken = self.scene.accepted()
        if taken:
            ref = data.draw(st.sampled_from(sorted(row.ref for row in taken)))
            told = Receipt("outbox", f"{ref}-{kind}", ref, kind, self.clock.instant)
            with self.store.writing() as connection:
                record_receipts(connection, [told] * times, now=self.clock.instant)

    # --- the operator -----------------------------------------------------------------------------------------

    @rule()
    def lets_people_in(self) -> None:
        for version in self.versions.values():
            enrol(self.store, version, now=self.clock.instant)

    @rule(hours=st.sampled_from([1, 2, 6, 24, 30, 24 * 8]))
    def time_passes(self, hours: int) -> None:
        self.clock.instant += hours * HOUR
        self.runs()

    @rule()
    def runs(self) -> None:
        self.clock.instant += MINUTE  # what was said before is binding by now
        for name in JOURNEYS:
            self.scene.run(name)
        self.ask()

    @rule()
    def looks_for_evidence(self) -> None:
        self.clock.instant += 3 * MINUTE
        reconcile(self.scene.setup)

    @rule(kind=st.sampled_from([ControlKind.PAUSED, ControlKind.KILL_SWITCH]), name=journey)
    def switches(self, kind: ControlKind, name: str) -> None:
        subject = name if kind is ControlKind.PAUSED else ""
        turn = clear_control if (kind, subject) in self.switched else set_control
        self.switched ^= {(kind, subject)}
        with self.store.writing() as connection:
            turn(connection, kind, subject, at=self.clock.instant, **who)

    @rule(user=user)
    def suppresses(self, user: str) -> None:
        with self.store.writing() as connection:
            suppress_user(connection, self.store, user=user, at=self.clock.instant)

    @rule(user=user)
    def erases(self, user: str) -> None:
        with suppress(Misconfigured), self.store.writing() as connection:
            erase(connection, self.store, user=user, at=self.clock.instant, **who)
        self.gone.add(user)

    @rule(name=journey)
    def replays(self, name: str) -> None:
        replay(self.scene.setup, Wanted(name), dry_run=False, **who)

    @rule()
    def decides_a_doubt(self) -> None:
        """As somebody who looked into the vendor's log."""
        with self.store.writing() as connection:
            for doubt in open_doubts(connection)[:1]:
                there = doubt.ref in {row.ref for row in self.scene.accepted()}
                outcome = Outcome.ACCEPTED if there else Outcome.NOT_SENT
                [open_send] = read_open(connection, [doubt.ref])
                resolve(
                    connection, open_send, outcome, live_policies(connection), evidence="log", who="ada",
                    now=self.clock.instant,
                )  # fmt: skip

    # --- the promises -----------------------------------------------------------------------------------------

    def ask(self, *, of_the_end: bool = False) -> None:
        found = find_violations(self.store, self.scene.accepted(), now=self.clock.instant)
        wrong = [each for each in found if of_the_end or each.invariant not in ("I12", "I13")]  # these need a run first
        assert wrong == []

    def end(self) -> None:
        """Everything is put right and runs on: everybody ends, and no doubt is left without anybody knowing."""
        self.provider.mood = Mood.WELL
        for kind, subject in self.switched:
            with self.store.writing() as connection:
                clear_control(connection, kind, subject, at=self.clock.instant, **who)
        for _ in range(16):
            self.clock.instant += 12 * HOUR
            reconcile(self.scene.setup)
            for name in JOURNEYS:
                self.scene.run(name)
        self.ask(of_the_end=True)
        refs = Counter(row.ref for row in self.scene.accepted())
        assert max(refs.values(), default=1) == 1


class LifeOnPostgresql(Life):
    is_postgresql = True


def note() -> None:
    """One more sequence that was lived to its end, for the campaign."""
    if "FAULTS_FIGURES" in os.environ:
        with Path(os.environ["FAULTS_FIGURES"]).open("a") as file:
            file.write(json.dumps({"sequences": 1}) + "\n")


def so_many(examples: int) -> settings:
    return settings(
        max_examples=examples,
        stateful_step_count=30 if IS_SMALL else 50,
        derandomize=IS_SMALL,
        phases=(Phase.generate,) if IS_SMALL else (Phase.generate, Phase.shrink),
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


Life.TestCase.settings = so_many(EXAMPLES)
LifeOnPostgresql.TestCase.settings = so_many(ON_POSTGRESQL)
TestLife, TestLifeOnPostgresql = Life.TestCase, LifeOnPostgresql.TestCase
