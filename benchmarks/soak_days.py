"""What happens in the days of a soak? The same every day: who settles, visits, draws a loan, and reads messages."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from sqlalchemy import text

from benchmarks.adapters import Adapter
from benchmarks.seed import NOW, ROOT
from journeys.compile import compile_journey
from journeys.loader import load_policy, read_journey
from journeys.policy import Policy
from journeys.templates import load_template
from journeys.words import Outcome, ReceiptKind
from providers.base import Capabilities, Outbound, SendResult
from recall.clock import DAY, HOUR, Instant
from recall.store.connect import Store
from recall.store.consents import NewConsent, record_consents
from recall.store.events import NewEvent, record_events
from recall.store.people import NewAddress, NewUser, upsert_users
from recall.store.policies import publish_policy
from recall.store.receipts import Receipt, record_receipts
from recall.store.versions import publish_version

START: Instant = NOW
PROVIDER, JOURNEY = "null", "soak"
EACH = 40  # days after which the same people settle a loan again
BUSY = 5  # one person in so many ever does; the others only stand in the store
VISITS_AFTER, DRAWS_AFTER, DRAWERS = 8, 4, 10  # days, days, percent
KEPT = "60d"
_AT_ONCE = 5_000

_TEXT = b"""
schema: recall.journey/v1
id: soak
title: A journey of many days
policy: cn-consumer-finance
entry:
  anchor: loan_settled
  audience: {all: [{did: loan_settled, between: [0d, 2d]}, {did_not: loan_drawn, since: loan_settled}]}
goal: {event: loan_drawn, window: 28d}
holdout: {percent: 5}
guardrails: {complaints: 1%, opt_outs: 5%, refusals: 20%}
steps:
  - {push: come-back}
  - {wait: 1d}
  - {branch: [{when: {attribute: frozen, is: "true"}, steps: [{exit: operator}]}]}
  - {sms: come-back}
  - {wait: {until: {clicked: sms-2}, at_most: 2d}}
  - {call: come-back}
"""


class Remembering(Adapter):
    """Takes every message on the spot, and remembers the refs until somebody asks for them."""

    caps = Capabilities(max_batch=1000, simulated=True)

    def __init__(self) -> None:
        self.taken: list[str] = []

    async def send(self, batch: Sequence[Outbound]) -> AsyncIterator[SendResult]:
        self.taken += [message.ref for message in batch]
        for message in batch:
            yield SendResult(message.ref, Outcome.ACCEPTED, provider_id=f"p-{message.ref}")

    def hand_over(self) -> list[str]:
        refs, self.taken = self.taken, []
        return refs


def bring(store: Store, people: int) -> None:
    """A published journey, and everybody it may ever reach."""
    _publish(store)
    for start in range(1, people + 1, _AT_ONCE):
        numbers = range(start, min(start + _AT_ONCE, people + 1))
        upsert_users(store, [_person(n) for n in numbers], START - DAY)
        with store.writing() as connection:
            record_consents(connection, [_consent(n, channel) for n in numbers for channel in ("sms", "call")])
    with store.writing() as connection:
        connection.execute(text("delete from changed_users"))
        connection.execute(text("analyze"))


def _publish(store: Store) -> None:
    rules = load_policy(ROOT / "journeys/policies/cn-consumer-finance.yaml").noun
    content = rules.model_dump(mode="json", exclude_none=True)
    for route in content["routes"].values():
        route |= {"providers": [PROVIDER], "per_second": 1_000_000}
    content["holdout"] = 0
    content["address_max_age"] = "3650d"
    content["retention"] = dict.fromkeys(("bodies", "links", "receipts", "events", "decisions"), KEPT)
    template = load_template(ROOT / "journeys/templates/come-back.yaml").noun
    program = compile_journey(read_journey(_TEXT, "soak.yaml").noun, templates={"come-back": template})
    with store.writing() as connection:
        publish_policy(connection, Policy.model_validate(content), now=START)
        publish_version(connection, program, now=START, who="benchmark")


def _person(n: int) -> NewUser:
    return NewUser(
        f"u{n}",
        phone=NewAddress(f"+86138{n:08d}", region="CN"),
        push=NewAddress(f"token-{n}", subkind="fcm_token"),
        zones=("Asia/Shanghai",),
        locale="zh-CN",
        jurisdiction="CN",
        created_at=START - 400 * DAY,
        proved_at=START - DAY,
        attributes={"overdue_days": "0", "frozen": "false", "fraud_review": "false"},
    )


def _consent(n: int, channel: str) -> NewConsent:
    return NewConsent(f"u{n}", channel, "marketing", True, START - DAY)


def tell(store: Store, people: int, day: int, refs: Sequence[str], *, now: Instant) -> int:
    """What people did since yesterday, and what vendors told about yesterday's messages; how much that was."""
    events = list(_events(people, day, now))
    for start in range(0, len(events), _AT_ONCE):
        record_events(store, events[start : start + _AT_ONCE], now)
    receipts = [_receipt(ref, ReceiptKind.DELIVERED, now) for ref in refs]
    receipts += [_receipt(ref, ReceiptKind.CLICKED, now) for ref in refs[::20]]
    with store.writing() as connection:
        record_receipts(connection, receipts, now=now)
    return len(events) + len(receipts)


def _events(people: int, day: int, now: Instant) -> list[NewEvent]:
    settled = [_event(n, "loan_settled", now) for n in _cohort(people, day)]
    drew = [_event(n, "loan_drawn", now) for n in _cohort(people, day - DRAWS_AFTER) if n // EACH % 100 < DRAWERS]
    visited = [_event(n, "visited", now) for n in _cohort(people, day - VISITS_AFTER)]
    return [*settled, *drew, *visited]


def _cohort(people: int, day: int) -> range:
    """Who settles a loan on this day: one busy person in forty, in turn."""
    return range(day % EACH + 1, people // BUSY + 1, EACH) if day >= 0 else range(0)


def _event(n: int, name: str, now: Instant) -> NewEvent:
    return NewEvent(f"{name}:{n}:{now}", f"u{n}", name, now - HOUR, {"amount": "5000"})


def _receipt(ref: str, kind: ReceiptKind, now: Instant) -> Receipt:
    return Receipt(PROVIDER, f"{ref}:{kind.value}", ref, kind, now - HOUR)


def left_over(store: Store) -> dict[str, int]:
    """Rows of inboxes that nobody took out."""
    waiting = {
        "changed_users": "select count(*) from changed_users",
        "receipts": "select count(*) from receipts where applied_at is null",
        "open sends": "select count(*) from sends where state in ('calling', 'in_doubt')",
    }
    with store.reading() as connection:
        return {name: int(connection.execute(text(ask)).scalar_one()) for name, ask in waiting.items()}
