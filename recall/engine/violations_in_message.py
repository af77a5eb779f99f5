"""Could this one message be sent then? Stops, switches, the local clock, consent and holdout, each read anew."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta

from journeys.calendars import DayType, day_type
from journeys.journey import Journey
from journeys.policy import Policy
from journeys.words import Channel, Holdout
from recall.clock import Instant, to_datetime
from recall.engine.evidence import TOTAL_DELAY, Evidence, Taken, Violation
from recall.store.controls import ControlKind
from recall.store.invariants import Sent, Stop, Switched

Span = tuple[int, int]


def find_in_message(evidence: Evidence, message: Taken) -> Iterator[Violation]:
    """What is wrong with one message a provider took, looked at alone."""
    found = [
        *(("I2", what) for what in _forbidden(evidence, message)),
        *(("I3", what) for what in _at_a_wrong_hour(evidence, message)),
        *(("I7", what) for what in _without_consent(evidence, message)),
    ]
    if message.row.holdout != Holdout.TREATED:
        found.append(("I10", f"reached somebody of the {message.row.holdout} holdout"))
    for invariant, what in found:
        yield Violation(invariant, f"{evidence.named(message.row)} {what}")


# --- I2: nothing after … ----------------------------------------------------------------------------------


def _forbidden(evidence: Evidence, message: Taken) -> Iterator[str]:
    row = message.row
    goal = evidence.goals.get(row.enrolment_id)
    if _known_before(goal, message.at):
        yield "was sent after the person came back"
    if _known_before(row.erased_at, message.at):
        yield "was sent after the person was erased"
    if _known_before(row.unreachable_at, message.at):
        yield "was sent to an address known not to work"
    for which in message.bound_by:
        for stop in evidence.stops.get(which, ()):
            if _binds(stop, row, message.at):
                yield f"was sent after: {stop.reason}"
    for switched in evidence.switches:
        if _covers(switched, evidence, row) and _in_force(switched.since, switched.until, message.at):
            yield f"was sent while {switched.kind} was on"


def _known_before(since: Instant | None, at: Instant) -> bool:
    """Whether a fact stood in the store so early that the gate of a message at `at` must have seen it."""
    return since is not None and since + TOTAL_DELAY < at


def _in_force(since: Instant, ended_at: Instant | None, at: Instant) -> bool:
    return _known_before(since, at) and (ended_at is None or ended_at > at)


def _binds(stop: Stop, row: Sent, at: Instant) -> bool:
    return stop.brand == row.brand and stop.channel in ("", row.channel) and _in_force(stop.since, stop.ended_at, at)


def _covers(switched: Switched, evidence: Evidence, row: Sent) -> bool:
    version = evidence.versions[row.version_id]
    node = evidence.message(row)
    match switched.kind:
        case ControlKind.KILL_SWITCH:
            return True
        case ControlKind.PAUSED:
            return switched.subject == version.name
        case ControlKind.STOPPED_STEP:
            return switched.subject == f"{version.name}/{node.name}"
        case ControlKind.STOPPED_TEMPLATE:
            return switched.subject == node.template
        case _:
            return False


# --- I3: the local clock ----------------------------------------------------------------------------------


def _at_a_wrong_hour(evidence: Evidence, message: Taken) -> Iterator[str]:
    """Closed now, and closed when the gate of this message can have been passed."""
    row = message.row
    policy, journey, zones = evidence.policy(row), evidence.journey(row), evidence.zones[row.zone_id]
    if not zones:
        yield "went to somebody whose time zone nobody knows"
    for zone in zones:
        moments = [to_datetime(at).astimezone(zone) for at in (message.at, message.at - TOTAL_DELAY)]
        if not any(_is_open(policy, journey, Channel(row.channel), local) for local in moments):
            yield f"went out at {moments[0]:%Y-%m-%d %H:%M} of the person's clock, when the window was closed"


def _is_open(policy: Policy, journey: Journey, channel: Channel, local: datetime) -> bool:
    """By the wall clock: inside a span of today's kind of day, or of yesterday's that goes on past midnight."""
    minute, today = local.hour * 60 + local.minute, local.date()
    if today.isoformat() in policy.blackout:
        return False
    stricter = (journey.window or {}).get(channel)
    own = stricter is None or _inside(stricter, stricter, minute)
    yesterday = today - timedelta(days=1)
    return own and _inside(_spans(policy, channel, today), _spans(policy, channel, yesterday), minute)


def _inside(today: tuple[Span, ...], yesterday: tuple[Span, ...], minute: int) -> bool:
    begun_today = any(start <= minute < (end if start < end else 24 * 60) for start, end in today)
    return begun_today or any(end < start and minute < end for start, end in yesterday)


def _spans(policy: Policy, channel: Channel, day: date) -> tuple[Span, ...]:
    windows = policy.windows.get(channel)
    if windows is None or day.isoformat() in policy.blackout:
        return ()
    match day_type(policy.calendar, day):
        case DayType.WORKDAY:
            return windows.workday
        case DayType.WEEKEND:
            return windows.weekend
        case DayType.HOLIDAY:
            return windows.holiday


# --- I7: consent ------------------------------------------------------------------------------------------


def _without_consent(evidence: Evidence, message: Taken) -> Iterator[str]:
    row, at = message.row, message.at
    wanted = evidence.policy(row).consent
    if Channel(row.channel) not in wanted.channels:
        return
    consent = evidence.consents.get(row.consent_id or 0)
    if consent is None:
        yield "carries no consent"
        return
    about = (row.user_id, row.brand, row.channel, wanted.purpose)
    if consent.about != about or not consent.granted or consent.at > at:
        yield f"carries consent {row.consent_id}, which does not cover it"
    if _known_before(consent.expires_at, at):
        yield f"carries consent {row.consent_id}, which had expired"
    if any(consent.at <= said and _known_before(said, at) for said in evidence.withdrawals.get(about, ())):
        yield f"carries consent {row.consent_id}, which had been withdrawn"
