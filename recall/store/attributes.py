"""What else is known about people? Attributes are text; what plainly is a number or an instant is kept as that too."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from journeys.durations import local_to_instant
from recall.clock import Instant, to_instant
from recall.store.given import Columns, give

_NUMBER = re.compile(r"[+-]?\d{1,15}(\.\d{1,15})?", re.ASCII)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?(Z|[+-]\d{2}:\d{2})?)?", re.ASCII)
_ATTRIBUTE: Columns = {
    "user_id": "bigint",
    "name": "text",
    "value": "text",
    "number": "double precision",
    "at": "bigint",
}


def as_number(value: str) -> float | None:
    """The number a text plainly is (`-12.5`); None for `1,234`, `1e5`, 19-digit ids and the like."""
    return float(value) if _NUMBER.fullmatch(value) else None


def as_instant(value: str, zone: ZoneInfo | None) -> Instant | None:
    """The instant an ISO 8601 text plainly is; without an offset it is meant in `zone`, and without that it is none."""
    if not _DATE.fullmatch(value):
        return None
    try:
        moment = datetime.fromisoformat(value)
        if not 1900 <= moment.year <= 2200:  # 0001 and 9999 stand for "none", and near them a zone overflows
            return None
        if moment.tzinfo is not None:
            return to_instant(moment)
        return local_to_instant(moment, zone) if zone is not None else None
    except ValueError:  # 2026-02-30
        return None


def keep_attributes(
    connection: Connection, rows: list[tuple[int, Mapping[str, str]]], *, new: set[int], zone: ZoneInfo | None
) -> set[int]:
    """Write the attributes that differ ("" takes one away); returns whose they are. `new` users have none yet."""
    said = {(user_id, name): value for user_id, attributes in rows for name, value in attributes.items()}
    if not said:
        return set()
    known = _read_attributes(connection, {user_id for user_id, _ in said} - new)
    kept = {which: value for which, value in said.items() if value and known.get(which) != value}
    gone = [which for which, value in said.items() if not value and which in known]
    if kept:
        values = [(*which, text, as_number(text), as_instant(text, zone)) for which, text in sorted(kept.items())]
        give(connection, "attributes", _ATTRIBUTE, values).run(
            connection,
            "insert into user_attributes (user_id, name, value, number, at)"
            " select user_id, name, value, number, at from {given} where true on conflict (user_id, name)"
            " do update set value = excluded.value, number = excluded.number, at = excluded.at",
        )
    if gone:
        give(connection, "gone", {"user_id": "bigint", "name": "text"}, sorted(gone)).run(
            connection,
            "delete from user_attributes where (user_id, name) in (select user_id, name from {given})",
        )
    return {user_id for user_id, _ in kept} | {user_id for user_id, _ in gone}


def _read_attributes(connection: Connection, ids: set[int]) -> dict[tuple[int, str], str]:
    given = give(connection, "ids", {"id": "bigint"}, [(n,) for n in sorted(ids)])
    rows = given.run(
        connection,
        "select a.user_id, a.name, a.value from {given} join user_attributes a on a.user_id = given.id",
    )
    return {(row.user_id, row.name): row.value for row in rows}
