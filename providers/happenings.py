"""What does a simulated world tell, and what is the truth behind it?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from providers.base import ProviderEvent
from providers.nature import Stage
from recall.clock import Instant

Cursor = tuple[int, ...]  # what to acknowledge once it is kept


@dataclass(frozen=True, slots=True)
class Event:
    """Something a person did, as the host would tell it."""

    key: str
    user: str
    name: str
    at: Instant
    properties: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Happenings:
    """What became known, earliest first. Told again until `cursor` is acknowledged."""

    events: tuple[Event, ...]
    receipts: tuple[ProviderEvent, ...]
    opt_outs: tuple[ProviderEvent, ...]  # inbound: with the address, without a ref
    cursor: Cursor

    def __bool__(self) -> bool:
        return bool(self.cursor)


@dataclass(frozen=True, slots=True)
class Truth:
    """Both halves of the experiment for one person: the same draws with and without messages.

    `untreated` and `actual` give when each kind of event first happens after the person became dormant.
    """

    user: str
    stage: Stage
    silent_since: Instant
    enters_at: Instant
    untreated: Mapping[str, Instant]
    actual: Mapping[str, Instant]

    @property
    def returned_untreated_at(self) -> Instant | None:
        return self.untreated.get("visited")

    @property
    def returned_actual_at(self) -> Instant | None:
        return self.actual.get("visited")
