"""Who must never be messaged, according to a file? Addresses and users, known or not, as they are or as hashes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from journeys.words import AddressKind, Channel
from recall.clock import Instant
from recall.intake.emails import read_email
from recall.intake.loading import ImportReport, Job, Kind, Progress, Written
from recall.intake.mapping import Fields, FileMapping, Plan
from recall.intake.phones import confirm_region, read_phone
from recall.intake.reasons import Reason, Rejected
from recall.intake.sheet import Row
from recall.intake.texts import read_channel, read_id, read_word
from recall.store.connect import Store
from recall.store.suppressions import (
    ALL,
    OPT_OUTS,
    USER,
    NewSuppression,
    declare_suppressions,
    opt_outs,
    suppress_many,
)

_NAMED = ("phone", "email", "push", "user")
SUPPRESSIONS = Kind(
    "suppressions",
    Fields(
        required=(),
        optional=(*_NAMED, "kind", "value", "hash", "channel", "reason", "at", "until", "source", "brand"),
    ),
)
_HASH = re.compile(r"[0-9a-f]{64}")


def import_suppressions(
    store: Store,
    file: Path,
    mapping: FileMapping,
    *,
    now: Instant,
    rejects: Path,
    region: str | None = None,
    as_of: Instant | None = None,
    progress: Progress | None = None,
    despite_rejects: bool = False,
) -> ImportReport:
    """Keep the suppressions of a file. `rejects` is a folder, `region` where phones without country code are meant.

    Afterwards suppressions count as declared, unless the file had no row, or rows were rejected: whom those meant
    might be messaged. `despite_rejects` says that a person looked at them.
    """
    job: Job[_Stop] = Job(store, SUPPRESSIONS, mapping, now, rejects, as_of, progress)
    country = confirm_region(mapping.region or region)
    report = job.run(file, lambda found: _Suppressions(store, mapping, found, now, country))
    if report.read and (despite_rejects or not report.rejected):
        with store.writing() as connection:
            declare_suppressions(connection, "imported", at=now)
    return report


@dataclass(frozen=True, slots=True)
class _Stop:
    """What one row says."""

    decisions: tuple[NewSuppression, ...]
    user: str = ""  # the host's id, when the row names a user
    user_hash: str = ""


class _Suppressions:
    def __init__(self, store: Store, mapping: FileMapping, found: Plan, now: Instant, region: str | None) -> None:
        self._store = store
        self._mapping = mapping
        self._plan = found
        self._now = now
        self._region = region
        self._times = mapping.time_reading

    def read(self, row: Row) -> _Stop:
        named = [*self._named(row.cells), *self._by_kind(row.cells)]
        if not named:
            raise Rejected(Reason.NOBODY_NAMED)
        decisions = tuple(chain.from_iterable(self._decisions(kind, hashed, row.cells) for kind, hashed, _ in named))
        user, user_hash = next(((value, hashed) for kind, hashed, value in named if kind == USER), ("", ""))
        return _Stop(decisions, user, user_hash)

    def write(self, items: Sequence[_Stop]) -> Written:
        users = {item.user_hash: item.user for item in items if item.user}
        with self._store.writing() as connection:
            told = suppress_many(connection, [new for item in items for new in item.decisions], users=users)
        news = iter(told)
        added = sum(any([next(news) for _ in item.decisions]) for item in items)
        return Written(added=added, unchanged=len(items) - added)

    def newest(self, items: Sequence[_Stop]) -> Instant | None:
        return None

    def _text(self, name: str, cells: Sequence[str]) -> str:
        source = self._plan.get(name)
        return source.text(cells).strip() if source else ""

    def _named(self, cells: Sequence[str]) -> list[tuple[str, str, str]]:
        """(kind, hash, value) of everybody named in a column of their own."""
        found = [(kind, self._value(kind, self._text(kind, cells), self._plan.column(kind))) for kind in _NAMED]
        return [(kind, self._store.hash_address(kind, value), value) for kind, value in found if value]

    def _by_kind(self, cells: Sequence[str]) -> list[tuple[str, str, str]]:
        """The same of columns kind and value, or kind and hash."""
        kind, value, hashed = (self._text(name, cells) for name in ("kind", "value", "hash"))
        kind = kind.lower()
        if not value and not hashed:
            return []
        if kind not in _NAMED or (hashed and kind == USER):
            raise Rejected(Reason.UNKNOWN_KIND, self._plan.column("kind"))
        if hashed:
            if not _HASH.fullmatch(hashed):
                raise Rejected(Reason.HASH_INVALID, self._plan.column("hash"))
            return [(kind, hashed, "")]
        value = self._value(kind, value, self._plan.column("value"))
        return [(kind, self._store.hash_address(kind, value), value)]

    def _value(self, kind: str, text: str, column: str) -> str:
        """The normalised value; "" for an empty cell."""
        if not text:
            return ""
        if kind == AddressKind.PHONE:
            # A landline may be suppressed whatever the users' file allows.
            phone = read_phone(text, column, region=self._region, landlines=True)
            return phone.value if phone else ""
        return (read_email(text, column) or "") if kind == AddressKind.EMAIL else read_id(text, column)

    def _decisions(self, kind: str, hashed: str, cells: Sequence[str]) -> list[NewSuppression]:
        at = self._past(cells)
        new = NewSuppression(
            kind,
            hashed,
            self._now if at is None else at,
            reason=self._word("reason", cells, "suppressed"),
            source=self._word("source", cells, "import"),
            until=self._until(cells),
            brand=self._word("brand", cells, "default"),
        )
        channel = self._channel(cells)
        if kind == USER:
            return [new]
        if channel is not None:
            return opt_outs(new, [channel])
        return opt_outs(new, ALL) if new.reason in OPT_OUTS else [new]

    def _channel(self, cells: Sequence[str]) -> Channel | None:
        text = self._text("channel", cells)
        return read_channel(text, self._plan.column("channel")) if text and text.lower() not in ("all", "*") else None

    def _past(self, cells: Sequence[str]) -> Instant | None:
        return self._times.read_past(self._text("at", cells), self._plan.column("at"), now=self._now)

    def _until(self, cells: Sequence[str]) -> Instant | None:
        until = self._times.read(self._text("until", cells), self._plan.column("until"))
        if until is not None and until <= self._now:
            raise Rejected(Reason.ALREADY_OVER, self._plan.column("until"))
        return until

    def _word(self, name: str, cells: Sequence[str], default: str) -> str:
        return read_word(self._text(name, cells), self._plan.column(name), default=default)
