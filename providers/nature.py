"""By which rules do simulated people live? Shapes are fitted to public data, levels are assumed.

- Natural return: daily hazard .0218 (1 + d/28.4)^-1.287 after d silent days, fitted to the CDNOW purchases.
- Fatigue: exp(-((k-1)/6.07)^1.36) at the k-th message, fitted to 124,956 calls of a bank's campaign.
- A message adds to the hazard and never multiplies it: measured lifts are about flat in the time away.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from math import exp, pow

from journeys.words import Channel

NATURAL_RATE, NATURAL_DAYS, NATURAL_POWER = 0.0218, 28.4, 1.287
NATURAL_LEVEL = 0.5  # borrowers return half as often as buyers of music [assumed]
FATIGUE_CONTACTS, FATIGUE_POWER = 6.07, 1.36
KICK_DECAY_DAYS = 4.0  # mean time over which a kick works
KICK_DAYS = 3.0  # a kick of daily size c adds 3c in all: with it the reference lifts of caps 1 to 4 are met
CLICK_KICK = 0.3  # in all, at scale 1: .045 at the default scale
DEFAULT_SCALE = 0.15


class Stage(StrEnum):
    """How far a person got before falling silent."""

    REGISTERED = "registered"
    APPLICATION = "application"  # begun, not finished
    GRANTED = "granted"  # credit granted, no loan drawn
    SETTLED = "settled"  # loan paid back, not borrowed again
    CLOSED = "closed"  # application rejected: comes back no more


@dataclass(frozen=True, slots=True)
class StageShape:
    share: float  # of the population
    dormant_after_days: float
    natural: float  # factor on the natural hazard
    response: float  # factor on kicks
    login: float  # after a return, each given the one before
    apply: float
    grant: float
    withdraw: float


STAGES: Mapping[Stage, StageShape] = {
    Stage.REGISTERED: StageShape(0.35, 3, 0.55, 0.7, 0.85, 0.45, 0.55, 0.50),
    Stage.APPLICATION: StageShape(0.25, 3, 0.80, 0.9, 0.87, 0.60, 0.55, 0.55),
    Stage.GRANTED: StageShape(0.20, 7, 1.20, 1.2, 0.89, 1.0, 1.0, 0.65),
    Stage.SETTLED: StageShape(0.20, 30, 1.60, 1.6, 0.90, 1.0, 1.0, 0.75),
}


@dataclass(frozen=True, slots=True)
class Reach:
    """What becomes of one accepted message."""

    delivered: float  # calls: answered by a person
    kick: float  # daily hazard added at scale 1
    opened: float = 0.0  # given delivered
    clicked: float = 0.0  # given delivered; whoever clicks has opened
    opt_out: float = 0.0  # given delivered
    cost_micros: int | None = None  # as told in the answer to the request


REACH: Mapping[Channel, Reach] = {
    Channel.PUSH: Reach(0.80, 0.020, opened=0.05, clicked=0.02, opt_out=0.001),
    Channel.SMS: Reach(0.95, 0.030, clicked=0.04, opt_out=0.003, cost_micros=45_000),
    Channel.CALL: Reach(0.42, 0.045, opt_out=0.006),
    Channel.EMAIL: Reach(0.97, 0.015, opened=0.20, clicked=0.02, opt_out=0.002),
    Channel.IN_APP: Reach(1.0, 0.0),  # seen only by people who are back already
    Channel.TASK: Reach(0.50, 0.045),  # a person calls
}


def natural_hazard_sum(silent_days: float) -> float:
    """The natural hazard summed from the first silent day, before stage, personal factor and level."""
    power = NATURAL_POWER - 1
    return NATURAL_RATE * NATURAL_DAYS / power * (1 - pow(1 + silent_days / NATURAL_DAYS, -power))


def silent_days_at(hazard_sum: float) -> float | None:
    """The inverse of `natural_hazard_sum`; None if so much is never reached."""
    power = NATURAL_POWER - 1
    left = 1 - hazard_sum * power / (NATURAL_RATE * NATURAL_DAYS)
    return None if left <= 0 else NATURAL_DAYS * (pow(left, -1 / power) - 1)


def fatigue(contact: int) -> float:
    """What is left of the effect at the k-th message since the person fell silent; k counts from 1."""
    return exp(-(((contact - 1) / FATIGUE_CONTACTS) ** FATIGUE_POWER))


def message_kick(channel: Channel, stage: Stage, *, response: float, contact: int, scale: float) -> float:
    """The hazard one delivered message adds in all."""
    return KICK_DAYS * REACH[channel].kick * _answering(stage, response=response, contact=contact, scale=scale)


def click_kick(stage: Stage, *, response: float, contact: int, scale: float) -> float:
    """The hazard a click adds in all."""
    return CLICK_KICK * _answering(stage, response=response, contact=contact, scale=scale)


def _answering(stage: Stage, *, response: float, contact: int, scale: float) -> float:
    shape = STAGES.get(stage)
    return scale * response * shape.response * fatigue(contact) if shape else 0.0
