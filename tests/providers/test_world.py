"""Do simulated people get messages, react, and tell the same story however they are asked?"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import phonenumbers
import pytest
import yaml

from journeys.words import AddressKind, Cause, Channel, Outcome, ReceiptKind
from providers import world_file
from providers.base import Address, Content, Outbound, ProviderEvent, SendResult
from providers.faults import Fail, Fault, switch_fault
from providers.happenings import Event
from providers.nature import Stage
from providers.people import Person, is_dead
from providers.registry import open_provider
from providers.world import World, accepted_log, people, populate, truth
from providers.world_desk import Mishaps
from recall.clock import DAY, HOUR, FixedClock
from recall.errors import Misconfigured
from recall.settings import load
from tests.providers.contract import ProviderContract, Rig

NOW = 1_772_416_800_000_000  # 2026-03-02 02:00 UTC
SEED = 11


@pytest.fixture(scope="session")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A world nobody has written to; copied for each test."""
    path = tmp_path_factory.mktemp("world") / "world.db"
    populate(path, n=1500, seed=SEED, start=NOW, days=90)
    return path


@pytest.fixture(scope="session")
def hamlet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small world, with a few dead phones in it."""
    path = tmp_path_factory.mktemp("hamlet") / "world.db"
    populate(path, n=120, seed=SEED, start=NOW, days=60)
    return path


@pytest.fixture
def path(fresh: Path, tmp_path: Path) -> Path:
    return copy_of(fresh, tmp_path / "world.db")


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(NOW + 14 * DAY)  # everybody is dormant by then


def copy_of(path: Path, to: Path) -> Path:
    with sqlite3.connect(path) as source, sqlite3.connect(to) as target:
        source.backup(target)
    source.close()
    target.close()
    return to


def message(person: Person, channel: Channel = Channel.SMS, *, ref: str = "") -> Outbound:
    return Outbound(
        ref=ref or f"{channel}-{person.user}",
        channel=channel,
        user=person.user,
        address=person.address(channel),
        content=Content(body="【示例】欢迎回来 拒收请回复R", title="回来"),
        sender="",
        not_after=NOW + 90 * DAY,
    )


def send(world: World, messages: Iterable[Outbound]) -> list[SendResult]:
    async def all_of() -> list[SendResult]:
        return [result async for result in world.send(list(messages))]

    return asyncio.run(all_of())


def reachable(path: Path) -> list[Person]:
    return [one for one in people(path) if not is_dead(SEED, one.address(Channel.SMS))]


def everything(world: World) -> list[Event | ProviderEvent]:
    happened = world.take_until(NOW + 365 * DAY, 10**9)
    return [*happened.events, *happened.receipts, *happened.opt_outs]


class TestWorldKeepsTheContract(ProviderContract):
    @pytest.fixture
    def rig(self, hamlet: Path, tmp_path: Path, clock: FixedClock) -> Rig:
        path = copy_of(hamlet, tmp_path / "world.db")
        alive = reachable(path)
        dead = next(one for one in people(path) if is_dead(SEED, one.address(Channel.SMS)))
        stopped = alive.pop()
        with world_file.world_open(path) as connection:
            world_file.add_stop(connection, stopped.phone, "sms", NOW)
        world = World(path, clock=clock)
        return Rig(
            provider=world,
            clock=clock,
            message=lambda n: message(alive[n]),
            refused=lambda: message(dead),
            opted_out=lambda: message(stopped),
            break_it=lambda fail: switch_fault(world.folder, Fault(fail=fail, retry_after_seconds=7) if fail else None),
            accepted=lambda: [row.ref for row in accepted_log(path)],
        )


# --- who lives there --------------------------------------------------------------------------------------


def test_people_are_what_a_host_would_import(path: Path):
    everybody = list(people(path))
    assert len(everybody) == 1500
    assert len({one.user for one in everybody}) == 1500
    assert all(len(one.user) == 19 for one in everybody)
    assert all(phonenumbers.is_valid_number(phonenumbers.parse(one.phone)) for one in everybody)
    assert {one.jurisdiction for one in everybody} == {"CN"}
    assert all(one.attributes["overdue_days"] == "0" and one.attributes["frozen"] == "false" for one in everybody)
    assert len({one.zone for one in everybody}) > 1
    for one in everybody:
        channels = {consent.channel for consent in one.consents if consent.granted}
        assert (Channel.PUSH in channels) == bool(one.push_token)
        assert (Channel.EMAIL in channels) == bool(one.email)
        assert all(consent.at == one.created_at for consent in one.consents)
        assert one.created_at <= one.proved_at
        assert one.phone not in repr(one)
    assert 0 < 1500 - len({one.phone for one in everybody}) < 40  # families share a number


def test_the_past_is_told_first_and_fits_the_stage(path: Path, clock: FixedClock):
    world = World(path, clock=clock)
    histories: dict[str, list[str]] = {}
    for event in world.take_until(NOW + 14 * DAY, 10**9).events:
        histories.setdefault(event.user, []).append(event.name)
    last = {
        Stage.REGISTERED: "registered",
        Stage.APPLICATION: "application_started",
        Stage.GRANTED: "credit_granted",
        Stage.SETTLED: "loan_settled",
    }
    for one in people(path):
        history = histories[one.user]
        assert history[0] == "registered"
        assert last[one.stage] in history


@pytest.mark.parametrize(
    ("journey", "stage"),
    [
        ("registered-3d", Stage.REGISTERED),
        ("application-3d", Stage.APPLICATION),
        ("granted-7d", Stage.GRANTED),
        ("settled-30d", Stage.SETTLED),
    ],
)
def test_each_stage_can_enter_its_journey_and_reach_the_goal(path: Path, clock: FixedClock, journey: str, stage: Stage):
    text = (Path(__file__).parents[2] / "journeys" / "catalogue" / f"{journey}.yaml").read_text("utf-8")
    written = yaml.safe_load(text)
    events = World(path, clock=clock).take_until(NOW + 365 * DAY, 10**9).events
    users = {one.user for one in people(path) if one.stage is stage}
    assert {event.user for event in events if event.name == written["entry"]["anchor"]} >= users
    goals = written["goal"].get("any") or [written["goal"]["event"]]
    entered = {one.user: one.enters_at for one in truth(path) if one.user in users}
    assert any(event.user in users and event.at > entered[event.user] for event in events if event.name in goals)


def test_people_agreed_to_what_the_shipped_policy_asks_for(path: Path):
    text = (Path(__file__).parents[2] / "journeys" / "policies" / "cn-consumer-finance.yaml").read_text("utf-8")
    policy = yaml.safe_load(text)
    for one in people(path):
        agreed = {consent.channel.value for consent in one.consents if consent.purpose == policy["consent"]["purpose"]}
        assert {"sms", "call"} <= agreed
        assert all(one.attributes[rule["attribute"]] == rule["is"] for rule in policy["eligible"])


def test_only_the_stages_asked_for(tmp_path: Path):
    populate(tmp_path / "w.db", n=50, seed=1, start=NOW, days=10, stages={Stage.SETTLED: 1.0})
    assert {one.stage for one in people(tmp_path / "w.db")} == {Stage.SETTLED}


def test_one_seed_makes_one_world_and_another_seed_another(tmp_path: Path):
    worlds = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        populate(tmp_path / name, n=80, seed=seed, start=NOW, days=30)
        worlds.append((list(people(tmp_path / name)), everything(World(tmp_path / name, clock=FixedClock(NOW)))))
    assert worlds[0] == worlds[1]
    assert worlds[0][1] != worlds[2][1]


def test_a_world_is_not_written_over_and_a_missing_one_is_told(path: Path, tmp_path: Path, clock: FixedClock):
    with pytest.raises(Misconfigured, match="exists"):
        populate(path, n=1, seed=1, start=NOW, days=1)
    (tmp_path / "half.db.draft").write_text("killed while it was made")
    populate(tmp_path / "half.db", n=1, seed=1, start=NOW, days=1)
    assert [one.name for one in tmp_path.glob("half*")] == ["half.db"]
    with pytest.raises(Misconfigured, match="populate"):
        World(tmp_path / "nowhere.db", clock=clock)
    with pytest.raises(Misconfigured, match="days"):
        populate(tmp_path / "w.db", n=1, seed=1, start=NOW, days=0)


def test_it_opens_by_name_with_its_mishaps(path: Path):
    options = {"world": {"lost_answer_rate": "1", "latency_ms": "1"}}
    world = open_provider("world", load(world_url=str(path), provider_options=options), clock=FixedClock(NOW))
    assert isinstance(world, World)
    (result,) = send(world, [message(reachable(path)[0])])
    assert result.outcome is Outcome.IN_DOUBT
    with pytest.raises(Misconfigured, match="lost_anser_rate"):
        wrong = {"world": {"lost_anser_rate": "1"}}
        open_provider("world", load(world_url=str(path), provider_options=wrong))


# --- one story ------------------------------------------------------------------------------------------


def campaign(path: Path, *, batch: int, shuffle: int) -> list[Event | ProviderEvent]:
    """Three messages to everybody, in batches of one size and in some order, with refs of their own."""
    clock = FixedClock(NOW)
    world = World(path, clock=clock)
    for day, channel in ((14, Channel.PUSH), (17, Channel.SMS), (20, Channel.CALL)):
        clock.instant = NOW + day * DAY
        to = [one for one in people(path) if one.address(channel).value][:300]
        random.Random(shuffle).shuffle(to)
        messages = [message(one, channel, ref=f"{shuffle}-{channel}-{one.user}") for one in to]
        for start in range(0, len(messages), batch):
            send(world, messages[start : start + batch])
    told = everything(world)
    return sorted((replace(one, ref="") if isinstance(one, ProviderEvent) else one for one in told), key=repr)


def test_neither_batches_nor_order_nor_refs_change_what_people_do(fresh: Path, tmp_path: Path):
    stories = [
        campaign(copy_of(fresh, tmp_path / f"{batch}.db"), batch=batch, shuffle=batch) for batch in (1000, 7, 150)
    ]
    assert stories[0] == stories[1] == stories[2]
    assert any(isinstance(one, ProviderEvent) for one in stories[0])


def test_several_senders_at_once_lose_nothing_and_tell_one_story(fresh: Path, tmp_path: Path, clock: FixedClock):
    stories = []
    for workers in (1, 4):
        path = copy_of(fresh, tmp_path / f"{workers}.db")
        world, to = World(path, clock=clock), reachable(path)[:400]
        chunks = [[message(one) for one in to[start : start + 20]] for start in range(0, 400, 20)]
        with ThreadPoolExecutor(workers) as pool:
            results = [result for answers in pool.map(partial(send, world), chunks) for result in answers]
        assert {result.outcome for result in results} == {Outcome.ACCEPTED}
        assert len(list(accepted_log(path))) == 400
        stories.append(everything(world))
    assert stories[0] == stories[1]


def test_what_was_not_acknowledged_is_told_again_and_then_never_more(path: Path, clock: FixedClock):
    world = World(path, clock=clock)
    first = world.take_until(NOW, 500)
    assert len(first.cursor) == 500
    assert world.take_until(NOW, 500) == first  # we crashed before keeping it
    told = Counter(event.key for event in first.events)
    world.ack(first.cursor)
    while happened := world.take_until(NOW + 30 * DAY, 333):
        told.update(event.key for event in happened.events)
        assert [event.at for event in happened.events] == sorted(event.at for event in happened.events)
        world.ack(happened.cursor)
        world.ack(happened.cursor)  # twice does no harm
    assert set(told.values()) == {1}
    following = world.next_at()
    assert following is not None and following > NOW + 30 * DAY


def test_what_was_told_does_not_change_when_messages_follow(path: Path, clock: FixedClock):
    world = World(path, clock=clock)
    before = world.take_until(NOW + 40 * DAY, 10**9)
    world.ack(before.cursor)
    clock.instant = NOW + 20 * DAY  # this sender's clock is behind
    send(world, [message(one) for one in reachable(path)])
    after = world.take_until(NOW + 365 * DAY, 10**9)
    assert not {event.key for event in before.events} & {event.key for event in after.events}
    assert all(event.at > NOW + 40 * DAY for event in after.events)


# --- the truth ------------------------------------------------------------------------------------------


def test_events_tell_the_truth_and_the_other_half_is_untouched_by_messages(path: Path, clock: FixedClock):
    strong = path.with_name("strong.db")
    populate(strong, n=600, seed=3, start=NOW, days=90, scale=5.0)
    before = {one.user: one for one in truth(strong)}
    assert all(one.actual == one.untreated for one in before.values())
    world = World(strong, clock=clock)
    send(world, [message(one) for one in people(strong)])
    after = {one.user: one for one in truth(strong)}
    told: dict[str, int] = {}
    for event in world.take_until(NOW + 365 * DAY, 10**9).events:
        if event.name == "visited" and event.at > after[event.user].enters_at:
            told[event.user] = min(event.at, told.get(event.user, event.at))
    earlier = 0
    for user, one in after.items():
        assert one.untreated == before[user].untreated
        assert one.returned_actual_at == told.get(user)
        if one.returned_untreated_at is not None:
            assert one.returned_actual_at is not None
            assert one.returned_actual_at <= one.returned_untreated_at
        if one.returned_actual_at != one.returned_untreated_at:
            assert one.returned_actual_at is not None and one.returned_actual_at > clock.now()
            earlier += 1
    assert earlier > 60


def test_at_scale_zero_messages_change_nothing(tmp_path: Path, clock: FixedClock):
    populate(tmp_path / "w.db", n=300, seed=3, start=NOW, days=90, scale=0.0)
    send(World(tmp_path / "w.db", clock=clock), [message(one) for one in people(tmp_path / "w.db")])
    assert all(one.actual == one.untreated for one in truth(tmp_path / "w.db"))


# --- what people tell and the provider refuses ------------------------------------------------------------


def test_receipts_carry_our_ref_and_come_after_the_message(path: Path, clock: FixedClock):
    world = World(path, clock=clock)
    to = reachable(path)[:500]
    send(world, [message(one) for one in to])
    clock.instant += HOUR
    send(world, [message(one, Channel.CALL) for one in to])
    receipts = world.take_until(NOW + 365 * DAY, 10**9).receipts
    first: dict[str, list[ProviderEvent]] = {}
    for receipt in receipts:
        first.setdefault(receipt.ref, []).append(receipt)
        assert receipt.at > NOW + 14 * DAY
        assert receipt.address is None
    assert first.keys() == {row.ref for row in accepted_log(path)}
    for ref, received in first.items():
        assert received[0].kind in (ReceiptKind.DELIVERED, ReceiptKind.UNDELIVERED, ReceiptKind.ANSWERED)
        if ref.startswith("call"):
            assert len(received) == 1 and received[0].detail
    assert len({receipt.event_id for receipt in receipts}) == len(receipts)


def test_a_stop_arrives_with_the_address_and_binds_everybody_who_shares_it(path: Path, clock: FixedClock):
    world = World(path, clock=clock)
    to = reachable(path)
    for _ in range(2):
        send(world, [message(one, ref=f"{clock.now()}-{one.user}") for one in to])
        clock.instant += DAY
    stops = world.take_until(clock.now(), 10**9).opt_outs
    assert stops
    for stop in stops:
        assert (stop.ref, stop.kind, stop.detail) == ("", ReceiptKind.OPTED_OUT, "TD")
        assert stop.address is not None and stop.address.kind is AddressKind.PHONE
    stopped = {stop.address for stop in stops}
    again = [one for one in to if one.address(Channel.SMS) in stopped]
    results = send(world, [message(one) for one in again])
    assert {(result.outcome, result.cause) for result in results} == {(Outcome.REFUSED, Cause.OPTED_OUT)}
    assert send(world, [message(again[0], Channel.CALL)])[0].outcome is Outcome.ACCEPTED  # said stop to SMS only


def test_addresses_that_are_not_the_persons_are_refused(path: Path, clock: FixedClock):
    world = World(path, clock=clock)
    one, other = reachable(path)[:2]
    without_app = next(person for person in people(path) if not person.push_token)
    results = send(
        world,
        [
            replace(message(one), address=other.address(Channel.SMS)),
            replace(message(one), user="nobody"),
            message(without_app, Channel.PUSH),
            replace(message(one), address=Address(AddressKind.EMAIL, "user0@example.com")),
        ],
    )
    assert {(result.outcome, result.cause) for result in results} == {(Outcome.REFUSED, Cause.ADDRESS)}
    assert list(accepted_log(path)) == []


def test_the_log_holds_what_was_sent_and_each_request_again(path: Path, clock: FixedClock):
    world = World(path, clock=clock)
    sent = message(reachable(path)[0])
    send(world, [sent])
    send(world, [sent])
    rows = list(accepted_log(path))
    assert [row.ref for row in rows] == [sent.ref, sent.ref]
    assert rows[0].body_hash == sent.content.digest()
    assert (rows[0].at, rows[0].address, rows[0].body) == (clock.now(), sent.address, sent.content.body)


# --- mishaps ----------------------------------------------------------------------------------------------


def test_mishaps_come_at_their_rates_and_the_log_knows_better(path: Path, clock: FixedClock):
    mishaps = Mishaps(connect_rate=0.1, throttle_rate=0.1, server_error_rate=0.1, lost_answer_rate=0.1)
    world = World(path, clock=clock, mishaps=mishaps)
    to = reachable(path)[:1000]
    results = {result.ref: result for result in send(world, [message(one) for one in to])}
    seen = Counter((result.outcome, result.cause) for result in results.values())
    assert 60 < seen[Outcome.NOT_SENT, Cause.CONNECT] < 145
    assert 50 < seen[Outcome.NOT_SENT, Cause.THROTTLED] < 140
    assert 110 < seen[Outcome.IN_DOUBT, None] < 230
    taken = {row.ref for row in accepted_log(path)}
    accepted = {ref for ref, result in results.items() if result.outcome is Outcome.ACCEPTED}
    doubtful = {ref for ref, result in results.items() if result.outcome is Outcome.IN_DOUBT}
    assert accepted < taken <= accepted | doubtful
    assert 40 < len(taken & doubtful) < 120
    retried = [message(one) for one in to if results[message(one).ref].outcome is Outcome.NOT_SENT]
    assert any(result.outcome is Outcome.ACCEPTED for result in send(world, retried))


def test_late_and_doubled_receipts_say_the_same(fresh: Path, tmp_path: Path, clock: FixedClock):
    def receipts(name: str, mishaps: Mishaps) -> tuple[ProviderEvent, ...]:
        world = World(copy_of(fresh, tmp_path / name), clock=clock, mishaps=mishaps)
        send(world, [message(one) for one in reachable(world.path)[:200]])
        return world.take_until(NOW + 365 * DAY, 10**9).receipts

    plain = receipts("plain.db", Mishaps())
    late = receipts("late.db", Mishaps(late_receipt_rate=1.0, doubled_receipt_rate=1.0))
    assert len(late) == 2 * len(plain)
    at = {receipt.event_id: receipt.at for receipt in plain}
    assert all(receipt.at - at[receipt.event_id] >= HOUR for receipt in late)
    assert {(one.event_id, one.kind, one.detail) for one in late} == {
        (one.event_id, one.kind, one.detail) for one in plain
    }


def test_a_locked_world_is_known_not_sent(path: Path, clock: FixedClock, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(world_file, "LOCK_SECONDS", 0.05)
    world = World(path, clock=clock)
    with world_file.world_open(path) as other, world_file.transaction(other):
        (result,) = send(world, [message(reachable(path)[0])])
    assert (result.outcome, result.cause) == (Outcome.NOT_SENT, Cause.CONNECT)
    assert list(accepted_log(path)) == []


_SENDER = """
import asyncio, sys
from pathlib import Path
from providers.world import World, people
from recall.clock import FixedClock
from tests.providers.test_world import NOW, SEED, message, reachable

async def main(path, start):
    path, n = Path(path), int(start)
    world, to = World(path, clock=FixedClock(NOW)), reachable(path)
    while True:
        async for result in world.send([message(to[(n + k) % len(to)], ref=f"{n + k}") for k in range(5)]):
            print(result.ref, result.outcome, flush=True)
        n += 5

asyncio.run(main(*sys.argv[1:]))
"""


def test_a_killed_sender_leaves_a_whole_log(path: Path):
    root = Path(__file__).parents[2]
    answered: set[str] = set()
    for round_ in range(3):
        command = [sys.executable, "-c", _SENDER, str(path), str(round_ * 100_000)]
        sender = subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True, env=dict(os.environ))
        assert sender.stdout is not None
        lines = [sender.stdout.readline() for _ in range(23 + 4 * round_)]
        sender.send_signal(signal.SIGKILL)
        lines += [line for line in sender.stdout if line.endswith("\n")]
        sender.wait()
        sender.stdout.close()
        answered |= {line.split()[0] for line in lines if line.split()[1] == "accepted"}
    kept = [row.ref for row in accepted_log(path)]
    assert len(kept) == len(set(kept))
    assert answered and answered <= set(kept)
    with world_file.world_open(path) as connection:
        assert connection.execute("pragma integrity_check").fetchone() == ("ok",)


def test_an_outage_can_be_switched_while_a_sender_runs(path: Path, clock: FixedClock):
    world, one = World(path, clock=clock), reachable(path)[0]
    switch_fault(world.folder, Fault(fail=Fail.CONNECT))
    assert send(world, [message(one)])[0].cause is Cause.CONNECT
    switch_fault(world.folder, None)
    assert send(world, [message(one)])[0].outcome is Outcome.ACCEPTED
