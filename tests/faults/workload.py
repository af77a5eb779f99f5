"""What world does a seed make? Journeys, people, a policy, faults: each seed draws which kinds are on at all.

Every part is drawn from a stream of its own, named after the part, so that taking one away (to shrink a failing
world) leaves the others as they are.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from journeys.compile import compile_journey
from journeys.loader import load_policy, read_journey
from journeys.policy import Policy
from journeys.program import Program
from journeys.templates import load_template
from recall.clock import DAY, HOUR, MINUTE, Instant, to_instant
from tests.faults.loom import Rates
from tests.faults.witness import MESSAGE_FATES, REQUEST_FATES, Temper

SHIPPED = Path(__file__).parents[2] / "journeys"
FEATURES = (
    "kill", "freeze", "busy", "lost_commit", "message_fates", "request_fates", "outage", "config", "lookup_down",
    "receipts", "repeats", "says_stop", "lag", "failover", "goals", "opt_outs", "suppressions", "pauses",
    "kill_switch", "ineligible", "withdrawals", "caps", "unresponsive", "budget", "programme_budget", "per_user",
    "shared_phones", "holdout", "second_journey", "third_journey", "zones", "odd_windows", "until", "branch", "split",
    "else", "calls", "small_chunks", "replay", "late_runs", "overlap", "expires", "exit_rule", "ramp", "offer",
    "spread", "other_policy", "overlaps",
)  # fmt: skip
STARTS = (
    "2026-03-02T02:00+00:00", "2026-03-06T10:00+00:00", "2026-03-27T20:00+00:00", "2026-04-03T06:00+00:00",
    "2026-10-24T00:00+00:00", "2026-10-30T05:00+00:00", "2026-12-29T12:00+00:00", "2028-02-27T03:00+00:00",
)  # fmt: skip
ZONES = (
    "Asia/Shanghai", "America/New_York", "Europe/London", "Australia/Lord_Howe", "Asia/Kathmandu",
    "America/Sao_Paulo", "Pacific/Auckland", "America/Los_Angeles",
)  # fmt: skip
ELIGIBLE = {"overdue_days": "0", "frozen": "false", "fraud_review": "false"}
PRICE = 45_000
ON_POSTGRESQL = 0.05  # of all worlds; the others live on SQLite
FORGETTING = 0.25  # of all worlds; in the others everything is kept, and no daily pass looks for what is old


@dataclass(frozen=True)
class Fact:
    """Something that happens to a person or is switched, at a moment that races with the workers."""

    at: Instant
    kind: str  # goal | visited | opt_out | suppress | pause | resume | kill_on | kill_off | ineligible | withdraw | …
    subject: str = ""


@dataclass(frozen=True)
class Someone:
    user: str
    zones: tuple[str, ...]
    phone: str
    settled_at: Instant
    tier: str


@dataclass
class Plan:
    """One world, and what may be taken away from it to shrink it."""

    seed: int
    features: frozenset[str]
    users: int
    days: int
    workers: int
    facts_kept: int = 10_000

    def dice(self, part: str) -> random.Random:
        return random.Random(f"recall {self.seed} {part}")

    def has(self, feature: str) -> bool:
        return feature in self.features


def draw_plan(seed: int) -> Plan:
    """The swarm: each seed has its own share of features on."""
    dice = random.Random(f"recall {seed} plan")
    share = dice.choice((0.15, 0.35, 0.6))
    features = frozenset(name for name in FEATURES if dice.random() < share)
    if random.Random(f"recall {seed} store").random() < ON_POSTGRESQL:
        features |= {"postgresql"}
    if random.Random(f"recall {seed} retention").random() < FORGETTING:
        features |= {"forgets"}
    users = dice.randint(1, 9) + (4 if "overlaps" in features else 0)  # chunks hold four: so that there are several
    return Plan(seed, features, users=users, days=dice.randint(2, 12), workers=dice.randint(1, 3))


# --- faults -----------------------------------------------------------------------------------------------


def draw_rates(plan: Plan) -> Rates:
    dice = plan.dice("rates")
    drawn = {name: dice.choice((0.004, 0.02, 0.06)) for name in ("kill", "freeze", "busy", "lost_commit")}
    return Rates(**{name: rate if plan.has(name) else 0.0 for name, rate in drawn.items()})


def draw_temper(plan: Plan, name: str, start: Instant) -> Temper:
    dice = plan.dice(f"temper {name}")
    message = {fate: dice.choice((0.0, 0.05, 0.25)) for fate in MESSAGE_FATES if dice.random() < 0.5}
    request = {fate: dice.choice((0.0, 0.05, 0.2)) for fate in REQUEST_FATES if dice.random() < 0.5}
    outages = []
    for feature, hows in (("outage", ("transient", "connect")), ("config", ("config",))):
        since = start + dice.randint(0, plan.days) * DAY + dice.randint(0, 23) * HOUR
        how, lasts = dice.choice(hows), dice.choice((10 * MINUTE, 3 * HOUR, 24 * HOUR))
        if plan.has(feature):
            outages.append((since, since + lasts, how))
    return Temper(
        message=message if plan.has("message_fates") else {},
        request=request if plan.has("request_fates") else {},
        outages=outages,
        lookup_down=0.3 if plan.has("lookup_down") else 0.0,
        tells=0.7 if plan.has("receipts") else 0.0,
        says_stop=0.3 if plan.has("says_stop") else 0.0,
        repeats=0.5 if plan.has("repeats") else 0.0,
        lag_seconds=15 if plan.has("lag") else 0,
    )


# --- people -----------------------------------------------------------------------------------------------


def draw_people(plan: Plan, start: Instant) -> list[Someone]:
    people = []
    for number in range(plan.users):
        dice = plan.dice(f"user {number}")
        zone, pair, unknown = dice.choice(ZONES), dice.sample(ZONES, 2), dice.random()
        zones: tuple[str, ...] = ("Asia/Shanghai",)
        if plan.has("zones"):
            zones = () if unknown < 0.1 else tuple(sorted(pair)) if unknown < 0.25 else (zone,)
        shared = number // 2 if plan.has("shared_phones") else number
        settled = start - DAY + (dice.randint(0, plan.days * 12) * HOUR if plan.has("spread") else 0)
        people.append(Someone(f"u{number}", zones, f"+86138{shared:08d}", settled, dice.choice(("gold", "plain"))))
    return people


def draw_facts(plan: Plan, start: Instant, people: list[Someone], journeys: list[str]) -> list[Fact]:
    facts: list[Fact] = []
    per_person = (
        ("goals", "goal", 0.5), ("goals", "visited", 0.3), ("opt_outs", "opt_out", 0.4),
        ("suppressions", "suppress", 0.3), ("ineligible", "ineligible", 0.3), ("withdrawals", "withdraw", 0.3),
        ("exit_rule", "frozen", 0.3),
    )  # fmt: skip
    for someone in people:
        for feature, kind, share in per_person:
            dice = plan.dice(f"fact {kind} {someone.user}")
            at = start + dice.randint(0, plan.days * 24) * HOUR + dice.randint(0, 3600) * 1_000_000
            if plan.has(feature) and dice.random() < share:
                facts.append(Fact(at, kind, someone.user))
    for name in journeys:
        dice = plan.dice(f"pause {name}")
        at, lasts = start + dice.randint(0, plan.days * 24) * HOUR, dice.choice((HOUR, DAY))
        if plan.has("pauses"):
            facts += [Fact(at, "pause", name), Fact(at + lasts, "resume", name)]
    dice = plan.dice("kill switch")
    at, lasts = start + dice.randint(0, plan.days * 24) * HOUR, dice.choice((HOUR, DAY))
    if plan.has("kill_switch"):
        facts += [Fact(at, "kill_on"), Fact(at + lasts, "kill_off")]
    return sorted(facts, key=lambda fact: (fact.at, fact.kind, fact.subject))[: plan.facts_kept]


# --- policy -----------------------------------------------------------------------------------------------


@cache
def _shipped_policy() -> dict[str, Any]:
    return load_policy(SHIPPED / "policies" / "cn-consumer-finance.yaml").noun.model_dump(
        mode="json", exclude_none=True
    )


@cache
def _template() -> Any:
    return load_template(SHIPPED / "templates" / "come-back.yaml").noun


WINDOWS = ("09:00-20:00", "08:30-12:15", "22:00-06:00", "00:00-24:00", "18:00-21:00", "01:30-03:30")


def draw_policy(plan: Plan, name: str = "cn-consumer-finance") -> Policy:
    """Windows are the same on every kind of day, so that the oracle needs no calendar."""
    dice, rules = plan.dice(f"policy {name}"), dict(_shipped_policy())
    rules["id"] = name
    spans = {channel: dice.choice(WINDOWS) if plan.has("odd_windows") else "09:00-20:00" for channel in CHANNELS}
    rules["windows"] = {
        channel: {day: [span] for day in ("workday", "weekend", "holiday")} for channel, span in spans.items()
    }
    common = plan.dice("counts")  # the same under every policy, so that both count the same messages
    rules["counts"] = common.choice((["sms", "call"], ["push", "sms", "call"], ["sms"]))
    tight = [{"sends": dice.randint(1, 2), "within": dice.choice(("24h", "3d"))}]
    if dice.random() < 0.5:
        tight.append({"channel": dice.choice(rules["counts"]), "sends": 1, "within": dice.choice(("12h", "2d"))})
    rules["caps"] = tight if plan.has("caps") else [{"sends": 8, "within": "12h"}]
    if plan.has("unresponsive"):
        rules["unresponsive"] = rules["unresponsive"] | {"rest": "5d"}
        rules["unresponsive"]["after"] = rules["unresponsive"]["after"] | {"sends": dice.randint(1, 3)}
    else:
        rules.pop("unresponsive", None)
    providers = ["outbox", "second"] if plan.has("failover") else ["outbox"]
    failover = dice.choice((["connect"], ["connect", "throttled"]))
    per_second = dice.choice((1, 2)) if plan.has("small_chunks") else 1 if plan.has("overlaps") else 100
    rules["routes"] = {
        channel: {
            "providers": providers, "per_second": per_second, "attempts": dice.randint(1, 4), "failover_on": failover,
        }
        for channel in CHANNELS
    }  # fmt: skip
    rules["prices"] = {
        "currency": "CNY",
        "prices": [{"channel": channel, "amount": PRICE, "unit": "message"} for channel in CHANNELS],
    }
    rules["retention"] = draw_retention(plan.dice(f"retention {name}")) if plan.has("forgets") else {}
    rules["holdout"] = dice.choice((10, 40)) if plan.has("holdout") else 0
    rules["doubt_hold"] = dice.choice(("72h", "12h"))
    if plan.has("programme_budget"):
        rules["budget_per_day"] = PRICE * dice.randint(1, max(plan.users, 1))
    return Policy.model_validate(rules)


def draw_retention(dice: random.Random) -> dict[str, str]:
    """So short that something is forgotten while people are still on their way."""
    spans = {
        "bodies": ("1d", "3d"),
        "links": ("2d",),
        "receipts": ("1d", "4d"),
        "decisions": ("1d", "3d"),
        "events": ("20d", "40d"),
    }
    return {kind: dice.choice(choices) for kind, choices in spans.items() if dice.random() < 0.7}


CHANNELS = ("push", "sms", "call")


# --- journeys ---------------------------------------------------------------------------------------------


@dataclass
class _Writer:
    """Writes the steps of one journey."""

    plan: Plan
    dice: random.Random
    number: int = 0
    pushed: list[str] = field(default_factory=list)

    def message(self, channel: str | None = None, *, may_else: bool = True) -> str:
        self.number += 1
        name = f"m{self.number}"
        chosen = channel or self.dice.choice(CHANNELS)
        if chosen == "push":
            self.pushed.append(name)
        more = f", expires: {self.dice.choice(('6h', '1d', '2d'))}" if self.plan.has("expires") else ""
        if self.plan.has("else") and may_else and self.dice.random() < 0.4:
            self.number += 1
            other = self.dice.choice([each for each in CHANNELS if each != chosen])
            more += f", else: {{{other}: come-back, id: m{self.number}}}"
            if self.dice.random() < 0.5:
                more += ", when: {attribute: tier, is: gold}"
        if self.plan.has("offer") and self.dice.random() < 0.4:
            empty = self.dice.choice(("skip", "exit"))
            more += f", offer: {{name: o{self.number}, stock: {self.dice.randint(1, 3)}, on_empty: {empty}}}"
        if chosen == "call" and self.plan.has("calls"):
            return (
                f"{{call: come-back, id: {name}, attempts: {{max: 2, gap: 2h, retry_when: [machine, no_answer]}}, "
                f"on_outcome: {{declined: exit, interested: [{self.message('sms', may_else=False)}]}}, "
                f"outcome_within: 1d{more}}}"
            )
        return f"{{{chosen}: come-back, id: {name}{more}}}"

    def wait(self) -> str:
        if self.plan.has("until") and self.pushed and self.dice.random() < 0.5:
            what = self.dice.choice((f"clicked: {self.dice.choice(self.pushed)}", "did: visited"))
            return f"{{wait: {{until: {{{what}}}, at_most: {self.dice.choice(('1d', '6h'))}}}}}"
        return f"{{wait: {self.dice.choice(('1d', '2d', '3h', '30m', '1d'))}}}"

    def steps(self) -> list[str]:
        lines = [self.message()]
        for _ in range(self.dice.randint(0, 3)):
            lines.append(self.wait())
            kind = self.dice.choice(("message", "message", "branch", "split"))
            if kind == "branch" and self.plan.has("branch"):
                gold, rest = self.message(), self.message()
                case = f"{{when: {{attribute: tier, is: gold}}, steps: [{gold}]}}"
                lines.append(f"{{branch: [{case}, {{else: [{rest}]}}]}}")
            elif kind == "split" and self.plan.has("split"):
                arms = [f"{{arm: {arm}, percent: 50, steps: [{self.message()}]}}" for arm in ("a", "b")]
                lines.append(f"{{split: [{', '.join(arms)}]}}")
            else:
                lines.append(self.message())
        return lines


def draw_journeys(plan: Plan) -> list[Program]:
    wanted = [name for name, on in (("first", True), ("second", plan.has("second_journey")),
                                    ("third", plan.has("third_journey"))) if on]  # fmt: skip
    return [compile_journey(read_journey(write_journey(plan, name).encode(), f"{name}.yaml").noun,
                            templates={"come-back": _template()}) for name in wanted]  # fmt: skip


def write_journey(plan: Plan, name: str) -> str:
    """A journey file."""
    dice = plan.dice(f"journey {name}")
    policy = "other-policy" if plan.has("other_policy") and name == "second" else "cn-consumer-finance"
    limits = [f"currency: CNY, on_spent: {dice.choice(('defer', 'exit'))}"]
    total, daily, each = dice.randint(1, 6), dice.randint(1, 4), dice.randint(1, 3)
    if plan.has("budget"):
        limits += [f"per_day: '{daily * 0.045:.3f}'", f"total: '{total * 0.045:.3f}'"]
    if plan.has("per_user"):
        limits.append(f"per_user: '{each * 0.045:.3f}'")
    lines = [
        "schema: recall.journey/v1", f"id: {name}", "title: A journey of a drawn world", f"policy: {policy}",
        f"zone: {dice.choice(('Asia/Shanghai', 'America/New_York'))}",
        "entry:", "  anchor: loan_settled", f"  priority: {dice.choice((10, 50, 90))}",
        f"  overlap: {dice.choice(('allow', 'never')) if plan.has('overlap') else 'allow'}",
        "  audience: {did: loan_settled}", "goal: {event: loan_drawn, window: 28d}",
    ]  # fmt: skip
    if plan.has("holdout"):
        lines.append(f"holdout: {{percent: {dice.choice((10, 50))}}}")
    if len(limits) > 1:
        lines.append(f"budget: {{{', '.join(limits)}}}")
    if plan.has("exit_rule"):
        lines.append('exit_when: {attribute: frozen_for_good, is: "true"}')
    if plan.has("ramp"):
        lines.append(f"ramp: [{dice.randint(1, 3)}, {dice.randint(2, 5)}]")
    lines.append("steps:")
    lines += [f"  - {step}" for step in _Writer(plan, dice).steps()]
    return "\n".join(lines) + "\n"


def start_of(plan: Plan) -> Instant:
    return to_instant(datetime.fromisoformat(plan.dice("start").choice(STARTS)))
