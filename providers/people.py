"""Who lives in the simulated world? Each person is a pure function of the seed and a number."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from journeys.words import AddressKind, Channel
from providers.base import Address
from providers.chance import exponential, gamma_one_and_a_half, happens, uniform
from providers.life import Nature
from providers.nature import DEFAULT_SCALE, STAGES, Stage
from recall.clock import DAY, SECOND, Instant

# Shares of the population [assumed].
PUSH_SHARE, EMAIL_SHARE = 0.45, 0.60
DEAD_SHARES = {AddressKind.PUSH: 0.08, AddressKind.PHONE: 0.02, AddressKind.EMAIL: 0.01}  # of those not delivered to
SHARED_PHONE_SHARE = 0.01  # families and second accounts: one number, two users
LONGER_SHARE, LONGER_DAYS = 0.7, 60.0  # silent longer than the stage's threshold, by this on average
ENTRY_SPREAD_DAYS = 14.0
ZONES = {"Asia/Shanghai": 0.95, "Asia/Urumqi": 0.03, "Asia/Kuala_Lumpur": 0.01, "America/New_York": 0.01}
CONSENT_WORDING = "sign-up form 3, marketing box"
T = TypeVar("T")
_FIRST_USER = 10**18  # nineteen digits: must survive every file as text


@dataclass(frozen=True, slots=True)
class Population:
    """What a world was made from; the same values make the same people."""

    n: int
    seed: int
    start: Instant
    days: float  # nobody looks after this
    scale: float = DEFAULT_SCALE  # how strongly people answer to messages
    stages: Mapping[Stage, float] = field(default_factory=lambda: {stage: STAGES[stage].share for stage in STAGES})

    @property
    def until(self) -> Instant:
        return self.start + int(self.days * DAY)


@dataclass(frozen=True, slots=True)
class Consent:
    channel: Channel
    purpose: str
    granted: bool
    at: Instant
    wording: str


@dataclass(frozen=True, slots=True)
class Person:
    """What the host knows about one person."""

    user: str
    zone: str
    locale: str
    jurisdiction: str
    stage: Stage  # when the world begins
    created_at: Instant  # registered, and agreed to be written to
    proved_at: Instant  # last proof that the addresses are theirs: signed in with a code before falling silent
    phone: str = field(repr=False)  # E.164
    email: str = field(repr=False)  # "" = none
    push_token: str = field(repr=False)  # "" = no permission
    attributes: Mapping[str, str]
    consents: tuple[Consent, ...]

    def address(self, channel: Channel) -> Address:
        """The address a message on this channel must carry."""
        if channel is Channel.PUSH:
            return Address(AddressKind.PUSH, self.push_token)
        if channel is Channel.EMAIL:
            return Address(AddressKind.EMAIL, self.email)
        if channel in (Channel.SMS, Channel.CALL):
            return Address(AddressKind.PHONE, self.phone)
        return Address(AddressKind.NONE, "")


def nature_of(population: Population, number: int) -> Nature:
    """The hidden part of the n-th person."""
    seed, user = population.seed, user_id(number)
    stage = _pick(population.stages, seed, user, "stage")
    silent_days = STAGES[stage].dormant_after_days
    if happens(LONGER_SHARE, seed, user, "longer"):
        silent_days += LONGER_DAYS * exponential(seed, user, "silent")
    enters_at = population.start + int(uniform(seed, user, "enters") * ENTRY_SPREAD_DAYS * DAY) // SECOND * SECOND
    return Nature(
        seed=seed,
        user=user,
        stage=stage,
        silent_since=enters_at - int(silent_days * DAY) // SECOND * SECOND,
        enters_at=enters_at,
        tendency=gamma_one_and_a_half(seed, user, "tendency"),
        response=exponential(seed, user, "response"),  # Gamma with shape 1
    )


def person_of(nature: Nature, number: int, *, created_at: Instant) -> Person:
    """The visible part of the n-th person, whose hidden part is known."""
    seed, user = nature.seed, nature.user
    own = number == 0 or not happens(SHARED_PHONE_SHARE, seed, user, "shared phone")
    push = happens(PUSH_SHARE, seed, user, "push")
    email = happens(EMAIL_SHARE, seed, user, "email")
    channels = [Channel.SMS, Channel.CALL, Channel.IN_APP, Channel.TASK]
    channels += [Channel.PUSH] * push + [Channel.EMAIL] * email
    return Person(
        user=user,
        zone=_pick(ZONES, seed, user, "zone"),
        locale="en" if happens(0.03, seed, user, "locale") else "zh-CN",
        jurisdiction="CN",
        stage=nature.stage,
        created_at=created_at,
        proved_at=nature.silent_since,
        phone=f"+86139{number if own else number - 1:08d}",
        email=f"user{number}@example.com" if email else "",
        push_token=f"token-{seed}-{number}" if push else "",
        attributes={
            "overdue_days": "0",
            "frozen": "false",
            "fraud_review": "false",
            "installed": "true" if push else "false",  # as far as the host knows
        },
        consents=tuple(Consent(channel, "marketing", True, created_at, CONSENT_WORDING) for channel in channels),
    )


def is_dead(seed: int, address: Address) -> bool:
    """Whether nothing sent to this address can ever arrive."""
    return happens(DEAD_SHARES.get(address.kind, 0.0), seed, "dead", address.value)


def user_id(number: int) -> str:
    return str(_FIRST_USER + number)


def _pick(shares: Mapping[T, float], *about: object) -> T:
    """One of the keys, with chances in proportion to the values."""
    draw = uniform(*about) * sum(shares.values())
    for key, share in shares.items():
        draw -= share
        if draw <= 0:
            return key
    return key
