"""What lives in one drawn world? Its store, its people, its providers, and every process at work in it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, PoolProxiedConnection, select

from journeys.words import AddressKind
from recall.clock import DAY, HOUR, MINUTE, SECOND, Instant
from recall.engine.enrol import enrol
from recall.engine.reconcile import reconcile
from recall.engine.replay import Wanted, replay
from recall.engine.run import run_journey
from recall.engine.setup import Setup
from recall.errors import RecallError, StoreBusy
from recall.store import schema
from recall.store.connect import Connection, Store
from recall.store.consents import NewConsent, record_consents
from recall.store.controls import ControlKind, clear_control, list_controls, set_control
from recall.store.events import NewEvent, record_events
from recall.store.people import NewAddress, NewUser, upsert_users_in
from recall.store.policies import publish_policy
from recall.store.receipts import record_receipts
from recall.store.suppressions import opt_out_address, suppress_user
from recall.store.versions import Version, publish_version
from tests.faults import workload
from tests.faults.loom import Loom, Rates, WovenDispatcher, WovenStore
from tests.faults.oracle import Known
from tests.faults.witness import Book, Temper, Witness
from tests.faults.workload import Fact, Plan, Someone

KEY = b"a key that is only used in tests"
MOST_ROUNDS = 16
MOST_DRAINING = 120


class Clock:
    def __init__(self, loom: Loom) -> None:
        self._loom = loom

    def now(self) -> Instant:
        return self._loom.now()


def store_window(engine: Engine) -> PoolProxiedConnection:
    """A connection of the driver's own that only looks, always at what was committed last."""
    raw = engine.raw_connection()
    raw.detach()
    if engine.dialect.name == "postgresql":
        raw.dbapi_connection.autocommit = True  # type: ignore[union-attr]  # as one to SQLite is already
    return raw


class World:
    """One world: its store, its people, its providers, and everybody at work in it."""

    def __init__(self, plan: Plan, folder: Path, engine: Engine) -> None:
        self.plan, self.folder = plan, folder
        self.start = workload.start_of(plan)
        self.dice = plan.dice("schedule")
        self.loom = Loom(self.dice, self.start, Rates())
        self.store = WovenStore(engine, KEY, loom=self.loom)
        self.book = Book()
        self.clock = Clock(self.loom)
        self.providers = {
            name: Witness(name, self.loom, self.book, workload.draw_temper(plan, name, self.start))
            for name in ("outbox", "second")
        }
        self.people = workload.draw_people(plan, self.start)
        self.known = Known(people={each.user: each for each in self.people})
        self.versions: list[Version] = []
        self.refs = plan.dice("refs")
        self.rounds, self.may_enter = 0, False
        self.window = store_window(engine)
        self._publish()
        self._settle_people()
        names = [version.name for version in self.versions]
        self.facts = workload.draw_facts(plan, self.start, self.people, names)
        late = [Fact(each.settled_at, "settled", each.user) for each in self.people if each.settled_at >= self.start]
        self.facts = sorted(self.facts + late, key=lambda fact: (fact.at, fact.kind, fact.subject))

    # --- before anything happens -------------------------------------------------------------------------------

    def _publish(self) -> None:
        policies = [workload.draw_policy(self.plan)]
        if self.plan.has("other_policy"):
            policies.append(workload.draw_policy(self.plan, "other-policy"))
        with Store.writing(self.store) as connection:
            for policy in policies:
                publish_policy(connection, policy, now=self.clock.now())
                self.known.policies[policy.id] = policy
            for program in workload.draw_journeys(self.plan):
                version = publish_version(connection, program, now=self.clock.now(), who="test")
                self.versions.append(version)
                self.known.journeys[version.name] = version.program.journey

    def _settle_people(self) -> None:
        with Store.writing(self.store) as connection:
            upsert_users_in(connection, self.store, [self._new(each) for each in self.people], self.clock.now())
            said = [
                NewConsent(each.user, channel, "marketing", True, self.start - DAY)
                for each in self.people
                for channel in ("sms", "email", "call", "task")
            ]
            record_consents(connection, said)
            for each in self.people:
                if each.settled_at < self.start:
                    self._event(connection, each.user, "loan_settled", each.settled_at)

    def _new(self, someone: Someone) -> NewUser:
        return NewUser(
            someone.user,
            phone=NewAddress(someone.phone, region="CN"),
            push=NewAddress(f"token-{someone.user}", subkind="fcm_token"),
            zones=someone.zones,
            locale="zh-CN",
            jurisdiction="CN",
            created_at=self.start - 400 * DAY,
            proved_at=self.start - DAY,
            attributes=workload.ELIGIBLE | {"tier": someone.tier},
        )

    def _event(self, connection: Connection, user: str, name: str, at: Instant) -> None:
        record_events(connection, [NewEvent(f"{user}:{name}:{at}", user, name, at, None)], self.clock.now())

    # --- processes ---------------------------------------------------------------------------------------------

    def setup(self) -> Setup:
        """One process's own setup; the loop of its providers is closed with it."""
        return Setup(
            self.store,
            self.providers,
            self.clock,
            self.folder / "spool",
            dispatcher=WovenDispatcher(self.loom),
            refs=lambda count: [f"{self.refs.getrandbits(96):024x}" for _ in range(count)],
            overlaps=self.plan.has("overlaps"),
        )

    def process(self, name: str, work: Callable[[Setup], object], *, after: int = 0, is_mortal: bool = True) -> None:
        """A process whose known troubles end it; whatever else it raises is a finding."""

        def live() -> None:
            setup = self.setup()
            try:
                work(setup)
            except RecallError as error:
                self.loom.count("failed passes")
                self.loom.note(f"{name} fails: {type(error).__name__}")
            finally:
                setup.dispatcher.close()  # type: ignore[attr-defined]

        self.loom.spawn(name, live, after=after, is_mortal=is_mortal)

    def insist(self, name: str, work: Callable[[Connection], object]) -> None:
        """A door of ours: what a person does is committed in the end, however often the store is busy."""

        def live() -> None:
            while True:
                try:
                    with self.store.writing() as connection:
                        work(connection)
                    return
                except StoreBusy:
                    self.loom.sleep(SECOND)

        self.loom.spawn(name, live, after=self.dice.randint(0, 20 * SECOND), is_mortal=False)

    # --- facts -------------------------------------------------------------------------------------------------

    def happen(self, fact: Fact) -> None:
        def work(connection: Connection) -> None:
            now = self.clock.now()
            self._write(connection, fact, now)
            self.known.learn(fact, now)  # a little before its commit: no time passes in between
            self.loom.note(f"{fact.kind} {fact.subject}")

        self.insist(f"{fact.kind} {fact.subject}", work)

    def _write(self, connection: Connection, fact: Fact, now: Instant) -> None:
        who, why = "somebody", "drawn"
        match fact.kind:
            case "goal":
                self._event(connection, fact.subject, "loan_drawn", fact.at)
            case "visited":
                self._event(connection, fact.subject, "visited", fact.at)
            case "settled":
                self._event(connection, fact.subject, "loan_settled", fact.at)
            case "opt_out":
                phone = self.known.people[fact.subject].phone
                opt_out_address(connection, self.store, kind=AddressKind.PHONE, value=phone, at=now)
            case "suppress":
                suppress_user(connection, self.store, user=fact.subject, at=now)
            case "ineligible" | "frozen":
                name = "overdue_days" if fact.kind == "ineligible" else "frozen_for_good"
                value = "5" if fact.kind == "ineligible" else "true"
                upsert_users_in(connection, self.store, [NewUser(fact.subject, attributes={name: value})], now)
            case "withdraw":
                record_consents(connection, [NewConsent(fact.subject, "sms", "marketing", False, now)])
            case "pause":
                set_control(connection, ControlKind.PAUSED, fact.subject, who=who, why=why, at=now)
            case "resume":
                clear_control(connection, ControlKind.PAUSED, fact.subject, who=who, why=why, at=now)
            case "kill_on":
                set_control(connection, ControlKind.KILL_SWITCH, "", who=who, why=why, at=now)
            case "kill_off":
                clear_control(connection, ControlKind.KILL_SWITCH, "", who=who, why=why, at=now)

    # --- rounds ------------------------------------------------------------------------------------------------

    def live(self) -> None:
        """Days full of faults."""
        self.loom.rates = workload.draw_rates(self.plan)
        end = self.start + self.plan.days * DAY
        while self.loom.time < end and self.rounds < MOST_ROUNDS:
            self.rounds += 1
            self._facts_and_receipts()
            if self.rounds == 1 or self._chance(0.6 if self.may_enter else 0.05):
                self._enrol()
            self._work()
            if self.dice.random() < 0.4:
                self.process("reconciler", reconcile, after=self.dice.randint(0, 200 * SECOND))
            if self.plan.has("replay") and self.dice.random() < 0.4:
                wanted = Wanted(self.dice.choice(self.versions).name)
                self.process("replay", lambda setup, w=wanted: replay(setup, w, dry_run=False, who="a", why="b"))
            self.loom.run()
            self._go_on(end)

    def _work(self) -> None:
        """Several workers where somebody is due or something happened; else now and then one, which finds nothing."""
        due, changed = self._with_due(), self._has_changes()
        for version in self.versions:
            count = self.dice.randint(1, self.plan.workers) if version in due else self._chance(0.8 if changed else 0.1)
            for number in range(count):
                after = self.dice.randint(0, 5 * SECOND)
                self.process(
                    f"worker {number} {version.name}", lambda setup, v=version: run_journey(setup, v.name), after=after
                )

    def _chance(self, rate: float) -> bool:
        return self.dice.random() < rate

    def drain(self) -> None:
        """All faults over, all switches off: everybody must come to an end."""
        self.loom.rates = Rates()
        for provider in self.providers.values():
            provider.temper = Temper()
        for fact in [fact for fact in self.facts if fact.kind in ("resume", "kill_off", "settled")]:
            self.happen(fact)
        self.facts = []
        self.loom.run()
        for number in range(MOST_DRAINING):
            self.rounds += 1
            self._facts_and_receipts()
            self._switch_on_again()
            if number == 0 or (number == 3 and self.plan.has("overlap")):
                self._enrol()
            self.loom.run()
            if number < 3 or number % 8 == 0:
                self.process("reconciler", reconcile)
                self.loom.run()
            for version in self._with_due():
                self.process(f"worker {version.name}", lambda setup, v=version: run_journey(setup, v.name))
                self.loom.run()
            if number > 3 and not self._active():
                break
            self._go_on(
                self.loom.time + 30 * DAY,
                may_oversleep=False,
                at_least=(20 * MINUTE, 3 * HOUR, 12 * HOUR)[min(number // 15, 2)],
            )
        self.loom.time += 3 * MINUTE
        self.process("reconciler", reconcile)
        self.loom.run()
        self.loom.time += 2 * MINUTE
        self.process("reconciler", reconcile)
        self.loom.run()

    def _switch_on_again(self) -> None:
        """A person lets everything go on, also templates and steps that recall stopped by itself."""
        with Store.writing(self.store) as connection:
            for on in list_controls(connection):
                now = self.clock.now()
                clear_control(connection, on.kind, on.subject, who="a", why="b", at=now)
                if on.kind in (ControlKind.PAUSED, ControlKind.KILL_SWITCH):
                    word = "resume" if on.kind is ControlKind.PAUSED else "kill_off"
                    self.known.learn(Fact(now, word, on.subject), now)

    def _with_due(self) -> list[Version]:
        due = f"select distinct version_id from enrolments where active and due_at <= {self.loom.time}"
        ids = {version_id for (version_id,) in self._look(due)}
        return [version for version in self.versions if version.id in ids]

    def _has_changes(self) -> bool:
        """Something was told that a run acts on."""
        told = "exists (select 1 from changed_users) or exists (select 1 from receipts where applied_at is null)"
        return bool(self._seen(f"select {told}"))

    def _seen(self, question: str) -> Any:
        """What the world itself looks up between two rounds, by the shortest way: the driver's own."""
        return self._look(question)[0][0]

    def _look(self, question: str) -> list[Any]:
        return self.window.dbapi_connection.execute(question).fetchall()  # type: ignore[union-attr]

    def _enrol(self) -> None:
        self.may_enter = False
        for version in self.versions:
            self.process(f"enrol {version.name}", lambda setup, v=version: enrol(setup.store, v, now=setup.clock.now()))

    def _facts_and_receipts(self) -> None:
        while self.facts and self.facts[0].at <= self.loom.time:
            self.may_enter |= self.facts[0].kind == "settled"
            self.happen(self.facts.pop(0))
        told = [receipt for at, receipt in self.book.receipts if at <= self.loom.time]
        if told:
            self.book.receipts = [(at, receipt) for at, receipt in self.book.receipts if at > self.loom.time]
            self.dice.shuffle(told)
            self.insist("web", lambda connection: record_receipts(connection, told, now=self.clock.now()))

    def _go_on(self, end: Instant, *, may_oversleep: bool = True, at_least: int = MINUTE) -> None:
        """On to the next moment at which anything may happen, or past it."""
        upcoming = [end, self.loom.time + DAY]
        upcoming += [fact.at for fact in self.facts[:1]]
        upcoming += [at for at, _ in self.book.receipts]
        first = self._seen("select min(due_at) from enrolments where active")
        upcoming += [] if first is None else [first]
        wait = max(min(upcoming) - self.loom.time, 0) + self.dice.randint(SECOND, 15 * MINUTE)
        if may_oversleep and self.plan.has("late_runs") and self.dice.random() < 0.15:
            wait += self.dice.choice((5 * HOUR, DAY, 4 * DAY))
        self.loom.time += max(wait, at_least)

    def _active(self) -> int:
        return int(self._seen("select count(*) from enrolments where active"))

    def close(self) -> None:
        self.window.close()

    def ledger(self) -> list[str]:
        """Every row that says what became of somebody, for comparing two lives of one seed."""
        with self.store.reading() as connection:
            return [
                json.dumps([str(value) for value in row])
                for table in (schema.sends, schema.enrolments, schema.decisions, schema.allowances)
                for row in connection.execute(select(table).order_by(*table.primary_key.columns))
            ]
