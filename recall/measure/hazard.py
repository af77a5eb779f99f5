"""What does one more contact bring? Successes at contact k over people who reached contact k.

The rate of people by their number of contacts is survivorship-mixed and misleads; this is not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Contact:
    """What contact k did."""

    k: int
    reached: int  # people with at least k contacts
    successes: int  # whose last contact before success was k
    cumulative: float  # share of all successes at contacts up to k

    @property
    def hazard(self) -> float:
        return self.successes / self.reached if self.reached else 0.0


@dataclass(frozen=True)
class Cap:
    """What stopping after k contacts would have saved and lost."""

    k: int
    saved: int  # contacts
    saved_share: float
    lost: int  # successes
    lost_share: float
    within: float  # successes per contact, up to k
    beyond: float | None  # and after; None when nobody went on


@dataclass(frozen=True)
class Hazards:
    """Every contact number there was."""

    people: int
    successes: int
    contacts: int
    by_contact: tuple[Contact, ...]
    caps: tuple[Cap, ...]


def hazards(rows: Iterable[tuple[int, bool]]) -> Hazards:
    """From (contacts, success) per person."""
    people: Counter[int] = Counter()
    successes: Counter[int] = Counter()
    for contacts, success in rows:
        people[contacts] += 1
        successes[contacts] += success
    return hazards_of(people, successes)


def hazards_of(people: Counter[int], successes: Counter[int]) -> Hazards:
    """From people and successes by number of contacts; nobody with 0 contacts reached a contact."""
    most = max(people, default=0)
    total, calls = successes.total(), sum(k * count for k, count in people.items())
    reached = sum(count for k, count in people.items() if k >= 1)
    found: list[Contact] = []
    caps: list[Cap] = []
    won = made = 0
    for k in range(1, most + 1):
        won += successes[k]
        made += reached
        found.append(Contact(k, reached, successes[k], won / total if total else 0.0))
        caps.append(_cap(k, won=won, made=made, total=total, calls=calls))
        reached -= people[k]
    return Hazards(people.total(), total, calls, tuple(found), tuple(caps))


def _cap(k: int, *, won: int, made: int, total: int, calls: int) -> Cap:
    saved, lost = calls - made, total - won
    return Cap(
        k,
        saved=saved,
        saved_share=saved / calls if calls else 0.0,
        lost=lost,
        lost_share=lost / total if total else 0.0,
        within=won / made if made else 0.0,
        beyond=lost / saved if saved else None,
    )
