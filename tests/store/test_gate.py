"""Does the gate agree with the slow oracle about everybody, whatever is true of them?"""

from __future__ import annotations

import random
from typing import Any

import pytest
from sqlalchemy import select, update

from journeys.values import clock_text
from journeys.words import CHANNEL_BIT, Channel
from recall.clock import DAY, HOUR
from recall.settings import Mode
from recall.store import schema
from recall.store.cases import gate_passes
from recall.store.gate import decide, prepare
from recall.store.gate_rows import Page
from recall.store.versions import Version
from tests.engine.conftest import ELIGIBLE, Scene
from tests.engine.conftest import scene as scene
from tests.oracle.gate import Human, Past, Rules, reason

ZONES = ("Asia/Shanghai", "America/New_York", "Europe/London", "Australia/Lord_Howe", "Asia/Kathmandu", "")
PEOPLE = 60


def draw_rules(dice: random.Random) -> Rules:
    start = dice.choice([480, 540, 1320])
    return Rules(
        window=(start, dice.choice([1140, 1200, 1260]) if start < 1000 else 120),
        caps=dice.choice(
            [
                [],
                [(1, 7 * DAY, None)],
                [(3, 7 * DAY, None), (1, DAY, "sms")],
                [(2, 3 * DAY, None), (1, DAY, "call")],
                [(8, 30 * DAY, None), (4, 14 * DAY, "sms")],
            ]
        ),
        unanswered=dice.choice([None, 2, 3]),
        max_age=dice.choice([None, 180 * DAY]),
        allow=dice.choice([(), ("CN",)]),
        needs_consent=dice.random() < 0.8,
        condition_tier=dice.choice([None, "gold"]),
        hold_attribute=dice.random() < 0.5,
    )


def draw_human(dice: random.Random, n: int, rules: Rules, now: int) -> Human:
    rare = lambda share=0.05: dice.random() < share  # noqa: E731  # a name for one die
    edge = dice.choice([-1, 0, 1])
    sends = [
        Past(
            now - dice.choice([HOUR, DAY - edge, DAY, 2 * DAY, 7 * DAY + edge, 9 * DAY, 20 * DAY]),
            dice.choice(["sms", "call", "email"]),
        )
        for _ in range(dice.choice([0, 0, 1, 1, 2, 3, 8]))
    ]
    return Human(
        name=f"u{n}",
        zone=dice.choice(ZONES),
        erased=rare(),
        goal_at=dice.choice([None] * 8 + [now - 31 * DAY, now - 30 * DAY, now - 30 * DAY + 1]),
        anchor_at=now - 30 * DAY,
        attributes={**ELIGIBLE, **({"frozen": "true"} if rare() else {}), **({"complaint": "open"} if rare() else {})}
        | {"tier": dice.choice(["gold", "gold", "plain"])},
        first_due_at=now - dice.choice([0, DAY, 3 * DAY, 3 * DAY + 1] if rare(0.2) else [0]),
        suppressed=rare(),
        rest_until=dice.choice([None] * 9 + [now, now + 1]),
        answered_at=dice.choice([None, now - 2 * DAY, now - HOUR, now]),
        sends=sorted(sends, key=lambda past: -past.at),
        phone=None if rare() else f"+861380000{n:04d}",
        phone_suppressed=rare(),
        opted_out=rare(),
        unreachable=rare(),
        proved_at=dice.choice([None, now - 180 * DAY + edge, now - DAY, now - DAY, now - DAY, now - DAY]),
        region=dice.choice(["CN", "CN", "CN", "US"]),
        consent=not rare(),
        consent_expires=dice.choice([None, None, None, now, now + 1]),
        rivals=dice.choice([0, 0, 0, 1, 2]) if rules.caps else 0,
        holdout=rare(0.1),
    )


def as_policy(rules: Rules) -> Any:
    def change(policy: dict[str, Any]) -> None:
        span = "-".join(clock_text(minutes) for minutes in rules.window)
        policy["windows"]["sms"] = {day: [span] for day in ("workday", "weekend", "holiday")}
        policy["calendar"] = None
        policy["caps"] = [
            {"sends": most, "within": f"{within // DAY}d", **({"channel": channel} if channel else {})}
            for most, within, channel in rules.caps
        ]
        policy["consent"]["channels"] = ["sms"] if rules.needs_consent else ["email"]
        policy["regions"] = {"allow": list(rules.allow)}
        if rules.unanswered is None:
            policy.pop("unresponsive")
        else:
            policy["unresponsive"]["after"]["sends"] = rules.unanswered
        if rules.max_age is None:
            policy.pop("address_max_age")

    return change


def settle_in(scene: Scene, human: Human, version: Version, rivals: list[Version]) -> int:
    """Write everything that is true of one person into the tables, as it stands at the moment of the question."""
    about: dict[str, Any] = {"proved_at": human.proved_at, "attributes": human.attributes}
    scene.add_user(
        human.name,
        zone=human.zone,
        phone=human.phone or "+8613999999999",
        consents=("sms",) if human.consent else (),
        **about,
    )
    if human.goal_at is not None:
        scene.event(human.name, "loan_drawn", at=human.goal_at)
    [enrolment] = scene.enrol(
        version,
        human.name,
        anchor_at=human.anchor_at,
        first_due_at=human.first_due_at,
        holdout="journey" if human.holdout else "treated",
    )
    for rival in rivals[: human.rivals]:
        scene.enrol(rival, human.name)
    with scene.store.writing() as connection:
        write_facts(connection, human, scene.row_in(connection, human.name))
    return enrolment


def write_facts(connection: Any, human: Human, user_id: int) -> None:
    def times(prefix: str, length: int, history: list[Past]) -> dict[str, int | None]:
        padded = [past.at for past in history][:length] + [None] * length
        return {f"{prefix}{n}": padded[n - 1] for n in range(1, length + 1)}

    users, addresses, state = schema.users, schema.addresses, schema.contact_state
    values = times("s", 8, human.sends) | {"streak": human.streak, "rest_until": human.rest_until}
    for channel in ("sms", "call", "email"):
        values |= times(channel, 4, [past for past in human.sends if past.channel == channel])
    connection.execute(update(state).where(state.c.user_id == user_id).values(**values))
    phone_id = connection.execute(select(users.c.phone_id).where(users.c.id == user_id)).scalar_one()
    connection.execute(
        update(addresses)
        .where(addresses.c.id == phone_id)
        .values(
            suppressed=human.phone_suppressed,
            opted_out=CHANNEL_BIT[Channel.SMS] if human.opted_out else 0,
            unreachable="30005" if human.unreachable else None,
            proved_at=human.proved_at,
            region=human.region,
            **times("s", 8, human.phone_sends),
            **times("m", 4, [past for past in human.phone_sends if past.channel == "sms"]),
        )
    )
    flags: dict[str, Any] = {"suppressed": human.suppressed, "erased_at": 1 if human.erased else None}
    if human.phone is None:
        flags["phone_id"] = schema.NO_ADDRESS
    connection.execute(update(users).where(users.c.id == user_id).values(**flags))
    consents = schema.consent_state
    connection.execute(update(consents).where(consents.c.user_id == user_id).values(expires_at=human.consent_expires))


@pytest.mark.parametrize("seed", range(12))
def test_the_gate_agrees_with_the_oracle(scene: Scene, seed: int) -> None:
    dice = random.Random(seed)
    scene.clock.instant += dice.randrange(0, 200 * 24) * HOUR
    rules = draw_rules(dice)
    extra = 'hold_when: {attribute: complaint, is: "open"}' if rules.hold_attribute else ""
    when = f", when: {{attribute: tier, is: {rules.condition_tier}}}" if rules.condition_tier else ""
    version = scene.publish(f"  - {{sms: come-back{when}}}", name="asked", more=extra, policy=as_policy(rules))
    rivals = [
        scene.publish("  - {sms: come-back}", name=f"rival-{n}", priority=90, policy=as_policy(rules)) for n in range(2)
    ]
    humans = [draw_human(dice, n, rules, scene.now) for n in range(PEOPLE)]
    for human in humans:
        human.phone_sends = list(human.sends) if dice.random() < 0.5 else human.sends[1:]
    enrolments = {settle_in(scene, human, version, rivals): human for human in humans}
    said = ask(scene, version)
    expected = {enrolment: reason(human, rules, scene.now) for enrolment, human in enrolments.items()}
    assert said == expected
    assert len(set(expected.values())) > 4, "a trial that only knows a few reasons proves little"


def ask(scene: Scene, version: Version) -> dict[int, str | None]:
    node = version.program.message(0)
    with scene.store.reading() as connection:
        [gate_pass] = gate_passes(connection, version, node, mode=Mode.LIVE)
        gate = prepare(gate_pass.of, lock=False)
        chunk = decide(connection, gate, Page(scene.now, limit=1000), now=scene.now, lock=False)
    return {d.row.id: d.reason.value if d.reason else None for d in chunk.decisions}
