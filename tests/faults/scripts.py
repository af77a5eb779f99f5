"""What is done while a process dies or an operation fails, and what must hold afterwards? Sending, by every channel.

A script prepares a site, acts, comes back after the crash as whoever starts the process again would, and judges by the
provider's own log and the store. Around the sending: `scripts_doubt.py`; by HTTP: `scripts_http.py`; what is kept and
not sent: `scripts_kept.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import select

from journeys.compile import compile_journey
from journeys.loader import load_policy, read_journey
from journeys.policy import Policy
from journeys.templates import read_template
from journeys.words import ReceiptKind
from recall.clock import DAY, HOUR, MINUTE, SECOND
from recall.engine import send
from recall.engine.enrol import enrol
from recall.engine.reconcile import reconcile
from recall.engine.retention import forget_when_due
from recall.engine.violations import find_violations
from recall.store import schema
from recall.store.events import NewEvent, record_events
from recall.store.people import NewAddress
from recall.store.policies import publish_policy
from recall.store.receipts import Receipt, record_receipts
from recall.store.versions import Version, publish_version
from tests.engine.conftest import SHIPPED, SMALLEST, Scene
from tests.faults.ground import Site

JOURNEY = "settled-30d"
PEOPLE = [f"u{number}" for number in range(6)]  # two chunks: four, and two
CHANNELS = ("push", "sms", "email", "call", "in_app", "task")
WORDS = """
schema: recall.template/v1
id: words
push: {zh-CN: {title: 欢迎回来, body: 您的额度随时待命。}}
sms: {zh-CN: {body: "【{{ brand }}】欢迎回来。拒收请回复R"}}
email: {zh-CN: {subject: 欢迎回来, body: "您好，{{ brand }}，退订", html: "<p>{{ brand }} 退订</p>"}}
call: {zh-CN: {body: "您好，这里是{{ brand }}的自动语音来电。不再接听此类来电请按9。"}}
in_app: {zh-CN: {title: 欢迎回来, body: 您的额度随时待命。}}
task: {zh-CN: {title: 回访, body: 请询问新额度是否合适。}}
"""


@dataclass(frozen=True)
class Script:
    """One thing to be interrupted."""

    name: str
    prepare: Callable[[Site], None]
    act: Callable[[Site], None]
    recover: Callable[[Site], None]
    judge: Callable[[Site], Iterator[str]]
    kinds: tuple[str, ...] = ()  # of moments; (): all. Others are those of another script
    dies_only: bool = False  # what fails here fails as it does in another script


# --- who is there --------------------------------------------------------------------------------------------------


def publish(
    scene: Scene, steps: str, *, more: str = "", change: Callable[[dict[str, Any]], None] | None = None
) -> Version:
    """A journey of these steps; chunks of four, nobody held out, around the clock."""
    text = SMALLEST.format(name=JOURNEY, steps=steps, more=more, entry="", priority=50)
    journey = read_journey(text.encode(), "journey.yaml").noun
    words = read_template(WORDS.encode(), "words.yaml").noun
    program = compile_journey(journey, templates={"words": words})
    rules = load_policy(SHIPPED / "policies" / "cn-consumer-finance.yaml").noun
    content = rules.model_dump(mode="json", exclude_none=True) | {"holdout": 0}
    for channel in content["routes"]:
        content["routes"][channel]["per_second"] = 1
    if change is not None:
        change(content)
    with scene.store.writing() as connection:
        publish_policy(connection, Policy.model_validate(content), now=scene.now)
        return publish_version(connection, program, now=scene.now, who="test")


def people_enter(scene: Scene, version: Version) -> None:
    for user in PEOPLE:
        scene.add_user(user, email=NewAddress(f"{user}@example.com"))
        scene.event(user, "loan_settled", at=scene.now - 40 * DAY)
    assert enrol(scene.store, version, now=scene.now).enrolled == len(PEOPLE)


def prepared(steps: str, **how: Any) -> Callable[[Site], None]:
    def prepare(site: Site) -> None:
        with site.process() as scene:
            people_enter(scene, publish(scene, steps, **how))
            forget_when_due(scene.setup)  # today's was done already

    return prepare


# --- one run -------------------------------------------------------------------------------------------------------


def run(site: Site) -> None:
    with site.process() as scene:
        scene.run(JOURNEY)


def come_back(site: Site, *, minutes: int = 3, rounds: int = 4) -> None:
    """What a minute's reconciler and the next runs do."""
    for _ in range(rounds):
        site.clock.instant += minutes * MINUTE
        with site.process() as scene:
            reconcile(scene.setup)
            scene.run(JOURNEY)
            if not _is_anything_open(scene):
                return


def _is_anything_open(scene: Scene) -> bool:
    """Is anybody due in the next hour, or any message unsettled?"""
    enrolments, sends = schema.enrolments.c, schema.sends.c
    due = select(enrolments.id).where(enrolments.active.is_(True), enrolments.due_at < scene.now + HOUR)
    with scene.store.reading() as connection:
        open_sends = connection.execute(select(sends.id).where(sends.state.in_(("calling", "in_doubt")))).first()
        return open_sends is not None or connection.execute(due).first() is not None


def judge_messages(site: Site, *, steps: int = 1) -> Iterator[str]:
    """Nobody twice, nobody lost, nothing open, and everything else that must never happen."""
    with site.process() as scene:
        taken = Counter((row.user, row.meta["step"]) for row in site.far.taken)
        yield from (f"duplicate: {who} was taken {n} times" for who, n in taken.items() if n > 1)
        rows = scene.sends()
        yield from (
            f"silent_doubt: send {row.id} is {row.state}" for row in rows if row.state in ("calling", "in_doubt")
        )
        if len(rows) != len(PEOPLE) * steps:
            yield f"lost: {len(rows)} messages of {len(PEOPLE) * steps}"
        torn = sum(row.state not in ("accepted",) for row in rows)
        if torn > 4:
            yield f"lost: {torn} messages did not leave, though a chunk has four"
        yield from map(str, find_violations(scene.store, site.far.taken, now=site.now))


def sending(channel: str) -> Script:
    budget = "budget: {currency: CNY, per_day: '100', total: '1000'}"
    steps = f"  - {{{channel}: words}}"
    script = Script(f"send {channel}", prepared(steps, more=budget), run, come_back, judge_messages)
    return replace(script, dies_only=channel != "sms")


@contextmanager
def paced(site: Site) -> Iterator[None]:
    """Who waits for a sender waits on the virtual clock."""

    class Waiting:
        @staticmethod
        def sleep(seconds: float) -> None:
            site.clock.instant += int(seconds * SECOND) + 1

    kept, send.time = send.time, Waiting  # type: ignore[attr-defined, assignment]
    try:
        yield
    finally:
        send.time = kept  # type: ignore[attr-defined]


# --- a run with everything in it -----------------------------------------------------------------------------------

WHOLE = """
  - {push: words}
  - {wait: 1h}
  - branch:
      - when: {did: visited}
        steps: [{sms: words}]
      - else: [{in_app: words}]
"""
RAILS = "guardrails: {complaints: 1%, after: 100}"


def _before_second_step(site: Site) -> None:
    """Everybody had the push and waits at the branch; some came back, some said stop, one receipt is new."""
    with site.process() as scene:
        people_enter(scene, publish(scene, WHOLE, more=RAILS))
        scene.run(JOURNEY)
        scene.later(80 * MINUTE)
        scene.event("u0", "loan_drawn", at=scene.now - MINUTE)
        for user in ("u1", "u2"):
            record_events(scene.store, [NewEvent(f"v{user}", user, "visited", scene.now - MINUTE)], scene.now)
        rows = {row.user_id: row for row in scene.sends()}
        told = [
            Receipt("outbox", f"e{n}", rows[scene.row(user).id].ref, kind, scene.now)
            for n, (user, kind) in enumerate([("u1", ReceiptKind.DELIVERED), ("u3", ReceiptKind.OPTED_OUT)])
        ]
        with scene.store.writing() as connection:
            record_receipts(connection, told, now=scene.now)


def judge_whole(site: Site) -> Iterator[str]:
    with site.process() as scene:
        got = Counter((row.user, row.channel.value) for row in site.far.taken)
        yield from (f"duplicate: {who} was taken {n} times" for who, n in got.items() if n > 1)
        wrong = {("u0", "sms"), ("u0", "in_app")} & set(got)
        yield from (f"after_stop: {who}" for who in sorted(wrong))
        rows = scene.sends()
        yield from (
            f"silent_doubt: send {row.id} is {row.state}" for row in rows if row.state in ("calling", "in_doubt")
        )
        stayed = {row.user_id for row in rows if row.state == "not_sent"}
        for user, channel in (("u1", "sms"), ("u2", "sms"), ("u3", "in_app"), ("u4", "in_app"), ("u5", "in_app")):
            if (user, channel) not in got and scene.row(user).id not in stayed:
                yield f"lost: {user} has no {channel}"
        yield from map(str, find_violations(scene.store, site.far.taken, now=site.now))


SENDING = (
    *(sending(channel) for channel in CHANNELS),
    Script("run whole", _before_second_step, run, come_back, judge_whole),
)
