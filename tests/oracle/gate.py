"""May this person get this message now? The same question answered slowly, person by person, from plain facts.

Shares nothing with the gate but the words: caps are counted over a list of past sends, windows by asking the
person's wall clock minute by minute, everything else by reading the rule aloud.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

DAY = 86_400_000_000


@dataclass
class Past:
    """One counted message of the past."""

    at: int
    channel: str


@dataclass
class Rules:
    """What the policy and the journey of a trial say, in the plainest form."""

    channel: str = "sms"
    window: tuple[int, int] = (540, 1200)  # local minutes, half-open; end < start is overnight
    caps: list[tuple[int, int, str | None]] = field(default_factory=list)  # sends, micros, channel
    counts: bool = True
    unanswered: int | None = 3
    max_age: int | None = 180 * DAY
    allow: tuple[str, ...] = ("CN",)
    expires: int = 3 * DAY
    needs_consent: bool = True
    condition_tier: str | None = None
    hold_attribute: bool = False
    budget: int | None = None
    price: int = 0


@dataclass
class Human:
    """Everything that is true of one person at the moment of the question."""

    name: str
    zone: str
    erased: bool = False
    goal_at: int | None = None
    anchor_at: int = 0
    attributes: dict[str, str] = field(default_factory=dict)
    first_due_at: int = 0
    suppressed: bool = False
    rest_until: int | None = None
    answered_at: int | None = None
    sends: list[Past] = field(default_factory=list)
    phone: str | None = None
    phone_suppressed: bool = False
    opted_out: bool = False
    unreachable: bool = False
    proved_at: int | None = None
    region: str = "CN"
    consent: bool = True
    consent_expires: int | None = None
    phone_sends: list[Past] = field(default_factory=list)  # counted messages to the number, whoever it belonged to
    rivals: int = 0  # due messages of journeys that go first
    holdout: bool = False

    @property
    def streak(self) -> int:
        since = self.answered_at if self.answered_at is not None else -1
        return sum(1 for past in self.sends if past.at > since)


def reason(human: Human, rules: Rules, now: int) -> str | None:
    """The first reason, in the order of the design; None to go."""
    attributes = human.attributes
    if human.erased:
        return "erased"
    if human.goal_at is not None and human.goal_at > human.anchor_at:
        return "goal_reached"
    wanted = {"overdue_days": "0", "frozen": "false", "fraud_review": "false"}
    if any(attributes.get(name) != value for name, value in wanted.items()):
        return "not_eligible"
    if rules.hold_attribute and attributes.get("complaint") == "open":
        return "held"
    if now > human.first_due_at + rules.expires:
        return "message_expired"
    if rules.condition_tier is not None and attributes.get("tier") != rules.condition_tier:
        return "condition"
    if human.suppressed or (human.phone is not None and human.phone_suppressed):
        return "suppressed"
    if rules.unanswered is not None and rules.counts and _silent(human, rules.unanswered, now):
        return "unresponsive"
    if human.phone is not None and human.opted_out:
        return "opted_out"
    if rules.needs_consent and not _consents(human, now):
        return "no_consent"
    if human.phone is None or human.unreachable:
        return "unreachable"
    if rules.max_age is not None and (human.proved_at is None or now - human.proved_at >= rules.max_age):
        return "unverified"
    if rules.allow and human.region not in rules.allow:
        return "region_blocked"
    if rules.counts and human.rivals and _full(human, rules, now, ahead=human.rivals):
        return "outranked"
    if rules.counts and _full(human, rules, now, ahead=0):
        return "capped"
    if not _awake(human.zone, rules.window, now):
        return "outside_window"
    return "holdout" if human.holdout else None


def _silent(human: Human, limit: int, now: int) -> bool:
    return (human.rest_until is not None and human.rest_until > now) or human.streak >= limit


def _consents(human: Human, now: int) -> bool:
    return human.consent and (human.consent_expires is None or human.consent_expires > now)


def _full(human: Human, rules: Rules, now: int, *, ahead: int) -> bool:
    """Some cap has no slot left once `ahead` rivals have taken theirs; per person, and per number."""
    for most, within, channel in rules.caps:
        if channel is not None and channel != rules.channel:
            continue
        for history in (human.sends, human.phone_sends):
            recent = [p for p in history if now - p.at < within and channel in (None, p.channel)]
            if len(recent) + ahead >= most:
                return True
    return False


def _awake(zone: str, window: tuple[int, int], now: int) -> bool:
    if not zone:
        return False
    local = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=now)).astimezone(ZoneInfo(zone))
    minute, (start, end) = local.hour * 60 + local.minute, window
    return start <= minute < end if start < end else minute >= start or minute < end
