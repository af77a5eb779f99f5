"""How many webhooks a second does `recall serve` take, and does it lose one?

A real `recall serve` on loopback, as an operator starts it, takes signed posts of three vendors: Twilio (forms, one
status each), SendGrid (signed batches of 1 to 10), a 106-number gateway (JSON). Some come twice, some out of order.
The load is open-loop: every post has its moment, and its latency counts from there, however late it got its turn.
Afterwards the store is counted: what was answered 2xx stands there, and stands there once.

    python -m benchmarks.webhooks                             SQLite, 1,000 a second for 30 s
    python -m benchmarks.webhooks --postgresql --rate 500
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import psutil
from sqlalchemy import func, select

from benchmarks import seed
from benchmarks.served import database, free_port, served
from benchmarks.webhook_posts import OURS, Fact, Post, Vendors, ref_of
from recall.clock import SystemClock
from recall.settings import Settings, load
from recall.store import schema
from recall.store.bulk import insert_rows
from recall.store.connect import Store, open_store
from recall.store.migrations import migrate
from recall.store.suppressions import declare_suppressions
from recall.store.tokens import open_doors

PASS_EVERY = 60.0  # recall.web.loop: the reconciler's pass shall fall into the run


@dataclass
class Told:
    """What came of the posts."""

    seconds: list[float] = field(default_factory=list)  # from the scheduled moment to the answer
    statuses: Counter[str] = field(default_factory=Counter)
    kept: set[Fact] = field(default_factory=set)  # answered 2xx
    began: float = 0.0
    ended: float = 0.0


def fill(store: Store, people: int) -> None:
    """People with an accepted message each, and a policy that routes through all three vendors."""
    version = seed.publish(store, provider="outbox")
    seed.seed(store, version, people)
    now = SystemClock().now()
    common = (version.journey_id, version.id, 0, 9, "sms", "accepted", "twilio_sms", now, "h", "p", now, now)
    columns = (
        "journey_id", "version_id", "step_id", "grp", "channel", "state", "provider", "gate_at", "body_hash",
        "policy_hash", "due_at", "first_due_at", "id", "ref", "enrolment_id", "user_id", "address_id",
    )  # fmt: skip
    with store.writing() as connection:
        insert_rows(
            connection, schema.sends, columns, [(*common, n + OURS, ref_of(n), n, n, n) for n in range(1, people + 1)]
        )
        declare_suppressions(connection, "none", at=now)
        row = connection.execute(select(schema.policies)).one()
        content = json.loads(row.content)
        content["routes"]["sms"]["providers"] = ["twilio_sms", "cn_106"]
        content["routes"]["email"]["providers"] = ["sendgrid_email"]
        connection.execute(schema.policies.update().values(content=json.dumps(content)))


async def drive(url: str, posts: list[Post], *, rate: float, connections: int) -> Told:
    """Start each post at its moment, whatever became of the others."""
    told = Told()
    loop = asyncio.get_running_loop()
    connector = aiohttp.TCPConnector(limit=connections, keepalive_timeout=60)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=60)) as session:

        async def send(post: Post, moment: float) -> None:
            try:
                async with session.post(url + post.path, data=post.body, headers=post.headers) as answer:
                    await answer.read()
                    status = str(answer.status)
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                status = type(error).__name__
            told.seconds.append(loop.time() - moment)
            told.statuses[status] += 1
            if status[0] == "2":
                told.kept.update(post.facts)

        told.began = loop.time() + 0.05
        under_way = set()
        for n, post in enumerate(posts):
            moment = told.began + n / rate
            if (early := moment - loop.time()) > 0:
                await asyncio.sleep(early)
            task = asyncio.create_task(send(post, moment))
            under_way.add(task)
            task.add_done_callback(under_way.discard)
        while under_way:
            await asyncio.wait(set(under_way))
        told.ended = loop.time()
    return told


def losses(store: Store, told: Told, posts: list[Post]) -> dict[str, int]:
    """What the store lacks of what was answered 2xx, what stands twice, and what nobody told."""
    receipts = schema.receipts
    with store.reading() as connection:
        rows = connection.execute(
            select(receipts.c.provider, receipts.c.event_id, receipts.c.ref, func.count()).group_by(
                receipts.c.provider, receipts.c.event_id, receipts.c.ref
            )
        )
        found = [((provider, event_id, ref), count) for provider, event_id, ref, count in rows]
    there = {fact for fact, _ in found}
    said = {fact for post in posts for fact in post.facts}
    return {
        "lost": len(told.kept - there),
        "twice": sum(count > 1 for _, count in found),
        "never_told": len(there - said),
        "receipts": sum(count for _, count in found),
    }


@dataclass(frozen=True)
class Spent:
    """What the run cost, in CPU seconds of the server and of the generator, and bytes of the server at its end."""

    server: float
    generator: float
    memory: int


def measure(folder: Path, asked: argparse.Namespace, url: str) -> dict[str, object]:
    """The figures of one run against a store and a server of its own."""
    settings = _settings(folder, asked, url)
    store = open_store(settings)
    migrate(store.engine)
    fill(store, asked.people)
    vendors = Vendors(open_doors(settings), asked.people)
    os.environ["RECALL_PROVIDER_OPTIONS"] = vendors.options()
    warm, posts = vendors.posts(200), vendors.posts(int(asked.rate * asked.seconds))
    port = free_port()
    with served(folder, dict(os.environ), port) as server:
        told, spent = _run(server, f"http://127.0.0.1:{port}", asked, warm=warm, posts=posts)
    found = losses(store, told, posts + warm)
    store.close()
    return {**_figures(asked, told, spent, len(posts)), **found}


def _settings(folder: Path, asked: argparse.Namespace, url: str) -> Settings:
    """Of this process and of the server alike: both read the environment."""
    os.environ |= {
        "RECALL_DATABASE_URL": url,
        "RECALL_VAR_DIR": str(folder / "var"),
        "RECALL_ADDRESS_KEY": "an address key of the benchmark",
        "RECALL_SIGNING_KEYS": "a signing key of the benchmark",
        "RECALL_PUBLIC_URL": "https://recall.example.com",
        "RECALL_LOG_LEVEL": asked.log_level,
        "PYTHONPATH": str(seed.ROOT),
    }
    return load()


def _run(
    server: psutil.Process, url: str, asked: argparse.Namespace, *, warm: list[Post], posts: list[Post]
) -> tuple[Told, Spent]:
    """The load, after a little to warm up; without --at-once the reconciler passes a third of the way in."""
    up = time.monotonic()
    warmed = asyncio.run(drive(url, warm, rate=100, connections=asked.connections))
    if not asked.at_once:
        time.sleep(max(0.0, up + PASS_EVERY - asked.seconds / 3 - time.monotonic()))
    gc.collect()
    gc.disable()
    before, mine = server.cpu_times(), time.process_time()
    told = asyncio.run(drive(url, posts, rate=asked.rate, connections=asked.connections))
    after, mine_after = server.cpu_times(), time.process_time()
    told.kept |= warmed.kept
    spent = after.user + after.system - before.user - before.system
    return told, Spent(spent, mine_after - mine, server.memory_info().rss)


def _figures(asked: argparse.Namespace, told: Told, spent: Spent, count: int) -> dict[str, object]:
    seconds = sorted(told.seconds)
    return {
        "store": "postgresql" if asked.postgresql else "sqlite",
        "posts": count,
        "asked_per_second": asked.rate,
        "reached_per_second": round(count / (told.ended - told.began), 1),
        "statuses": dict(told.statuses),
        "p50_ms": round(_at(seconds, 0.50) * 1000, 1),
        "p99_ms": round(_at(seconds, 0.99) * 1000, 1),
        "max_ms": round(seconds[-1] * 1000, 1),
        "server_cpu_us_per_post": round(spent.server / count * 1e6),
        "generator_cpu_us_per_post": round(spent.generator / count * 1e6),
        "server_rss_mib": round(spent.memory / 2**20),
    }


def _at(ordered: list[float], share: float) -> float:
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rate", type=float, default=1000.0, help="posts per second")
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--connections", type=int, default=200, help="of all vendors together")
    parser.add_argument("--people", type=int, default=20_000, help="sends the receipts are about")
    parser.add_argument("--postgresql", action="store_true", help="instead of SQLite")
    parser.add_argument("--at-once", action="store_true", help="do not wait for the reconciler to pass meanwhile")
    parser.add_argument("--log-level", default="INFO", help="of the server")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="recall-webhooks-") as name:
        folder = Path(name)
        with database(folder, postgresql=asked.postgresql) as url:
            result = measure(folder, asked, url)
    for key, value in result.items():
        print(f"{key:>26}  {value}")
    print(json.dumps(result))
    return 1 if result["lost"] or result["twice"] or result["never_told"] else 0


if __name__ == "__main__":
    sys.exit(main())
