"""Who is due in a benchmark? The same people every time: eligible, reachable, with four past messages on average."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from journeys.compile import compile_journey
from journeys.loader import load_policy, read_journey
from journeys.policy import Policy
from journeys.templates import load_template
from recall.clock import DAY, Instant
from recall.store import schema
from recall.store.bulk import insert_rows
from recall.store.connect import Store
from recall.store.people import ensure_zones
from recall.store.policies import publish_policy
from recall.store.versions import Version, publish_version

ROOT = Path(__file__).parents[1]
NOW: Instant = 1_772_416_800_000_000  # Monday 2026-03-02, 10:00 in Shanghai
PROVIDER = "null"  # where the benchmarks' policy routes every message
PAST = 1_000_000_000  # added to a person's number: the id of an earlier, ended passage
_AT_ONCE = 20_000
CONVERTED, OPTED_OUT, SILENT, CAPPED = 5, 3, 11, 4  # percent of people, as in a real programme

JOURNEY = b"""
schema: recall.journey/v1
id: bench
title: A benchmark
policy: cn-consumer-finance
entry: {anchor: loan_settled, audience: {did: loan_settled}}
goal: {event: loan_drawn, window: 28d}
steps:
  - {sms: come-back}
  - {wait: 3d}
  - {sms: come-back, id: second}
"""


def publish(store: Store, *, provider: str, per_second: int = 1_000_000, name: str = "bench") -> Version:
    """The journey of the benchmarks, routed to one provider that nothing slows down."""
    content = load_policy(ROOT / "journeys/policies/cn-consumer-finance.yaml").noun.model_dump(
        mode="json", exclude_none=True
    )
    for route in content["routes"].values():
        route |= {"providers": [provider], "per_second": per_second}
    content["holdout"] = 0
    template = load_template(ROOT / "journeys/templates/come-back.yaml").noun
    journey = read_journey(JOURNEY.replace(b"id: bench", f"id: {name}".encode()), f"{name}.yaml").noun
    with store.writing() as connection:
        publish_policy(connection, Policy.model_validate(content), now=NOW)
        program = compile_journey(journey, templates={"come-back": template})
        return publish_version(connection, program, now=NOW, who="benchmark")


def seed(store: Store, version: Version, people: int) -> int:
    """Enrol `people` users, all due now; returns how many of them the gate must let go."""
    with store.writing() as connection:
        zones = ensure_zones(connection, [("Asia/Shanghai",)])
        zone_id = next(iter(zones.values()))
    numbers = iter(range(1, people + 1))
    while some := list(islice(numbers, _AT_ONCE)):
        _people(store, version, some, zone_id)
    if store.is_postgresql:
        settle_down(store, people)
    return going(people)


def settle_down(store: Store, people: int) -> None:
    """Let PostgreSQL finish what seeding left behind: numbers, dead rows, statistics, dirty pages."""
    with store.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for table in ("users", "addresses", "events", "enrolments"):
            connection.exec_driver_sql(f"select setval(pg_get_serial_sequence('{table}', 'id'), {people})")
        connection.exec_driver_sql("vacuum analyze")
        connection.exec_driver_sql("checkpoint")


def going(people: int) -> int:
    """How many of the first `people` the gate must let go."""
    return sum(1 for n in range(1, people + 1) if fate(n) == "go")


def fate(n: int) -> str:
    """What is true of the n-th person: spread evenly, the same in every run."""
    draw = n * 7919 % 100
    for name, share in (("converted", CONVERTED), ("opted_out", OPTED_OUT), ("silent", SILENT), ("capped", CAPPED)):
        if draw < share:
            return name
        draw -= share
    return "go"


def _people(store: Store, version: Version, numbers: list[int], zone_id: int) -> None:
    with store.writing() as connection:
        for table, columns, rows in _rows(version, numbers, zone_id):
            insert_rows(connection, table, columns, rows)


def _rows(
    version: Version, numbers: list[int], zone_id: int
) -> Iterator[tuple[Any, tuple[str, ...], list[tuple[Any, ...]]]]:
    s = schema
    yield (
        s.addresses,
        ("id", "kind", "value", "hash", "region", "opted_out", "proved_at", *_LAST, "m1", "m2", "m3", "m4"),
        [
            (n, "phone", f"+86138{n:08d}", f"h{n}", "CN", _opted_out(n), NOW - DAY, *_last(n, 8), *_last(n, 4))
            for n in numbers
        ],
    )
    yield (
        s.users,
        ("id", "user_id", "zone_id", "locale", "jurisdiction", "phone_id", "created_at"),
        [(n, f"u{n}", zone_id, "zh-CN", "CN", n, NOW - 400 * DAY) for n in numbers],
    )
    yield (
        s.user_attributes,
        ("user_id", "name", "value", "number"),
        [
            (n, name, value, 0.0 if value == "0" else None)
            for n in numbers
            for name, value in (("overdue_days", "0"), ("frozen", "false"), ("fraud_review", "false"))
        ],
    )
    yield (
        s.consent_state,
        ("user_id", "brand", "purpose", "channel", "consent_id", "granted", "at"),
        [(n, "default", "marketing", "sms", n, True, NOW - DAY) for n in numbers],
    )
    yield (
        s.contact_state,
        ("user_id", "brand", *_LAST, "sms1", "sms2", "sms3", "sms4", "streak"),
        [(n, "default", *_last(n, 8), *_last(n, 4), _streak(n)) for n in numbers],
    )
    yield (
        s.events,
        ("id", "key", "user_id", "name", "at", "recorded_at"),
        [(n, f"e{n}", n, "loan_drawn", _drawn(n), NOW) for n in numbers],
    )
    yield (
        s.user_events,
        ("user_id", "name", "first_at", "last_at", "last_event_id", "times"),
        [(n, "loan_drawn", _drawn(n), _drawn(n), n, 1) for n in numbers],
    )
    columns = (
        "id", "journey_id", "version_id", "user_id", "entry_key", "anchor_at", "entered_at", "active", "step_id",
        "due_at", "first_due_at", "base_at", "goal_until", "ended_at", "end_reason",
    )  # fmt: skip
    yield s.enrolments, columns, [
        (n, version.journey_id, version.id, n, f"k{n}", NOW - 40 * DAY, NOW - 10 * DAY, True, 0, NOW, NOW, NOW,
         NOW + 18 * DAY, None, None)
        for n in numbers
    ]  # fmt: skip
    yield s.enrolments, columns, [_passage(version, n) for n in numbers if past(n)]
    yield s.sends, _SEND_COLUMNS, [row for n in numbers for row in _messages(version, n)]


# --- what went before -------------------------------------------------------------------------------------------

_LAST = tuple(f"s{k}" for k in range(1, 9))
_SEND_COLUMNS = (
    "ref", "enrolment_id", "journey_id", "version_id", "step_id", "grp", "channel", "user_id", "address_id", "state",
    "provider", "provider_id", "gate_at", "settled_at", "expires_at", "counted", "body_hash", "policy_hash",
    "consent_id", "price", "currency", "segments", "due_at", "first_due_at", "delivered_at",
)  # fmt: skip


def past(n: int) -> list[Instant]:
    """When the n-th person was messaged before, newest first: zero to eight times."""
    fated = fate(n)
    if fated == "capped":
        return [NOW - days * DAY for days in (1, 2, 3, 40)]
    times = max(n * 2_654_435_761 % 9, 3 if fated == "silent" else 0)
    return [NOW - days * DAY - n % 3_600 * 1_000_000 for days in (9, 20, 40, 60, 80, 100, 120, 140)[:times]]


def _last(n: int, length: int) -> tuple[Instant | None, ...]:
    times = past(n)[:length]
    return (*times, *[None] * (length - len(times)))


def _opted_out(n: int) -> int:
    """Bit mask of channels."""
    return 2 if fate(n) == "opted_out" else 0


def _streak(n: int) -> int:
    return 3 if fate(n) == "silent" else min(1, len(past(n)))


def _passage(version: Version, n: int) -> tuple[object, ...]:
    """An earlier passage of the n-th person, long ended."""
    began, ended = NOW - 150 * DAY, NOW - 8 * DAY
    return (
        PAST + n, version.journey_id, version.id, n, f"past{n}", began, began, False, 2, began, began, began,
        began + 28 * DAY, ended, "finished",
    )  # fmt: skip


def _messages(version: Version, n: int) -> list[tuple[object, ...]]:
    """The ledger of that passage; bodies were erased long ago."""
    return [
        (f"past-{n}-{k}", PAST + n, version.journey_id, version.id, 0, k, "sms", n, n, "accepted", PROVIDER,
         f"p{n}-{k}", at, at, at + 3 * DAY, True, f"{n:064x}", "0" * 64, n, 45_000, "CNY", 1, at, at, at + 60_000_000)
        for k, at in enumerate(past(n))
    ]  # fmt: skip


def _drawn(n: int) -> Instant:
    return NOW - (DAY if fate(n) == "converted" else 60 * DAY)
