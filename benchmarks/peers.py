"""How do others do it? One Prefect task per user, and a loop of sixteen threads with a transaction per user.

    .venv/bin/python -m benchmarks.peers engine|batch|loop|tasks [--people 20000]

Each at a size at which it runs steadily, so that rates are compared and not how something starts: the engine with
20,000 people, the peers with a thousand or two, of which they have more than enough. All on PostgreSQL, one message
per request over HTTP (`batch`: 500), the same far end, which answers at once. The peers ask a gate of their own
in plain SQL: the same row locks and the same rules the seed touches (converted, opted out, unresponsive, caps, consent,
eligible). They write the same send, contact state and next step. Missing there: windows, holdout, budgets, priorities,
expiry, doubts, decisions, the caps of addresses.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import queue
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import psutil
import psycopg

from benchmarks import places, seed
from benchmarks.engine import Way, check
from benchmarks.engine import measure as run_engine
from benchmarks.meter import Meter
from benchmarks.stub import Stub, running
from benchmarks.written import opened
from recall.clock import DAY, HOUR
from recall.store.connect import open_store
from recall.store.gate_pass import new_refs

THREADS = 16
PEOPLE = {"engine": 20_000, "batch": 20_000, "loop": 2_000, "tasks": 1_000}  # what keeps each busy for seconds
_NOW = seed.NOW + 1

_GATE = f"""
select e.id, e.user_id, a.id, a.value, e.version_id, e.journey_id, case
    when exists (select 1 from user_events v where v.user_id = e.user_id and v.name = 'loan_drawn'
                 and v.last_at > e.anchor_at) then 'goal_reached'
    when exists (select 1 from user_attributes t where t.user_id = e.user_id and t.value not in ('0', 'false'))
        then 'not_eligible'
    when s.streak >= 3 then 'unresponsive'
    when a.opted_out & 2 <> 0 then 'opted_out'
    when c.granted is not true then 'no_consent'
    when greatest(s.s3, a.s3) > {_NOW - 7 * DAY} or greatest(s.sms1, a.m1) > {_NOW - 24 * HOUR} then 'capped'
end
from enrolments e join users u on u.id = e.user_id
join contact_state s on s.user_id = e.user_id and s.brand = 'default' join addresses a on a.id = u.phone_id
left join consent_state c on c.user_id = u.id and c.brand = 'default' and c.purpose = 'marketing' and c.channel = 'sms'
where e.id = %s and e.active and e.due_at <= {_NOW} for update of e, s, a
"""
_SEND = f"""
insert into sends (ref, enrolment_id, journey_id, version_id, step_id, channel, user_id, address_id, state, provider,
    gate_at, counted, body, body_hash, policy_hash, due_at, first_due_at)
values (%s, %s, %s, %s, 0, 'sms', %s, %s, 'calling', 'peer', {_NOW}, true, %s, '', '', {seed.NOW}, {seed.NOW})
"""
_COUNTED = f"""
update contact_state set s8 = s7, s7 = s6, s6 = s5, s5 = s4, s4 = s3, s3 = s2, s2 = s1, s1 = {_NOW},
    sms4 = sms3, sms3 = sms2, sms2 = sms1, sms1 = {_NOW}, streak = streak + 1 where user_id = %s
"""
_GONE = f"update enrolments set step_id = 1, due_at = {_NOW + 3 * DAY}, base_at = {_NOW} where id = %s"
_HELD = f"update enrolments set due_at = {_NOW + DAY}, reason = %s where id = %s"
_ANSWER = f"update sends set state = 'accepted', provider_id = %s, settled_at = {_NOW} where ref = %s"
_TEXT = "【示例金融】您的借款已结清，额度仍可使用，可登录App查看。拒收请回复R"


class Hand:
    """One connection to the store and one to the provider, used by one user at a time."""

    def __init__(self, url: str, stub: str) -> None:
        self.store = psycopg.connect(url)
        self.vendor = http.client.HTTPConnection(urlsplit(stub).netloc)

    def send(self, enrolment: int) -> int:
        """One user: gate, call, record; 1 when a message went out."""
        (ref,) = new_refs(1)
        with self.store.transaction():
            found = self.store.execute(_GATE, (enrolment,)).fetchone()
            if found is None:
                return 0
            _, user, address, phone, version, journey, reason = found
            if reason is not None:
                self.store.execute(_HELD, (reason, enrolment))
                return 0
            self.store.execute(_SEND, (ref, enrolment, journey, version, user, address, _TEXT))
            self.store.execute(_COUNTED, (user,))
            self.store.execute(_GONE, (enrolment,))
        self.vendor.request("POST", "/send", json.dumps({"ref": ref, "to": phone, "text": _TEXT}))
        answer = json.loads(self.vendor.getresponse().read())
        with self.store.transaction():
            self.store.execute(_ANSWER, (answer["id"], ref))
        return 1


class Hands:
    """As many as there are threads."""

    def __init__(self, url: str, stub: str) -> None:
        self._free: queue.SimpleQueue[Hand] = queue.SimpleQueue()
        for _ in range(THREADS):
            self._free.put(Hand(url, stub))

    def send(self, enrolment: int) -> int:
        hand = self._free.get()
        try:
            return hand.send(enrolment)
        finally:
            self._free.put(hand)


Peer = Callable[[Hands, list[int], dict[str, int | None]], tuple[int, Meter]]


def loop(hands: Hands, due: list[int], roots: dict[str, int | None]) -> tuple[int, Meter]:
    """Sixteen threads, each taking the next user."""
    meter = Meter.of(**roots)
    with meter.section(), ThreadPoolExecutor(THREADS) as pool:
        return sum(pool.map(hands.send, due)), meter


def tasks(hands: Hands, due: list[int], roots: dict[str, int | None]) -> tuple[int, Meter]:
    """A flow that maps a task over all users, as most people begin."""
    with tempfile.TemporaryDirectory(prefix="recall-benchmark-prefect-") as home:
        ours = {"DO_NOT_TRACK": "1", "PREFECT_HOME": home, "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
        os.environ |= ours | {"PREFECT_LOGGING_LEVEL": "WARNING"}
        from prefect import flow, task
        from prefect.cache_policies import NO_CACHE
        from prefect.task_runners import ThreadPoolTaskRunner
        from prefect.testing.utilities import prefect_test_harness

        @task(cache_policy=NO_CACHE, persist_result=False)
        def send(enrolment: int) -> int:
            return hands.send(enrolment)

        @flow(task_runner=ThreadPoolTaskRunner(max_workers=THREADS), persist_result=False)  # type: ignore[arg-type]
        def everybody(some: list[int]) -> int:
            return sum(send.map(some).result())

        with prefect_test_harness(server_startup_timeout=120):
            everybody([])
            meter = Meter.of(**roots, prefect=server_pid())
            with meter.section():
                sent = everybody(due)
        return sent, meter


def server_pid() -> int | None:
    """The server's process: the one child of ours that is not the stub."""
    for child in psutil.Process().children():
        if any("prefect" in part for part in child.cmdline()):
            return int(child.pid)
    return None


def measure(peer: Peer, people: int) -> dict[str, Any]:
    with places.alone(), places.copy_of("postgresql", *places.people(people)) as (url, folder), running() as stub:
        store = open_store(places.settings_of(url, folder))
        durability = places.durability(store)
        sent, meter = _run(peer, url, stub, people)
        check(store, sent, people=people, taken=stub.counts()["messages"])
        store.close()
    told = meter.told(people, not_ours=["stub"])
    return {"what": f"peer {peer.__name__}", "store": "postgresql", **told, "durability": durability}


def _run(peer: Peer, url: str, stub: Stub, people: int) -> tuple[int, Meter]:
    with opened(url) as connection:
        due = [row[0] for row in connection.execute(f"select id from enrolments where id <= {people} order by id")]
    return peer(Hands(url, stub.url), due, {"postgresql": places.server().get_pid(), "stub": stub.pid})


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("who", choices=tuple(PEOPLE))
    parser.add_argument("--people", type=int, help="unless as many as keep it busy for seconds")
    asked = parser.parse_args()
    people = asked.people or PEOPLE[asked.who]
    if asked.who in ("engine", "batch"):
        way = Way("batch") if asked.who == "batch" else Way("single", at_once=64, delay=0.0)
        told = run_engine("postgresql", people, way)
    else:
        told = measure(loop if asked.who == "loop" else tasks, people)
    print(json.dumps(told))


if __name__ == "__main__":
    main()
