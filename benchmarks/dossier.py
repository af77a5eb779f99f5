"""How long does it take to tell a person everything that is held about them? `recall dossier USER --json`, as typed.

    python benchmarks/dossier.py [USERS]

Makes a store of so many people (100,000 unless told), each with 20 events and three consents, and asks for
ten of them. Prints a line per figure and, last, one JSON object. Target: below one second each.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from recall.clock import DAY, Instant
from recall.settings import load
from recall.store import schema
from recall.store.connect import Store, confirm_address_key, open_store
from recall.store.migrations import migrate

USERS, ASKED, KEY = 100_000, 10, "a key that is only used in benchmarks"
NOW: Instant = 1_772_416_800_000_000
CHUNK = 5_000


def fill(store: Store, users: int) -> None:
    """People by the thousand; what a dossier reads, and nothing else."""
    with store.writing() as connection:
        connection.execute(schema.zones.insert().values(id=1, names="Asia/Shanghai"))
    for first in range(1, users + 1, CHUNK):
        ids = range(first, min(first + CHUNK, users + 1))
        phones = [{"id": n, "kind": "phone", "value": f"+86138{n:08d}", "hash": f"h{n}"} for n in ids]
        people = [{"id": n, "user_id": f"u{n}", "zone_id": 1, "phone_id": n, "created_at": NOW} for n in ids]
        with store.writing() as connection:
            connection.execute(schema.addresses.insert(), phones)
            connection.execute(schema.users.insert(), people)
            connection.execute(
                schema.user_addresses.insert(), [{"user_id": n, "address_id": n, "since": NOW} for n in ids]
            )
            connection.execute(schema.events.insert(), [each for n in ids for each in _events(n)])
            connection.execute(schema.consents.insert(), [each for n in ids for each in _consents(n)])


def _events(user: int) -> list[dict[str, object]]:
    about = {"user_id": user, "name": "visited", "recorded_at": NOW}
    return [{**about, "key": f"{user}:{k}", "at": NOW - k * DAY, "properties": '{"page":"loan"}'} for k in range(20)]


def _consents(user: int) -> list[dict[str, object]]:
    about = {"user_id": user, "purpose": "marketing", "granted": True, "at": NOW, "source": "app", "wording": "v1"}
    return [{**about, "key": f"{user}:{channel}", "channel": channel} for channel in ("sms", "call", "email")]


def ask(url: str, user: str) -> tuple[float, float]:
    """Wall and processor seconds of one call."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    begun = time.monotonic()
    environment = {**os.environ, "RECALL_ADDRESS_KEY": KEY}
    command = [sys.executable, "-m", "recall.cli.main", "dossier", user, "--database", url, "--json"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    wall, after = time.monotonic() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    assert len(json.loads(done.stdout)["events"]) == 20
    return wall, after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime


def main(users: int) -> None:
    with tempfile.TemporaryDirectory(prefix="recall-dossier-") as folder:
        url = f"sqlite:///{Path(folder) / 'recall.db'}"
        store = open_store(load(database_url=url, address_key=KEY))
        migrate(store.engine)
        confirm_address_key(store)
        fill(store, users)
        store.close()
        times = [ask(url, f"u{1 + n * users // ASKED}") for n in range(ASKED)]
    figures = {
        "users": users,
        "median_seconds": round(statistics.median(wall for wall, _ in times), 3),
        "slowest_seconds": round(max(wall for wall, _ in times), 3),
        "median_cpu_seconds": round(statistics.median(cpu for _, cpu in times), 3),
    }
    for name, value in figures.items():
        sys.stdout.write(f"{name:20} {value}\n")
    sys.stdout.write(json.dumps(figures) + "\n")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else USERS)
