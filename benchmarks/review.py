"""How long does the weekly page of a large programme take? Seeds a store, writes the page in a process of its own.

python benchmarks/review.py [--users 100000] [--days 90] [--database URL]
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.seed import JOURNEY, NOW  # noqa: E402
from journeys.compile import compile_journey  # noqa: E402
from journeys.loader import load_policy, read_journey  # noqa: E402
from journeys.templates import load_template  # noqa: E402
from recall.clock import DAY  # noqa: E402
from recall.settings import load  # noqa: E402
from recall.store import schema  # noqa: E402
from recall.store.bulk import insert_rows  # noqa: E402
from recall.store.connect import Store, open_store  # noqa: E402
from recall.store.migrations import migrate  # noqa: E402
from recall.store.people import ensure_zones  # noqa: E402
from recall.store.policies import publish_policy  # noqa: E402
from recall.store.versions import Version, publish_version  # noqa: E402

_AT_ONCE = 10_000
_BASE, _LIFT = 0.10, 0.03
PROGRAMME_PERCENT = 5
EVENTS = ("visited", "application_started", "credit_granted", "loan_settled")


def _open(database: str, folder: Path) -> Store:
    return open_store(load(var_dir=folder, database_url=database, address_key="benchmark", allow_weak_durability=True))


def fill(store: Store, users: int, days: int) -> None:
    """`users` passages over `days` days, three messages each, about ten events each."""
    migrate(store.engine)
    version = _publish(store)
    with store.writing() as connection:
        zone = next(iter(ensure_zones(connection, [("Asia/Shanghai",)]).values()))
    chance = random.Random(1)
    numbers = iter(range(1, users + 1))
    while some := list(islice(numbers, _AT_ONCE)):
        with store.writing() as connection:
            for table, columns, rows in _rows(version, some, zone, days, chance):
                insert_rows(connection, table, columns, rows)


def _publish(store: Store) -> Version:
    """The benchmarks' journey with both holdouts, so that the page shows results."""
    journey = read_journey(JOURNEY + b"holdout: {percent: 10}\n", "bench.yaml").noun
    policy = load_policy(ROOT / "journeys/policies/cn-consumer-finance.yaml").noun
    template = load_template(ROOT / "journeys/templates/come-back.yaml").noun
    with store.writing() as connection:
        publish_policy(connection, policy.model_copy(update={"holdout": PROGRAMME_PERCENT}), now=NOW - 400 * DAY)
        program = compile_journey(journey, templates={"come-back": template})
        return publish_version(connection, program, now=NOW - 400 * DAY, who="benchmark")


def _side(chance: random.Random) -> str:
    if chance.random() < PROGRAMME_PERCENT / 100:
        return "programme"
    return "journey" if chance.random() < 0.10 else "treated"


def _rows(
    version: Version, numbers: list[int], zone: int, days: int, chance: random.Random
) -> Iterator[tuple[object, tuple[str, ...], list[tuple]]]:
    s = schema
    yield s.users, ("id", "user_id", "zone_id", "created_at"), [(n, f"u{n}", zone, NOW - 400 * DAY) for n in numbers]
    enrolments, sends, events, latest = [], [], [], []
    for n in numbers:
        entered = NOW - int(chance.random() * days * DAY) - 1
        side = _side(chance)
        held_out = side != "treated"
        came = chance.random() < _BASE + (0 if held_out else _LIFT)
        goal = entered + int(chance.random() * 28 * DAY) if came else None
        goal = goal if goal is not None and goal <= NOW else None
        enrolments.append(
            (n, version.journey_id, version.id, n, "k", entered, entered, side, False,
             entered + 15 * DAY, "finished", 0, entered, entered, entered, entered + 28 * DAY, goal,
             10_000_000 if goal else None)
        )  # fmt: skip
        for k in range(3):
            at = entered + k * 3 * DAY + 1
            done = at + 60_000_000
            sends.append(
                (n * 4 + k, f"r{n}-{k}", n, version.journey_id, version.id, k % 2, k, "sms", n, 0,
                 "shadow" if held_out else "accepted", "outbox", at, "", "", 0 if held_out else 45_000, "CNY", at, at,
                 None if held_out or chance.random() > 0.95 else done,
                 None if held_out or chance.random() > 0.04 else done)
            )  # fmt: skip
        seen = sorted(NOW - int(chance.random() * 120 * DAY) for _ in range(9))
        names = [chance.choice(EVENTS) for _ in seen]
        happened = [*zip(seen, names, strict=True), *([(goal, "loan_drawn")] if goal else [])]
        events += [(n * 16 + i, f"e{n}-{i}", n, name, at, at) for i, (at, name) in enumerate(happened)]
        for name in {name for _, name in happened}:
            times = [at for at, each in happened if each == name]
            latest.append((n, name, min(times), max(times), n * 16, len(times)))
    yield s.enrolments, (
        "id", "journey_id", "version_id", "user_id", "entry_key", "anchor_at", "entered_at", "holdout", "active",
        "ended_at", "end_reason", "step_id", "due_at", "first_due_at", "base_at", "goal_until", "goal_at", "goal_value",
    ), enrolments  # fmt: skip
    yield s.sends, (
        "id", "ref", "enrolment_id", "journey_id", "version_id", "step_id", "grp", "channel", "user_id", "address_id",
        "state", "provider", "gate_at", "body_hash", "policy_hash", "price", "currency", "due_at", "first_due_at",
        "delivered_at", "clicked_at",
    ), sends  # fmt: skip
    yield s.events, ("id", "key", "user_id", "name", "at", "recorded_at"), events
    yield s.user_events, ("user_id", "name", "first_at", "last_at", "last_event_id", "times"), latest


def measure(database: str, folder: Path) -> None:
    """One page, in this process: seconds and peak memory as JSON."""
    from recall.measure.review import write_review

    store = _open(database, folder)
    began = time.perf_counter()
    page = write_review(store, folder / "review.html", now=NOW)
    seconds = time.perf_counter() - began
    cpu = time.process_time()  # of the whole process, imports included; a busy machine changes it little
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        json.dumps(
            {
                "seconds": round(seconds, 2),
                "cpu_seconds": round(cpu, 2),
                "peak_mib": round(peak),
                "page_kib": page.stat().st_size // 1024,
            }
        )
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--days", type=int, default=90)
    parser.add_argument("--database", default="")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        measure(given.database, given.measure)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        database = given.database or f"sqlite:///{folder / 'recall.db'}"
        store = _open(database, folder)
        fill(store, given.users, given.days)
        store.close()
        command = [sys.executable, __file__, "--measure", str(folder), "--database", database]
        run = subprocess.run(command, check=True, capture_output=True, text=True)
        print(json.dumps({"users": given.users, "days": given.days, **json.loads(run.stdout)}))


if __name__ == "__main__":
    main()
