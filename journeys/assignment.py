"""Who is held out, rolled out, and on which arm? By hash of the host's user id, so that the answer never changes.

Each question has a salt of its own: who is held out of the programme says nothing about who is held out of a
journey, or on which arm. Salts name a policy, a journey or a split, never a version: a user keeps the answer over
new versions and re-entries, and a raised percentage only adds users.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256

from journeys.words import Holdout

_BITS = 53  # what a float holds exactly


def share(salt: str, user: str) -> float:
    """Where a user stands in [0, 1): evenly spread over users, and independent between salts."""
    digest = sha256(f"{salt}:{user}".encode()).digest()
    return (int.from_bytes(digest[:8], "big") >> (64 - _BITS)) / (1 << _BITS)


def in_rollout(journey: str, user: str, percent: int) -> bool:
    """Whether a journey that is rolled out to `percent` of users has reached this one."""
    return _below(f"rollout:{journey}", user, percent)


def in_holdout(salt: str, user: str, percent: int) -> bool:
    """Whether a user is among the `percent` who are left alone under this salt."""
    return _below(f"holdout:{salt}", user, percent)


def holdout_of(user: str, *, policy: str, programme_percent: int, journey: str, journey_percent: int) -> Holdout:
    """Messaged, or held out by the programme (which goes first) or by the journey."""
    if in_holdout(f"programme:{policy}", user, programme_percent):
        return Holdout.PROGRAMME
    if in_holdout(f"journey:{journey}", user, journey_percent):
        return Holdout.JOURNEY
    return Holdout.TREATED


def arm(journey: str, split: str, user: str, arms: Iterable[tuple[str, int]]) -> str:
    """The user's arm of a split; `arms` are (name, percent) in written order; raises ValueError below 100 in all."""
    point = share(f"arm:{journey}:{split}", user) * 100
    upto = 0
    for name, percent in arms:
        upto += percent
        if point < upto:
            return name
    raise ValueError(f"the arms of {split} add up to {upto} percent; they must add up to 100")


def _below(salt: str, user: str, percent: int) -> bool:
    return share(salt, user) * 100 < percent
