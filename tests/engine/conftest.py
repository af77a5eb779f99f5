"""How does a test of the engine set its scene? A journey from text, a few people, the outbox as provider."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from journeys.compile import compile_journey
from journeys.loader import load_policy, read_journey
from journeys.policy import Policy
from journeys.templates import load_template
from providers.accepted import Accepted
from providers.outbox import Outbox, accepted_log
from recall.clock import DAY, FixedClock, Instant
from recall.engine.run import RunResult, run_journey
from recall.engine.setup import Setup
from recall.settings import Settings
from recall.store import schema
from recall.store.connect import Store
from recall.store.consents import NewConsent, record_consents
from recall.store.events import NewEvent, record_events
from recall.store.people import NewAddress, NewUser, upsert_users
from recall.store.policies import publish_policy
from recall.store.versions import Version, publish_version

SHIPPED = Path(__file__).parents[2] / "journeys"
ELIGIBLE = {"overdue_days": "0", "frozen": "false", "fraud_review": "false"}

SMALLEST = """
schema: recall.journey/v1
id: {name}
title: A journey of a test
policy: cn-consumer-finance
entry:
  anchor: loan_settled
  priority: {priority}
  {entry}
  audience: {{did: loan_settled}}
goal: {{event: loan_drawn, window: 28d}}
{more}
steps:
{steps}
"""
THREE_STEPS = """
  - {push: come-back}
  - {wait: 3d}
  - {sms: come-back}
  - {wait: 3d}
  - {call: come-back}
"""


@dataclass
class Scene:
    """A store, a clock that stands still until moved, and what providers took."""

    store: Store
    clock: FixedClock
    setup: Setup
    outbox: Path
    policies: dict[str, Policy] = field(default_factory=dict)

    @property
    def now(self) -> Instant:
        return self.clock.instant

    def publish(
        self,
        steps: str = THREE_STEPS,
        *,
        name: str = "settled-30d",
        more: str = "",
        entry: str = "",
        priority: int = 50,
        policy: Callable[[dict[str, Any]], None] | None = None,
    ) -> Version:
        """Publish a journey of these steps under cn-consumer-finance, changed by `policy` (in place, as JSON)."""
        text = SMALLEST.format(name=name, steps=steps, more=more, entry=entry, priority=priority)
        journey = read_journey(text.encode(), f"{name}.yaml").noun
        template = load_template(SHIPPED / "templates" / "come-back.yaml").noun
        rules = load_policy(SHIPPED / "policies" / "cn-consumer-finance.yaml").noun
        if policy is not None:
            content = rules.model_dump(mode="json", exclude_none=True)
            policy(content)
            rules = Policy.model_validate(content)
        program = compile_journey(journey, templates={"come-back": template})
        with self.store.writing() as connection:
            publish_policy(connection, rules, now=self.now)
            return publish_version(connection, program, now=self.now, who="test")

    def add_user(
        self, user: str, *, zone: str = "Asia/Shanghai", phone: str | None = None, region: str = "CN", **about: Any
    ) -> int:
        """A person who may be sent everything: phone, token, consents, eligible."""
        number = phone or f"+86138{int.from_bytes(user.encode(), 'big') % 10**8:08d}"
        consents = about.pop("consents", ("sms", "email", "call", "task"))
        new = NewUser(
            user,
            phone=NewAddress(number, region=region),
            push=NewAddress(f"token-{user}", subkind="fcm_token"),
            zones=(zone,) if zone else (),
            locale="zh-CN",
            jurisdiction="CN",
            created_at=self.now - 400 * DAY,
            proved_at=self.now - DAY,
            attributes=ELIGIBLE,
        )
        new = replace(new, **{**about, "attributes": {**ELIGIBLE, **about.get("attributes", {})}})
        upsert_users(self.store, [new], self.now)
        said = [NewConsent(user, channel, "marketing", True, self.now - DAY) for channel in consents]
        with self.store.writing() as connection:
            record_consents(connection, said)
        return self.row(user).id

    def row(self, user: str) -> Any:
        with self.store.reading() as connection:
            return connection.execute(select(schema.users).where(schema.users.c.user_id == user)).one()

    def event(self, user: str, name: str, *, at: Instant | None = None, **properties: str) -> None:
        moment = self.now if at is None else at
        new = NewEvent(f"{user}:{name}:{moment}", user, name, moment, properties or None)
        record_events(self.store, [new], self.now)

    def enrol(self, version: Version, *users: str, **values: Any) -> list[int]:
        """Put people on the first step, due now, without asking the audience."""
        start = version.program.start.node
        row = {
            "journey_id": version.journey_id,
            "version_id": version.id,
            "anchor_at": self.now - 30 * DAY,
            "entered_at": self.now,
            "priority": version.program.journey.entry.priority,
            "step_id": start,
            "due_at": self.now,
            "first_due_at": self.now,
            "base_at": self.now,
            "goal_until": self.now + 28 * DAY,
            "entry_key": f"test-{self.now}",
        } | values
        ids = []
        with self.store.writing() as connection:
            for user in users:
                user_id = self.row_in(connection, user)
                state = {"user_id": user_id, "brand": "default"}
                if not connection.execute(select(schema.contact_state).filter_by(**state)).first():
                    connection.execute(schema.contact_state.insert().values(**state))
                new = schema.enrolments.insert().values(user_id=user_id, **row).returning(schema.enrolments.c.id)
                ids.append(connection.execute(new).scalar_one())
        return ids

    def row_in(self, connection: Any, user: str) -> int:
        return connection.execute(select(schema.users.c.id).where(schema.users.c.user_id == user)).scalar_one()

    def run(self, journey: str = "settled-30d") -> RunResult:
        return run_journey(self.setup, journey)

    def later(self, micros: int) -> None:
        self.clock.instant += micros

    def accepted(self) -> list[Accepted]:
        """What the provider took, by its own log."""
        return list(accepted_log(self.outbox)) if self.outbox.exists() else []

    def sent(self) -> list[tuple[str, str]]:
        """(user, channel) of everything the provider took, in order."""
        return [(a.user, a.channel.value) for a in self.accepted()]

    def enrolment(self, enrolment_id: int) -> Any:
        with self.store.reading() as connection:
            return connection.execute(select(schema.enrolments).filter_by(id=enrolment_id)).one()

    def sends(self) -> list[Any]:
        with self.store.reading() as connection:
            return list(connection.execute(select(schema.sends).order_by(schema.sends.c.id)))

    def reasons(self) -> list[str]:
        """Reasons of the gate, oldest first."""
        with self.store.reading() as connection:
            return list(connection.execute(select(schema.decisions.c.reason).order_by(schema.decisions.c.id)).scalars())


@pytest.fixture
def scene(store: Store, settings: Settings, now: Instant) -> Iterator[Scene]:
    clock = FixedClock(now)
    outbox = settings.var_dir / "outbox"
    providers = {"outbox": Outbox(outbox, clock=clock)}
    yield Scene(store, clock, Setup(store, providers, clock, settings.var_dir / "spool"), outbox)
