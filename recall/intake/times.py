"""Which instant does this text mean? Never without a zone, never a guess between day and month."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache
from zoneinfo import ZoneInfo

from journeys.durations import local_to_instant
from recall.clock import DAY, Instant, to_instant
from recall.errors import Misconfigured
from recall.intake.reasons import WHAT_TO_DO, Reason, Rejected

_ISO = re.compile(
    r"(\d{4})-?(\d{2})-?(\d{2})"
    r"(?:[T ](\d{2}):(\d{2})(?::(\d{2})(?:[.,](\d{1,9}))?)?(?: ?(Z|[+-]\d{2}(?::?\d{2})?))?)?",
    re.ASCII | re.IGNORECASE,
)
# The commonest spelling, which datetime reads by itself in a fraction of the time; everything else takes `_read`.
_USUAL = re.compile(
    r"(?:19|20|21)\d\d-\d\d-\d\d[T ](?:[01]\d|2[0-3]):\d\d:\d\d(?:\.\d{3}|\.\d{6})?(?:Z|[+-](?:0\d|1[0-7]):[0-5]\d)",
    re.ASCII,
)
_DATE_WITH_HALF_HYPHENS = re.compile(r"\d{4}-\d{4}|\d{6}-\d{2}", re.ASCII)
_EPOCH = re.compile(r"\d{9,11}|\d{12,14}", re.ASCII)
_YEARS = range(1900, 2201)  # 0001 and 9999 stand for "none" in many systems, and near them a zone overflows
_AHEAD = DAY  # clocks differ; what lies further ahead is a mistake


@dataclass(frozen=True)
class Times:
    """How the times of one file are meant."""

    zone: ZoneInfo | None = None  # of times without a zone of their own, and of dates (00:00 there)
    epoch: str = ""  # epoch_s | epoch_ms: whole numbers since 1970; "" = ISO 8601, YYYYMMDD

    def read(self, text: str, column: str) -> Instant | None:
        """The instant; None for an empty cell."""
        text = text.strip()
        if not text:
            return None
        usual = not self.epoch and _USUAL.fullmatch(text)
        found = _read_usual(text) if usual else _read(text, self.zone, self.epoch)
        if isinstance(found, Reason):
            raise Rejected(found, column)
        return found

    def read_past(self, text: str, column: str, *, now: Instant) -> Instant | None:
        """The same for something that has happened: refuses what is more than a day ahead."""
        at = self.read(text, column)
        if at is not None and at > now + _AHEAD:
            raise Rejected(Reason.TIME_IN_FUTURE, column)
        return at


def read_stated(text: str, times: Times) -> Instant:
    """The instant a person typed; raises Misconfigured saying what to write."""
    found = _read(text.strip(), times.zone, "")
    if isinstance(found, Reason):
        raise Misconfigured(f"{text!r}: {WHAT_TO_DO[found]}")
    return found


def _read_usual(text: str) -> Instant | Reason:
    try:
        return to_instant(datetime.fromisoformat(text))
    except ValueError:
        return Reason.TIME_INVALID


@lru_cache(maxsize=65_536)
def _read(text: str, zone: ZoneInfo | None, epoch: str) -> Instant | Reason:
    if epoch:
        return _read_epoch(text, epoch)
    match = _ISO.fullmatch(text)
    if match is None or _DATE_WITH_HALF_HYPHENS.match(text):
        return Reason.TIME_IS_EPOCH if _EPOCH.fullmatch(text) else Reason.TIME_INVALID
    return _read_iso(match, zone)


def _read_iso(match: re.Match[str], zone: ZoneInfo | None) -> Instant | Reason:
    year, month, day, hour, minute, second, fraction, offset = match.groups()
    if int(year) not in _YEARS:
        return Reason.TIME_OUT_OF_RANGE
    micros = int((fraction or "0").ljust(6, "0")[:6])
    try:
        moment = datetime(int(year), int(month), int(day), int(hour or 0), int(minute or 0), int(second or 0), micros)  # noqa: DTZ001  (the zone follows)
        if offset:
            return to_instant(moment.replace(tzinfo=_offset(offset)))
    except ValueError:
        return Reason.TIME_INVALID
    return Reason.TIME_WITHOUT_ZONE if zone is None else local_to_instant(moment, zone)


def _offset(text: str) -> timezone:
    if text in "Zz":
        return UTC
    hours, minutes = int(text[1:3]), int(text[-2:]) if len(text) > 3 else 0
    if minutes > 59 or hours > 18:
        raise ValueError(text)
    ahead = timedelta(hours=hours, minutes=minutes)
    return timezone(-ahead if text[0] == "-" else ahead)


def _read_epoch(text: str, epoch: str) -> Instant | Reason:
    if not re.fullmatch(r"\d{1,14}", text, re.ASCII):
        return Reason.TIME_INVALID
    at = int(text) * (1_000_000 if epoch == "epoch_s" else 1_000)
    return at if at < _LAST else Reason.TIME_OUT_OF_RANGE


_LAST = to_instant(datetime(2201, 1, 1, tzinfo=UTC))
