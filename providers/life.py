"""What does one simulated person do, and when, given the messages that reached them?

A life is a pure function of the person's nature and the kicks. Someone returns when the hazards summed since
they fell silent pass a threshold drawn once per silence, so the life without kicks is the other half of the
experiment: the same person, the same draws, never messaged. A kick can only bring a return forward.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from math import ceil, exp

from providers.chance import between, exponential, happens, uniform
from providers.nature import KICK_DECAY_DAYS, NATURAL_LEVEL, STAGES, Stage, natural_hazard_sum, silent_days_at
from recall.clock import DAY, HOUR, MINUTE, SECOND, Instant

TERMS_DAYS = (30, 60, 90)  # of loans


@dataclass(frozen=True, slots=True)
class Nature:
    """What moves one person; the engine never sees it."""

    seed: int
    user: str
    stage: Stage  # when the world begins
    silent_since: Instant
    enters_at: Instant  # dormant from here on; counted as not returned before
    tendency: float  # factor on natural returns, mean 1
    response: float  # factor on kicks, mean 1


@dataclass(frozen=True, slots=True)
class Kick:
    """Hazard added by one message or click."""

    sent_at: Instant  # of the message: works only in the silence it fell into
    at: Instant  # begins to work
    size: float  # in all


@dataclass(frozen=True, slots=True)
class Deed:
    """Something a person does, to be told as an event."""

    key: str
    name: str
    at: Instant
    properties: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Silence:
    """From falling silent to coming back."""

    number: int
    stage: Stage
    since: Instant
    watched_from: Instant  # hazards count from here
    returned_at: Instant | None  # None: not before the world ends


@dataclass(frozen=True, slots=True)
class Life:
    deeds: tuple[Deed, ...]
    silences: tuple[Silence, ...]

    def silence_at(self, now: Instant) -> Silence | None:
        """The silence somebody is in; None while they are active."""
        for silence in self.silences:
            if silence.since <= now and (silence.returned_at is None or now < silence.returned_at):
                return silence
        return None

    def first(self, *, since: Instant) -> dict[str, Instant]:
        """When each kind of deed first happens after an instant."""
        found: dict[str, Instant] = {}
        for deed in self.deeds:
            if deed.at > since:
                found[deed.name] = min(deed.at, found.get(deed.name, deed.at))
        return found


def live(nature: Nature, kicks: Sequence[Kick] = (), *, until: Instant) -> Life:
    """Live on until nobody looks any more; what a return sets off may come later."""
    deeds = list(_before(nature))
    silences: list[Silence] = []
    stage, since, watched_from = nature.stage, nature.silent_since, nature.enters_at
    for number in count(1):
        if stage is Stage.CLOSED or watched_from >= until:
            break
        felt = [kick for kick in kicks if kick.sent_at >= since]
        silence = Silence(number, stage, since, watched_from, None)
        returned_at = _returns(nature, silence, felt, until)
        silences.append(Silence(number, stage, since, watched_from, returned_at))
        if returned_at is None:
            break
        back = list(_after_return(nature, number, stage, returned_at))
        deeds += back
        stage, since = _fallen_silent(stage, back)
        watched_from = since
    return Life(tuple(deeds), tuple(silences))


def _returns(nature: Nature, silence: Silence, kicks: Sequence[Kick], until: Instant) -> Instant | None:
    """The first whole second at which the summed hazards reach the threshold."""
    threshold = exponential(nature.seed, nature.user, "return", silence.number)
    factor = STAGES[silence.stage].natural * nature.tendency * NATURAL_LEVEL
    head_start = natural_hazard_sum((silence.watched_from - silence.since) / DAY)

    def hazards(second: int) -> float:
        at = second * SECOND
        natural = factor * (natural_hazard_sum((at - silence.since) / DAY) - head_start)
        return natural + sum(_felt(kick, silence.watched_from, at) for kick in kicks)

    days = silent_days_at(head_start + threshold / factor) if factor > 0 else None
    last = until // SECOND
    if days is not None:
        last = min(last, ceil((silence.since + days * DAY) / SECOND) + 1)
    low = silence.watched_from // SECOND
    if last <= low or hazards(last) < threshold:
        return None
    while last - low > 1:
        middle = (low + last) // 2
        low, last = (low, middle) if hazards(middle) >= threshold else (middle, last)
    return last * SECOND


def _felt(kick: Kick, watched_from: Instant, at: Instant) -> float:
    start = max(kick.at, watched_from)
    if at <= start:
        return 0.0
    return kick.size * (_left(start - kick.at) - _left(at - kick.at))


def _left(elapsed: Instant) -> float:
    return exp(-elapsed / (KICK_DECAY_DAYS * DAY))


def _before(nature: Nature) -> Iterator[Deed]:
    """How the person came to where they fell silent, told backwards from there."""
    steps = {
        Stage.REGISTERED: ("registered",),
        Stage.APPLICATION: ("application_started", "visited", "registered"),
        Stage.GRANTED: ("credit_granted", "application_submitted", "application_started", "registered"),
        Stage.SETTLED: (
            "loan_settled",
            "loan_drawn",
            "credit_granted",
            "application_submitted",
            "application_started",
            "registered",
        ),
    }[nature.stage]
    at = nature.silent_since
    for name in steps:
        yield _deed(nature, 0, name, at)
        at -= _term(nature, 0) if name == "loan_settled" else _pause(MINUTE, 3 * DAY, nature, 0, name)


def _after_return(nature: Nature, number: int, stage: Stage, at: Instant) -> Iterator[Deed]:
    """What somebody does once back: each step only if the one before was taken."""
    shape = STAGES[stage]

    def goes_on(name: str, probability: float) -> bool:
        return happens(probability, nature.seed, nature.user, name, number)

    def then(name: str, low: Instant, high: Instant) -> Deed:
        nonlocal at
        at += _pause(low, high, nature, number, name)
        return _deed(nature, number, name, at)

    yield _deed(nature, number, "visited", at)
    if not goes_on("login", shape.login):
        return
    yield then("logged_in", 5 * SECOND, MINUTE)
    if stage in (Stage.REGISTERED, Stage.APPLICATION):
        if not goes_on("apply", shape.apply):
            return
        if stage is Stage.REGISTERED:
            yield then("application_started", MINUTE, 10 * MINUTE)
        yield then("application_submitted", 5 * MINUTE, 30 * MINUTE)
        if not goes_on("grant", shape.grant):
            yield then("application_rejected", 10 * MINUTE, DAY)
            return
        yield then("credit_granted", 10 * MINUTE, DAY)
    if goes_on("withdraw", shape.withdraw):
        yield then("loan_drawn", 5 * MINUTE, 2 * HOUR)
        yield _deed(nature, number, "loan_settled", at + _term(nature, number))


def _fallen_silent(stage: Stage, back: Sequence[Deed]) -> tuple[Stage, Instant]:
    """How far the person is now, and since when nothing more was heard."""
    reached = {
        "application_rejected": Stage.CLOSED,
        "credit_granted": Stage.GRANTED,
        "loan_settled": Stage.SETTLED,
    }
    return reached.get(back[-1].name, stage), back[-1].at


def _deed(nature: Nature, number: int, name: str, at: Instant) -> Deed:
    properties: dict[str, str] = {}
    if name in ("loan_drawn", "loan_settled"):
        amount = 500 * (1 + int(uniform(nature.seed, nature.user, "amount", number) * 20))
        properties = {"amount": f"{amount}.00", "currency": "CNY", "loan": f"{nature.user}-{number}"}
    elif name == "credit_granted":
        limit = 1000 * (5 + int(uniform(nature.seed, nature.user, "limit") * 45))
        properties = {"limit": f"{limit}.00", "currency": "CNY"}
    return Deed(f"{nature.user}:{number}:{name}", name, at, properties)


def _pause(low: Instant, high: Instant, nature: Nature, number: int, name: str) -> Instant:
    """A pause in whole seconds."""
    return int(between(low, high, nature.seed, nature.user, "pause", name, number)) // SECOND * SECOND


def _term(nature: Nature, number: int) -> Instant:
    return TERMS_DAYS[int(uniform(nature.seed, nature.user, "term", number) * len(TERMS_DAYS))] * DAY
